"""How a Job ends whose pods an injected container keeps: by the outcome and by who starts Jobs."""

from dataclasses import replace

import pytest
from plan_jobs import CLUSTER, job, past

from tunewright.plan.ending import StageRecord
from tunewright.plan.inputs import Defaults, StageState
from tunewright.plan.plan import plan
from tunewright.render import render
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.stages import CHECK, TRAIN

GOOD = StageRecord(report="{}", pod="bot-0", kept_by=("proxy",))
BAD = StageRecord(report="{}", pod="bot-0", kept_by=("proxy",), disposition=Disposition.RETRY)
DONE, RUNS = StageState.SUCCEEDED, StageState.RUNNING
BY_SUSPENSION = {"suspend": True}
BY_DEADLINE = {"suspend": False, "activeDeadlineSeconds": 1}


def jobs(so_far, **spec):
    made = plan(job(spec), CLUSTER, so_far, Defaults())
    return {
        child["metadata"]["name"].removeprefix(f"{made.owner.name}-"): child for child in render(made).children if child["kind"] == "Job"
    }


def how(found):
    return {"suspend": False} | {name: found["spec"][name] for name in ("suspend", "activeDeadlineSeconds") if name in found["spec"]}


def with_record(so_far, stage, record):
    return so_far.with_outcome(stage, replace(so_far[stage], record=record))


@pytest.mark.parametrize(
    ("expected", "name", "stage", "record", "so_far"),
    [
        pytest.param(BY_SUSPENSION, "check", CHECK, GOOD, past(check=DONE), id="a check is done"),
        pytest.param(BY_DEADLINE, "check", CHECK, BAD, past(check=RUNS), id="a check failed"),
        pytest.param(BY_SUSPENSION, "train-0", TRAIN, GOOD, past(check=DONE, train=DONE, attempts=1), id="a gang is done"),
        pytest.param(BY_DEADLINE, "train-0", TRAIN, BAD, past(check=DONE, train=RUNS, attempts=1), id="a gang failed"),
    ],
)
def test_a_done_job_is_suspended_and_a_failed_one_gets_a_deadline(expected, name, stage, record, so_far):
    found = jobs(with_record(so_far, stage, record))[name]
    assert how(found) == expected
    assert StageRecord.model_validate_json(found["metadata"]["annotations"]["tunewright.io/ended"]) == record


def test_kueue_would_start_a_suspended_job_again():
    so_far = replace(with_record(past(check=DONE, train=DONE, attempts=1), TRAIN, GOOD), queued=True)
    assert how(jobs(so_far)["train-0"]) == BY_DEADLINE


def test_the_next_attempt_runs_without_the_record():
    so_far = past(check=DONE, train=StageState.FAILED, attempts=1, failures=1, asks=Disposition.RETRY)
    made = jobs(with_record(so_far, TRAIN, BAD))
    assert "tunewright.io/ended" in made["train-0"]["metadata"]["annotations"]
    assert "tunewright.io/ended" not in made["train-1"]["metadata"]["annotations"]
    assert how(made["train-1"]) == {"suspend": False}
