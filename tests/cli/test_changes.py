"""`suspend`, `resume`, `retry` and `watch` on this machine."""

import os

import pytest
from stored_jobs import FAILED, SERVING, TRAINING

from tunewright.local.app import utc_now
from tunewright.local.supervisor import hold

REFUSED_BY_PLAN = {
    **FAILED,
    "reason": "DoesNotFit",
    "failure": {"stage": "planner", "reason": "DoesNotFit", "message": "it does not fit", "suggestion": "raise the limit"},
}


@pytest.mark.parametrize(
    ("commands", "suspended", "last"),
    [
        (["suspend"], True, "FineTuneJob default/support-bot suspended\n"),
        (["suspend", "suspend"], True, "FineTuneJob default/support-bot is suspended already\n"),
        (["suspend", "resume"], False, "FineTuneJob default/support-bot resumed\n"),
        (["resume"], False, "FineTuneJob default/support-bot is not suspended\n"),
    ],
    ids=["suspend", "twice", "resume", "resume alone"],
)
def test_suspend_and_resume_change_the_stored_job(call, home, stored, *, commands, suspended, last):
    key = stored(TRAINING)
    said = [call(command, "support-bot").stdout for command in commands]
    assert (said[-1], home.job(key)["spec"].get("suspend", False)) == (last, suspended)


def test_retry_annotates_the_job_so_that_the_next_run_repeats_the_failed_stage(call, home, stored):
    key = stored(FAILED)
    ended = call("retry", "support-bot")
    assert ended.stdout == "support-bot runs its failed stage again with the next `tunewright run MANIFEST`\n"
    assert "tunewright.io/retry" in home.job(key)["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("status", "held", "words"),
    [
        (TRAINING, False, ["has not failed (phase Training)", "tunewright describe support-bot"]),
        (FAILED, True, [f"process {os.getpid()} runs support-bot", "Stop it first"]),
        (REFUSED_BY_PLAN, False, ["a retry does not help support-bot: DoesNotFit", "raise the limit"]),
    ],
    ids=["not failed", "run by a process", "not a failed stage"],
)
def test_a_retry_that_cannot_work_is_refused(call, home, stored, *, status, held, words):
    key = stored(status)
    if held:
        with hold(home.layout, *key, now=utc_now()):
            ended = call("retry", "support-bot")
    else:
        ended = call("retry", "support-bot")
    assert (ended.exit_code, [word for word in words if word not in ended.stderr]) == (1, [])


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (SERVING, 0, "serving · the model answers"),
        ({**FAILED, "observedGeneration": 1}, 1, "support-bot failed in check: BadData"),
    ],
    ids=["served", "failed"],
)
def test_watch_ends_when_the_job_has_reached_its_spec_or_failed(call, stored, status, code, words):
    stored(status)
    ended = call("watch", "support-bot")
    assert (ended.exit_code, words in ended.stderr) == (code, True), ended.output
