"""Messages show values as they stand in a manifest."""

import pytest

from tunewright.api.problems import as_written
from tunewright.api.v1alpha1.model import ChatTemplateSource


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("absent", None),
        ("true", True),
        ("false", False),
        ("3", 3),
        ("0.0002", 2e-4),
        ("1e-8", 1e-8),
        ("1e16", 1e16),
        ("0", 0.0),
        ("pissa", "pissa"),
        ('["a b", 0.5, null]', ("a b", 0.5, None)),
        ('{limits: {nvidia.com/gpu: "1"}}', {"limits": {"nvidia.com/gpu": "1"}}),
        ('{jinja: "<é>"}', ChatTemplateSource(jinja="<é>")),
    ],
)
def test_a_value_is_written_as_in_yaml(text, value):
    assert as_written(value) == text
