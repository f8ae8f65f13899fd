"""Init containers that a webhook has added: the one that a pod waits for, or with which it failed, is named."""

from datetime import UTC, datetime, timedelta

import pytest
from child_builders import REVISION, a_job, a_pod, running

from tunewright.observe import observe
from tunewright.observe.events import GRACE
from tunewright.plan.inputs import StageState
from tunewright_contract.exit_codes import Disposition

BEGAN = datetime(2026, 1, 1, 10, tzinfo=UTC)
SOON, LATE = BEGAN + GRACE / 2, BEGAN + timedelta(minutes=1)
RUNS = {"running": {"startedAt": "2026-01-01T10:00:00Z"}}
DONE = {"terminated": {"exitCode": 0}}
BROKEN = {"terminated": {"exitCode": 3}}
NOT_YET = {"waiting": {"reason": "PodInitializing"}}
NO_IMAGE = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
CRASHES = {"waiting": {"reason": "CrashLoopBackOff"}}


def starting(*states, initialized="False", **status):
    """The status of a pod with these init containers, i0, i1, …; its own container waits for them."""
    own = {"name": "checker", "state": NOT_YET}
    return {
        "phase": "Pending",
        "conditions": [{"type": "Initialized", "status": initialized}],
        "initContainerStatuses": [{"name": f"i{number}", "state": state} for number, state in enumerate(states)],
        "containerStatuses": [own],
    } | status


def check(status, now=LATE, **meta):
    pod = a_pod("checker", **status)
    pod["metadata"] |= meta
    return observe([a_job("checker"), pod], revision=REVISION, now=now).past.check


@pytest.mark.parametrize(
    ("reason", "words", "status"),
    [
        pytest.param(
            "InitContainerRuns", "init container i0 runs since 2026-01-01T10:00:00Z", starting(RUNS, NOT_YET), id="the first runs"
        ),
        pytest.param("InitContainerRuns", "init container i1 runs since", starting(DONE, RUNS), id="the second runs"),
        pytest.param("InitContainerRuns", "init container i1 runs since", starting(RUNS, RUNS), id="one runs beside a native sidecar"),
        pytest.param("ImagePullBackOff", "init container i1: no such image", starting(DONE, NO_IMAGE), id="no image"),
        pytest.param("CrashLoopBackOff", "init container i0: no reason was given", starting(CRASHES, NOT_YET), id="it crashes"),
    ],
)
def test_the_init_container_that_a_pod_waits_for_is_named(reason, words, status):
    found = check(status)
    assert (found.state, found.failure.reason) == (StageState.PENDING, reason)
    assert f"pod checker-0: {words}" in found.failure.message


@pytest.mark.parametrize(
    ("status", "now"),
    [
        pytest.param(starting(RUNS), SOON, id="it runs briefly"),
        pytest.param(starting(RUNS), None, id="without the time"),
        pytest.param(starting(NOT_YET, NOT_YET), LATE, id="none has started"),
        pytest.param(starting({}), LATE, id="none has a state"),
        pytest.param(starting(DONE, DONE), LATE, id="all have ended"),
        pytest.param(starting(RUNS, initialized="True"), LATE, id="a native sidecar runs, and an image is pulled"),
        pytest.param(running("checker"), LATE, id="there is none"),
    ],
)
def test_init_containers_that_keep_no_pod_from_starting_are_not_named(status, now):
    assert check(status, now).failure is None


def test_a_pod_that_is_being_deleted_waits_for_no_init_container():
    assert check(starting(RUNS), deletionTimestamp="2026-01-01T10:00:00Z").failure is None


def test_the_init_container_with_which_a_pod_failed_is_named():
    pod = a_pod("checker", **starting(DONE, BROKEN, phase="Failed"))
    found = observe([a_job("checker", ("Failed", "BackoffLimitExceeded")), pod], revision=REVISION, now=LATE).past.check
    assert (found.failure.reason, found.disposition) == ("ProcessFailed", Disposition.RETRY)
    assert found.failure.message == "pod checker-0: init container i1 ended with exit code 3"


def test_a_pod_that_failed_after_its_init_containers_has_its_own_reason():
    pod = a_pod("checker", **starting(DONE, phase="Failed", message="no more disk"))
    found = observe([a_job("checker", ("Failed", "BackoffLimitExceeded")), pod], revision=REVISION, now=LATE).past.check
    assert found.failure.message == "pod checker-0 failed: no more disk"
