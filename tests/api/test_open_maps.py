"""Raw maps: their bounds, and that the CRD has no map without bounds."""

from typing import Any

import pytest
from api_jobs import raw_job
from pydantic import BaseModel, ValidationError

from tunewright.api.structural import structural
from tunewright.api.v1alpha1.job import parse


@pytest.mark.parametrize("value", [1, 0.5, True, "x", None, [1.0, 2.0], {"a": 1}, 2**63 - 1, ["x"] * 256])
def test_a_flat_map_accepts_values_without_nesting(value: Any) -> None:
    job = parse(raw_job({"training.lrSchedulerKwargs": {"any": value}}))
    assert job.spec.training.lr_scheduler_kwargs == {"any": value}


@pytest.mark.parametrize(
    ("why", "kwargs"),
    [
        ("nests more than", {"a": [[1]]}),
        ("nests more than", {"a": {"b": {}}}),
        ("a text of 1025 characters", {"a": "x" * 1025}),
        ("a whole number of 64 bits", {"a": 2**63}),
        ("a whole number of 64 bits", {"a": -(2**63)}),
        ("a list or map of 257 entries", {"a": [1] * 257}),
        ("a list or map of 257 entries", {str(number): 1 for number in range(257)}),
        ("a key of 257 characters", {"x" * 257: 1}),
        ("more than 4096 values", {str(number): [1] * 200 for number in range(100)}),
    ],
)
def test_a_map_refuses_values_outside_its_bounds(why: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=why):
        parse(raw_job({"training.lrSchedulerKwargs": kwargs}))


def test_a_map_without_bounds_cannot_be_in_the_crd() -> None:
    class Loose(BaseModel):
        anything: dict[str, Any]

    with pytest.raises(TypeError, match="a map without bounds"):
        structural(Loose)
