"""Sequences of what the API server shows, as time passes: neither the phase nor the reason goes back at the end of a stage."""

from datetime import timedelta

import pytest
from child_builders import REVISION, a_job, a_pod, ended, running
from plan_builders import quickstart_plan
from status_builders import CHECKED, EXPORTED, NOON, TRAINED
from status_builders import a_job as a_fine_tune_job

from tunewright.observe import observe
from tunewright.status import summarise
from tunewright_contract.reports import dump

NOW = NOON - timedelta(minutes=119)  # a minute after the containers of child_builders started


def ended_in_a_running_pod(report, component):
    """Return a status as the kubelet reports it first: the container has ended, the pod has not."""
    return {**ended(0, dump(report), component=component), "phase": "Running"}


def status_of(children, previous):
    seen = observe(children, revision=REVISION, status=previous, now=NOW)
    return summarise(a_fine_tune_job(), quickstart_plan(), seen, serving=None, progress=None, now=NOW, previous=previous)


DONE = ("Complete", "CompletionsReached")
CHECK_DONE = [a_job("checker", DONE), a_pod("checker", **ended(0, dump(CHECKED), component="checker"))]
GANG = a_job("trainer", attempt=0)
GANG["spec"]["completions"] = 2


def rank(index, status):
    return a_pod("trainer", index=index, attempt=0, **status)


SUCCEEDED = ended(0, dump(TRAINED))
TRAIN_DONE = [*CHECK_DONE, a_job("trainer", DONE, attempt=0), rank(0, SUCCEEDED)]

SEQUENCES = {
    "a stage of one pod": [
        (("Checking", "Running"), [a_job("checker"), a_pod("checker", **running("checker"))]),
        (("Training", "Pending"), [a_job("checker"), a_pod("checker", **ended_in_a_running_pod(CHECKED, "checker"))]),
        (("Training", "Pending"), [a_job("checker"), a_pod("checker", **ended(0, dump(CHECKED), component="checker"))]),
        (("Training", "Pending"), CHECK_DONE),
        (("Training", "Pending"), [*CHECK_DONE, GANG]),
        (("Training", "Running"), [*CHECK_DONE, GANG, rank(0, running()), rank(1, running())]),
    ],
    "a gang, rank by rank": [
        (("Training", "Running"), [*CHECK_DONE, GANG, rank(0, running()), rank(1, running())]),
        (("Training", "Running"), [*CHECK_DONE, GANG, rank(0, ended_in_a_running_pod(TRAINED, "trainer")), rank(1, running())]),
        (("Training", "Running"), [*CHECK_DONE, GANG, rank(0, SUCCEEDED), rank(1, running())]),
        (("Exporting", "Pending"), [*CHECK_DONE, GANG, rank(0, SUCCEEDED), rank(1, ended_in_a_running_pod(TRAINED, "trainer"))]),
        (("Exporting", "Pending"), [*CHECK_DONE, GANG, rank(0, SUCCEEDED), rank(1, SUCCEEDED)]),
        (("Exporting", "Pending"), TRAIN_DONE),
    ],
    "an export": [
        (("Exporting", "Running"), [*TRAIN_DONE, a_job("exporter"), a_pod("exporter", **running("exporter"))]),
        (("Deploying", "Pending"), [*TRAIN_DONE, a_job("exporter"), a_pod("exporter", **ended_in_a_running_pod(EXPORTED, "exporter"))]),
        (("Deploying", "Pending"), [*TRAIN_DONE, a_job("exporter"), a_pod("exporter", **ended(0, dump(EXPORTED), component="exporter"))]),
    ],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_neither_phase_nor_reason_goes_back(name):
    previous, seen = None, []
    for _, children in SEQUENCES[name]:
        status = status_of(children, previous)
        previous = status.wire()
        seen.append((status.phase, status.reason))

    assert seen == [expected for expected, _ in SEQUENCES[name]]
