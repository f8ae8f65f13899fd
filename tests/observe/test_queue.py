"""Whether Kueue decides when a Job starts: expected answer, the Job as Kueue 0.16 and its webhook leave it."""

import pytest
from child_builders import REVISION, a_job

from tunewright.observe import observe
from tunewright.observe.other_controllers import is_held

SUSPENDS = {"f:spec": {"f:suspend": {}}}


def marked(*managers, labels=None, fields=SUSPENDS):
    job = a_job("checker")
    job["metadata"]["labels"] |= labels or {}
    job["metadata"]["managedFields"] = [{"manager": name, "operation": "Update", "fieldsV1": fields} for name in managers]
    return job


@pytest.mark.parametrize(
    ("held", "job"),
    [
        pytest.param(
            True, marked("tunewright", labels={"kueue.x-k8s.io/queue-name": "default"}), id="the namespace's queue has labelled it"
        ),
        pytest.param(True, marked("kueue"), id="Kueue has stopped it without a request"),
        pytest.param(False, marked("kueue", fields={"f:spec": {"f:template": {}}}), id="Kueue has written something else"),
        pytest.param(False, marked("tunewright"), id="we have stopped it"),
        pytest.param(False, marked("kubectl-edit"), id="a person has"),
        pytest.param(False, a_job("checker"), id="nobody has"),
    ],
)
def test_jobs_that_kueue_manages(held, job):
    assert is_held(job) is held
    assert observe([job], revision=REVISION).past.queued is held
