"""How far training is, and how long it will take."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_builders import quickstart_plan
from status_builders import NOON, TRAINED, a_job, posted, seen

from tunewright.plan.inputs import StageState, TrainOutcome
from tunewright.status import summarise


def follow(*reports, attempts=None, train=StageState.RUNNING, report=None):
    """Summarise one report after another and return every progress."""
    stored, found = None, []
    for number, progress in enumerate(reports):
        outcome = TrainOutcome(state=train, attempts=attempts[number] if attempts else 1, report=report)
        summary = summarise(
            a_job(),
            quickstart_plan(),
            seen("check", train=outcome),
            serving=None,
            progress=progress,
            now=NOON + timedelta(minutes=20),
            previous=stored,
        )
        stored = summary.wire()
        found.append(summary.progress)
    return found


def test_there_is_no_progress_before_the_first_report():
    assert follow(None) == [None]


def test_a_report_is_shown_unchanged():
    (found,) = follow(posted(global_step=30, max_steps=120, loss=1.42, learning_rate=2e-4, tokens_per_second=1234.5, eval_loss=1.5))
    assert (found.step, found.max_steps, found.progress_percentage) == (30, 120, 25)
    assert (found.loss, found.learning_rate, found.tokens_per_second, found.eval_loss) == ("1.42", "0.0002", "1234.5", "1.5")
    assert (found.estimated_remaining_seconds, found.last_updated_time) == (None, NOON)


def test_the_time_left_follows_from_steps_and_times():
    *_, found = follow(
        posted(global_step=20, max_steps=120), posted(at=30, global_step=40, max_steps=120), posted(at=60, global_step=60, max_steps=120)
    )
    assert found.estimated_remaining_seconds == 90  # 40 steps took 60 s, 60 steps are left


def test_a_resumed_attempt_measures_its_own_speed_and_keeps_the_highest_step():
    found = follow(
        posted(global_step=10, max_steps=120),
        posted(at=10, global_step=60, max_steps=120),
        posted(at=100, global_step=50, max_steps=120),
        posted(at=110, global_step=55, max_steps=120),
        attempts=[1, 1, 2, 2],
    )
    assert [progress.step for progress in found] == [10, 60, 60, 60]
    assert [progress.progress_percentage for progress in found] == [8, 50, 50, 50]
    assert [progress.estimated_remaining_seconds for progress in found] == [None, 12, None, 130]


def test_the_time_between_two_attempts_does_not_affect_the_estimate():
    last_word = posted(at=10, global_step=60, max_steps=120)
    found = follow(
        posted(global_step=10, max_steps=120),
        last_word,
        last_word,
        last_word,
        posted(at=900, global_step=61, max_steps=120),
        posted(at=910, global_step=71, max_steps=120),
        attempts=[1, 1, 2, 2, 2, 2],
    )
    assert [progress.estimated_remaining_seconds for progress in found] == [None, 12, None, None, None, 49]


def test_an_earlier_step_restarts_the_measurement():
    *_, found = follow(posted(global_step=50, max_steps=100), posted(at=10, global_step=5, max_steps=100))
    assert (found.since_step, found.estimated_remaining_seconds) == (5, None)


def test_between_two_logged_steps_the_time_left_counts_down():
    reports = [posted(at=at, global_step=step, max_steps=100) for at, step in ((0, 0), (10, 10), (12, 10), (14, 10), (500, 10), (502, 11))]
    assert [progress.estimated_remaining_seconds for progress in follow(*reports)] == [None, 90, 88, 86, 0, 4062]


def test_a_report_without_a_step_keeps_the_step():
    found = follow(
        posted(global_step=60, max_steps=100), posted(at=5, global_step=50, max_steps=100), posted(at=9, loss=1.0), attempts=[1, 2, 2]
    )
    assert [progress.reported_step for progress in found] == [60, 50, 50]


def test_a_repeated_report_changes_nothing():
    first, second = follow(posted(global_step=10, max_steps=100), posted(global_step=10, max_steps=100))
    assert first == second


def test_values_that_a_report_lacks_are_kept():
    *_, found = follow(posted(global_step=10, max_steps=100, loss=2.0), posted(at=5, eval_loss=1.8))
    assert (found.step, found.loss, found.eval_loss) == (10, "2", "1.8")


def test_values_that_are_not_finite_are_ignored():
    (found,) = follow(posted(global_step=10, max_steps=100, loss="nan", learning_rate="fast"))
    assert (found.loss, found.learning_rate) == (None, None)


def test_a_report_without_a_time_counts_from_when_it_was_read():
    report = posted(global_step=10, max_steps=100)
    timeless = report.model_copy(update={"trainer_status": report.trainer_status.model_copy(update={"last_updated_time": None})})
    (found,) = follow(timeless)
    assert found.last_updated_time == NOON + timedelta(minutes=20)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (posted(global_step=120, max_steps=120, percentage=100), 99),
        (posted(percentage=100), 99),
        (posted(percentage=42), 42),
        (posted(global_step=5), 0),
        (posted(global_step=200, max_steps=120), 99),
    ],
    ids=["the last step", "a claim", "another image's word", "no end known", "beyond the end"],
)
def test_a_pod_cannot_report_a_hundred_per_cent(report, expected):
    (found,) = follow(report)
    assert found.progress_percentage == expected


def test_a_succeeded_job_is_a_hundred_per_cent():
    (found,) = follow(posted(global_step=118, max_steps=120, loss=1.4), train=StageState.SUCCEEDED, report=TRAINED)
    assert (found.step, found.max_steps, found.progress_percentage, found.loss, found.eval_loss) == (120, 120, 100, "1.4", "1.31")
    assert (found.estimated_remaining_seconds, found.since_step) == (None, None)


def test_a_success_without_a_report_keeps_what_was_posted():
    (found,) = follow(posted(global_step=118, max_steps=120), train=StageState.SUCCEEDED)
    assert (found.step, found.progress_percentage) == (118, 100)


def test_a_success_without_a_validation_loss_keeps_the_last_one():
    report = TRAINED.model_copy(update={"eval_loss": None})
    (found,) = follow(posted(global_step=118, max_steps=120, eval_loss=1.9), train=StageState.SUCCEEDED, report=report)
    assert found.eval_loss == "1.9"


def test_a_job_that_does_not_run_has_no_estimate():
    running, waiting = posted(global_step=10, max_steps=100), posted(at=10, global_step=20, max_steps=100)
    assert [progress.estimated_remaining_seconds for progress in follow(running, waiting)] == [None, 80]
    assert [progress.estimated_remaining_seconds for progress in follow(running, waiting, train=StageState.PENDING)] == [None, None]
    assert follow(None, train=StageState.PENDING) == [None]


def test_progress_is_kept_after_the_train_job_is_deleted():
    known = summarise(a_job(), quickstart_plan(), seen("check", "train"), serving=None, progress=None, now=NOON, previous=None)
    later = summarise(a_job(), quickstart_plan(), seen("check"), serving=None, progress=None, now=NOON, previous=known.wire())
    assert later.progress == known.progress


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 3), st.integers(0, 100)), max_size=12))
def test_step_and_percentage_never_decrease(course):
    reports = [
        posted(at=number, global_step=step, max_steps=100, percentage=percentage) for number, (step, _, percentage) in enumerate(course)
    ]
    found = follow(*reports, attempts=sorted(attempt for _, attempt, _ in course))
    for before, after in pairwise(found):
        assert before.step <= after.step
        assert before.progress_percentage <= after.progress_percentage < 100


class TestCheckpoints:
    def checkpoint(self, *, report=None, train=StageState.RUNNING, outcome=None, previous=None):
        observation = seen("check", train=TrainOutcome(state=train, attempts=1, report=outcome))
        return summarise(a_job(), quickstart_plan(), observation, serving=None, progress=report, now=NOON, previous=previous)

    def test_the_newest_checkpoint_is_the_reported_one(self):
        found = self.checkpoint(report=posted(checkpoint_step=60, resumed_from_step=30)).checkpoint
        assert (found.step, found.resumed_from_step) == (60, 30)
        assert found.path == "pvc://support-bot-output/runs/support-bot/3f9a1c2b/checkpoints/checkpoint-60"

    def test_the_reported_checkpoint_is_kept(self):
        first = self.checkpoint(report=posted(checkpoint_step=60))
        assert first.checkpoint.resumed_from_step is None
        assert self.checkpoint(report=posted(global_step=70), previous=first.wire()).checkpoint == first.checkpoint

    def test_the_checkpoint_of_a_finished_training_is_its_result(self):
        found = self.checkpoint(train=StageState.SUCCEEDED, outcome=TRAINED).checkpoint
        assert (found.step, found.resumed_from_step) == (120, 60)
        assert found.path.endswith("/final")

    def test_there_is_no_checkpoint_before_the_first_report(self):
        assert self.checkpoint().checkpoint is None
