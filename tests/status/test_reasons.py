"""The table of reasons: it is complete, agrees with what status writes, and is the one in docs/when-it-fails.md."""

from itertools import groupby
from pathlib import Path

import pytest
from plan_builders import quickstart_plan, serving
from status_builders import NOON, a_job, seen

from tunewright.api.v1alpha1.status import Reason
from tunewright.observe.reasons import FailureReason
from tunewright.plan.inputs import ServeOutcome, StageOutcome, StageState
from tunewright.render import render
from tunewright.status import summarise
from tunewright.status.failures import REFUSALS
from tunewright.status.reasons import REASONS, Meaning, Outlook, is_fault
from tunewright_contract.reports import Failure

DOCS = Path(__file__).parents[2] / "docs/when-it-fails.md"
WAITING = [reason for reason, meaning in REASONS.items() if isinstance(reason, FailureReason) and meaning.fault]


def beside_ready(observation, plan):
    """Return the condition of kstatus that is true beside Ready, with the phase."""
    status = summarise(a_job(), plan, observation, serving=render(plan).serving, progress=None, now=NOON, previous=None)
    true = {str(found.type) for found in status.conditions if found.status == "True"} & {"Reconciling", "Stalled"}
    return status.phase, *true


def test_each_reason_of_the_operator_has_a_row():
    assert {*Reason, *FailureReason, *REFUSALS} - REASONS.keys() == set()


@pytest.mark.parametrize("reason", WAITING)
def test_a_stage_that_waits_is_stalled_only_if_it_needs_a_change(reason):
    outlook = REASONS[reason].outlook
    waits = StageOutcome(state=StageState.PENDING, failure=Failure(reason=reason, message="why"))
    expected = "Stalled" if outlook is Outlook.STALLED else "Reconciling"

    assert beside_ready(seen(check=waits), quickstart_plan(train=None)) == ("Checking", expected)


@pytest.mark.parametrize("reason", WAITING)
def test_a_server_past_its_deadline_is_stalled_unless_it_can_heal(reason):
    failed = ServeOutcome(state=StageState.FAILED, failure=Failure(reason=reason, message="why"))
    expected = ("Deploying", "Reconciling") if REASONS[reason].outlook is Outlook.HEALS else ("Failed", "Stalled")

    assert beside_ready(seen("check", "train", "export", serve=failed), serving(quickstart_plan())) == expected


def test_a_reason_that_a_pod_reported_is_a_fault():
    assert is_fault("DataInvalid")


def test_the_documented_table_is_this_one():
    def order(item):
        return item[1].fault, list(Outlook).index(item[1].outlook)

    def row(meaning: Meaning, reasons):
        named = ", ".join(f"`{reason}`" for reason in sorted(reasons))
        return f"| {'Warning' if meaning.fault else 'Normal'} | {meaning.outlook.value} | {named} |"

    groups = groupby(sorted(REASONS.items(), key=order), key=lambda item: item[1])
    table = "\n".join(row(meaning, {str(reason) for reason, _ in members}) for meaning, members in groups)

    assert table in DOCS.read_text(encoding="utf-8"), f"replace the table of docs/when-it-fails.md by:\n{table}"
