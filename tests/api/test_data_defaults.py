"""Defaults of `spec.data` that depend on other fields."""

import pytest

from tunewright.api.v1alpha1.data import DataSpec

TRAIN = [{"source": {"pvc": {"claimName": "corpora"}}}]


@pytest.mark.parametrize(
    ("overlap", "data"),
    [
        (128, {}),
        (128, {"maxLength": 512}),
        (96, {"maxLength": 384}),
        (0, {"maxLength": 3}),
        (0, {"docStride": 0}),
        (200, {"docStride": 200, "maxLength": 384}),
    ],
)
def test_windows_overlap_by_128_tokens_or_a_quarter_of_them(overlap, data):
    assert DataSpec.model_validate({"train": TRAIN, **data}).window_overlap() == overlap
