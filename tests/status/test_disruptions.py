"""Status counts how often the present stage was disrupted."""

import pytest
from plan_builders import quickstart_plan
from status_builders import NOON, a_job, seen

from tunewright.plan.inputs import StageOutcome, StageState, TrainOutcome
from tunewright.status import summarise
from tunewright_contract.stages import CHECK, TRAIN

OFTEN = "train was disrupted 3 times, and runs again each time without a limit; set spec.suspend to true until they stop"
AT_CHECK = seen(check=StageOutcome(state=StageState.RUNNING))
AT_TRAIN = seen("check", train=TrainOutcome(state=StageState.RUNNING, attempts=1))
AT_EXPORT = seen("check", "train", export=StageOutcome(state=StageState.RUNNING))
DONE = seen("check", "train", "export")


def story(*steps):
    """Return the last status after these steps: what was observed, and the Jobs that were disrupted."""
    status = None
    for observed, disrupted in steps:
        status = summarise(
            a_job(serving=False),
            quickstart_plan(),
            observed,
            serving=None,
            progress=None,
            now=NOON,
            previous=status and status.wire(),
            disrupted=disrupted,
        )
    return status


def gang(uid=""):
    return AT_TRAIN, {TRAIN: uid} if uid else {}


@pytest.mark.parametrize(
    ("count", "steps"),
    [
        (None, [gang()]),
        (None, [(AT_TRAIN, None)]),
        (None, [(AT_TRAIN, {CHECK: "a"})]),
        (1, [gang("a")]),
        (1, [gang("a"), gang("a")]),
        (1, [gang("a"), gang()]),
        (2, [gang("a"), gang(), gang("b")]),
        (1, [(AT_CHECK, {CHECK: "a"})]),
        (1, [(AT_CHECK, {CHECK: "a"}), gang("b")]),
        (None, [gang("a"), (AT_EXPORT, {})]),
        (None, [gang("a"), (DONE, {})]),
    ],
)
def test_each_disrupted_job_of_the_present_stage_counts_once(count, steps):
    found = story(*steps).disruptions
    assert (found and found.count) == count


def test_a_stage_that_is_disrupted_often_has_a_warning():
    assert OFTEN not in story(gang("a"), gang("b")).warnings
    assert OFTEN in story(gang("a"), gang("b"), gang("c")).warnings


def test_check_which_cannot_be_suspended_has_another_way_out():
    steps = [(AT_CHECK, {CHECK: uid}) for uid in "abc"]
    assert story(*steps).warnings[0].endswith("without a limit; find what deletes its pods")
