"""Fields in CEL: which parts a manifest can leave out, and the default that then counts."""

import pytest

from tunewright.api.places import constant, place_of
from tunewright.api.v1alpha1.job import FineTuneJobSpec

READS = [
    ("self.task", "task"),
    ("(has(self.backoffLimit) ? self.backoffLimit : 3)", "backoffLimit"),
    ("(has(self.data.packing) ? self.data.packing : false)", "data.packing"),
    (
        "(has(self.method) && has(self.method.quantization) && has(self.method.quantization.type) ? self.method.quantization.type : 'none')",
        "method.quantization.type",
    ),
    # Rules guard these with `has`.
    ("self.training.metricForBestModel", "training.metricForBestModel"),
    ("(has(self.method.lora.useDora) ? self.method.lora.useDora : false)", "method.lora.useDora"),
    ("self.serving.smokeTest.prompt", "serving.smokeTest.prompt"),
]
GIVEN = [
    ("has(self.serving)", "serving"),
    ("(has(self.method) && has(self.method.lora))", "method.lora"),
    ("has(self.serving.smokeTest)", "serving.smokeTest"),
]


def place(path):
    return place_of(FineTuneJobSpec, "self", path)


@pytest.mark.parametrize(("cel", "path"), READS)
def test_a_read_has_the_default_of_a_field_that_a_manifest_can_leave_out(cel, path):
    assert place(path).value(lambda text: text, constant) == cel


@pytest.mark.parametrize(("cel", "path"), GIVEN)
def test_a_field_without_a_default_is_given_or_not(cel, path):
    assert place(path).given() == cel


@pytest.mark.parametrize("path", ["task", "backoffLimit", "method.quantization"])
def test_a_required_field_or_one_with_a_default_always_has_a_value(path):
    with pytest.raises(TypeError, match=f"self.{path} always has a value"):
        place(path).given()


def test_only_parts_have_fields():
    with pytest.raises(TypeError, match=r"self\.task has no fields"):
        place("task.name")


@pytest.mark.parametrize(
    ("cel", "value"),
    [
        ("true", True),
        ("3", 3),
        ("1e-08", 1e-8),
        (r"'it\'s \\d'", r"it's \d"),
        ("['a', 1.0]", ("a", 1.0)),
        ("{}", {}),
        ("{'a': [false]}", {"a": [False]}),
    ],
)
def test_constants(cel, value):
    assert constant(value) == cel
