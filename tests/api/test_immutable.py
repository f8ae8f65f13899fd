"""Changes to a job's specification that are refused without an API server."""

import pytest
from api_jobs import raw_job

from tunewright.api.immutable import changed_inputs
from tunewright.api.v1alpha1.job import parse


@pytest.mark.parametrize(
    ("want", "before", "after"),
    [
        ((), {}, {}),
        ((), {}, {"training": {}, "workers.replicas": 1}),  # defaults written out are no change
        ((), {"serving": {"replicas": 1}}, {"serving": {"replicas": 2}, "suspend": True, "workers.nodeSelector": {"pool": "a"}}),
        (("spec.training",), {}, {"training.maxSteps": 5}),
        (("spec.deepspeed",), {}, {"deepspeed": {}}),
        (("spec.workers.image",), {}, {"workers.replicas": 2, "workers.image": "trainer:2"}),
    ],
)
def test_changed_inputs(want, before, after):
    assert changed_inputs(parse(raw_job(before)), parse(raw_job(after))) == want
