"""Changes to a job's specification that are refused without an API server, and the policy that is generated from the same table."""

from pathlib import Path

import pytest
from api_jobs import raw_job

from tunewright.api.immutable import changed_inputs, inputs
from tunewright.api.policygen import POLICY_FILENAME, policy, policy_yaml
from tunewright.api.v1alpha1.job import parse

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("want", "before", "after"),
    [
        ((), {}, {}),
        ((), {}, {"training": {}, "workers.replicas": 1}),  # defaults written out are no change
        ((), {"serving": {"replicas": 1}}, {"serving": {"replicas": 2}, "suspend": True, "workers.nodeSelector": {"pool": "a"}}),
        ((), {"training": {}, "workers.replicas": 1, "data.train[0].columns": {}}, {}),
        (("spec.training.maxSteps",), {}, {"training.maxSteps": 5}),
        (("spec.deepspeed.stage",), {"deepspeed": {"stage": 1}}, {"deepspeed": {"stage": 2}}),
        (("spec.workers.acceleratorMemory",), {"workers.acceleratorMemory": "80Gi"}, {"workers.acceleratorMemory": "40Gi"}),
        ((), {"workers.acceleratorMemory": "80Gi"}, {"workers.acceleratorMemory": "81920Mi"}),
        ((), {"workers.resources.limits": {"cpu": 1}}, {"workers.resources.limits": {"cpu": "1000m"}}),
        ((), {"workers.resources.limits": {"cpu": 1}}, {"workers.resources.limits": {"cpu": 2}}),
        (
            (),
            *({"output.storage.accessModes": modes} for modes in (["ReadWriteOnce", "ReadWriteMany"], ["ReadWriteMany", "ReadWriteOnce"])),
        ),
        (("spec.output.storage.accessModes",), {}, {"output.storage.accessModes": ["ReadWriteMany"]}),
        (("spec.deepspeed",), {}, {"deepspeed": {}}),
        ((), {}, {"workers.replicas": 2, "workers.image": "trainer:2"}),
        (("spec.workers.acceleratorMemory",), {}, {"workers.image": "trainer:2", "workers.acceleratorMemory": "40Gi"}),
    ],
)
def test_changed_inputs(want, before, after):
    assert changed_inputs(parse(raw_job(before)), parse(raw_job(after))) == want


def test_the_policy_has_an_entry_for_each_field():
    expressions = "".join(variable["expression"] for variable in policy()["spec"]["variables"])
    assert [row.field for row in inputs() if f"'{row.field}: '" not in expressions and f"dyn('{row.field}')" not in expressions] == []


def test_the_policy_is_small_enough_to_compile_in_a_request():
    """With one expression for each field it had 127 kB. An update then took the API server 13 s of processor time, and helm's request timed out."""
    assert len(policy_yaml()) < 70_000


def test_the_committed_policy_is_the_generated_one():
    assert (ROOT / "deploy" / POLICY_FILENAME).read_text(encoding="utf-8") == policy_yaml()
