"""The status of a stage that runs with outdated pod settings, or that is run again."""

from dataclasses import replace

import pytest
from plan_builders import GANG, quickstart_plan
from status_builders import NOON, a_job, seen

from tunewright.plan.inputs import StageOutcome, StageState, TrainOutcome
from tunewright.plan.plan_types import PodPlan
from tunewright.status import summarise
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure

FULL = Failure(reason="DiskFull", message="no space left", suggestion="Free some.")


def status(plan, observed):
    return summarise(a_job(serving=False), plan, observed, serving=None, progress=None, now=NOON, previous=None)


def gang(**more):
    return seen("check", train=TrainOutcome(state=StageState.RUNNING, attempts=1, settings="old", replicas=2, **more))


@pytest.mark.parametrize(
    ("ends", "plan", "observed"),
    [
        ("to apply it now, set spec.suspend to true, and to false when the phase is Suspended", "new", gang()),
        ("train is running", "old", gang()),
    ],
)
def test_a_running_gang_with_other_settings_has_the_way_to_apply_them(ends, plan, observed):
    assert status(quickstart_plan(train=replace(GANG, settings=plan)), observed).message.endswith(ends)


def test_in_a_queue_the_way_is_the_workload():
    observed = gang()
    observed = replace(observed, past=replace(observed.past, queued=True))
    assert "deactivate its Workload" in status(quickstart_plan(train=replace(GANG, settings="new")), observed).message


def test_a_running_check_is_deleted_to_apply_settings():
    observed = seen(check=StageOutcome(state=StageState.RUNNING, settings="old"))
    assert status(quickstart_plan(check=PodPlan(settings="new")), observed).message.endswith("delete its Job, support-bot-check")


@pytest.mark.parametrize(("phase", "reason", "replaces"), [("Exporting", "Retrying", True), ("Failed", "DiskFull", False)])
def test_a_failed_export_is_run_again(phase, reason, replaces):
    failed = StageOutcome(state=StageState.FAILED, failure=FULL, disposition=Disposition.FAIL)
    observed = seen("check", "train", export=failed)
    found = status(quickstart_plan(export=PodPlan(replaces=replaces)), observed)
    assert (found.phase, found.reason) == (phase, reason)
    assert (found.message == "export failed and is run again: no space left. Free some.") is replaces
