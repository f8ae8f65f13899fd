"""When a changed status is written: news at once, routine changes together after a pause."""

import pytest

from tunewright.reconcile.pace import Pace
from tunewright_runtime.objects import Key

BOT, OTHER = Key("demo", "bot"), Key("demo", "other")
WAITS = {"phase": "Training", "reason": "Pending"}
RUNS = {"phase": "Training", "reason": "Running"}
STEPS = {**RUNS, "progress": {"step": 1}}
ENDS = {"phase": "Exporting", "reason": "Pending"}
FAILS = {"phase": "Training", "reason": "Unschedulable"}


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def pace(now):
    return Pace(seconds=3.0, within_a_stage=15.0, clock=lambda: now[0])


def test_a_change_waits_from_its_first_sight_on(pace, now):
    pauses = []
    for at in (100.0, 101.0, 102.5, 103.0, 110.0):
        now[0] = at
        pauses.append(pace.pause(BOT, RUNS, ENDS))
    assert pauses == [3.0, 2.0, 0.5, 0.0, 0.0]


def test_another_stage_or_step_is_written_sooner_than_that_pods_run(pace, now):
    assert pace.pause(BOT, WAITS, RUNS) == 15.0
    now[0] += 1.0
    assert (pace.pause(BOT, WAITS, STEPS), pace.pause(OTHER, WAITS, ENDS)) == (3.0, 3.0)
    now[0] += 1.0
    assert pace.pause(BOT, WAITS, RUNS) == 2.0


def test_what_waits_for_long_is_written_before_a_change_that_follows_it_late(pace, now):
    assert pace.pause(BOT, WAITS, RUNS) == 15.0
    now[0] += 14.0
    assert pace.pause(BOT, WAITS, STEPS) == 1.0


def test_news_does_not_wait(pace):
    assert pace.pause(BOT, WAITS, RUNS) == 15.0
    assert pace.pause(BOT, WAITS, FAILS) == 0.0


def test_after_a_write_the_next_change_waits_again(pace, now):
    assert pace.pause(BOT, RUNS, ENDS) == 3.0
    pace.forget(BOT)
    pace.forget(OTHER)
    now[0] += 10.0
    assert pace.pause(BOT, RUNS, ENDS) == 3.0


def test_each_job_waits_for_itself(pace, now):
    pace.pause(BOT, RUNS, ENDS)
    now[0] += 3.0
    assert (pace.pause(BOT, RUNS, ENDS), pace.pause(OTHER, RUNS, ENDS)) == (0.0, 3.0)


def test_without_a_pause_each_change_is_written_at_once():
    assert Pace().pause(BOT, WAITS, RUNS) == 0.0
