"""Which changes of a stored status are news, and which can wait for the next change."""

import pytest

from tunewright.status.news import can_wait, is_news, is_within_a_stage


def status(phase="Training", reason="Running", message="", **fields):
    return {"phase": phase, "reason": reason, "message": message, "observedGeneration": 1, "revision": "r", **fields}


@pytest.mark.parametrize(
    ("expected", "before", "after"),
    [
        (False, {}, status()),
        (False, status(), status()),
        (False, status(message="step 10"), status(message="step 20")),
        (False, {}, status("Checking", "Pending")),
        (True, {}, status("Failed", "InvalidSpec")),
        (True, {}, status("Queued", "Queued")),
        (False, status("Checking", "Pending"), status("Checking", "Running")),
        (False, status("Checking", "Succeeded"), status("Training", "Pending")),
        (False, status(), status("Exporting")),
        (True, status("Checking", "Unschedulable"), status("Checking", "Running")),
        (True, status(reason="Retrying"), status()),
        (True, status("Suspended", "Suspended"), status()),
        (True, status("Serving", "Serving"), status("Exporting")),
        (True, status("Exporting"), status("Complete", "Complete")),
        (True, status("Queued", "Queued"), status()),
        (True, status(), status(reason="Unschedulable")),
        (True, status("Exporting"), status("Failed", "ModelRegressed")),
        (True, status("Serving", "Serving"), status("Serving", "ModelRegressed")),
        (False, status("Serving", "ModelRegressed"), status("Serving", "ModelRegressed")),
        (False, {}, {"phase": "Training"}),
    ],
)
def test_changes_of_state_are_posted_but_for_routine(expected, before, after):
    assert is_news(before, after) is expected


@pytest.mark.parametrize(
    ("expected", "before", "after"),
    [
        pytest.param(False, {}, status("Checking", "Pending"), id="the first status"),
        pytest.param(True, status("Checking", "Pending"), status("Checking"), id="its pods run"),
        pytest.param(True, status("Checking"), status(reason="Pending"), id="the next stage"),
        pytest.param(True, status(message="step 10"), status(message="step 20"), id="progress"),
        pytest.param(False, status(), status(reason="Unschedulable"), id="a fault"),
        pytest.param(False, status(reason="Unschedulable"), status(), id="the end of a fault"),
        pytest.param(False, status("Exporting"), status("Complete", "Complete"), id="the end of the job"),
        pytest.param(False, status("Serving", "Serving"), status("Serving", "Serving", url="new"), id="a served job"),
        pytest.param(False, status(), status(observedGeneration=2), id="an edited job"),
        pytest.param(False, status(), status(revision="s"), id="other inputs"),
        pytest.param(False, status(), status(reason="Pending", disruptions={"count": 1}), id="a disruption"),
        pytest.param(False, status("Exporting"), status("Deploying", "Pending", artifacts=[1]), id="an exported model"),
    ],
)
def test_routine_changes_of_a_running_job_can_wait(expected, before, after):
    assert can_wait(before, after) is expected


@pytest.mark.parametrize(
    ("expected", "before", "after"),
    [
        pytest.param(True, status("Checking", "Pending"), status("Checking"), id="its pods run"),
        pytest.param(True, status(message="waits"), status(message="runs"), id="a message"),
        pytest.param(False, status("Checking"), status(reason="Pending"), id="the next stage"),
        pytest.param(False, status(progress={"step": 1}), status(progress={"step": 2}), id="a step"),
    ],
)
def test_changes_within_a_stage_show_neither_another_stage_nor_another_step(expected, before, after):
    assert is_within_a_stage(before, after) is expected
