"""Finds stored jobs by name, or suggests where they are, and reports their present state."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from tunewright.api.v1alpha1.status import ConditionType, Phase
from tunewright.cli.console import fail
from tunewright.local.app import Home
from tunewright.local.supervisor import Holder
from tunewright_contract.stages import SERVE

RESTING = {"Complete", "Failed", "Suspended"}  # these need no process, and are true without one
SERVED = {Phase.SERVING, SERVE.phase}  # the model is there; all it needs is a process that runs its server
SHOWN_NAMES = 8


def stored_job(home: Home, key: tuple[str, str]) -> Mapping[str, Any]:
    """Return a job, or say what there is instead, and leave."""
    found = next((job for job in home.jobs() if (job["metadata"]["namespace"], job["metadata"]["name"]) == key), None)
    return found if found is not None else _nothing(home, key)


def phase_now(job: Mapping[str, Any], holder: Holder | None) -> str:
    """Return the phase; `Stopped` for a job that is on its way, or serving, while no process looks after it."""
    phase = str(job.get("status", {}).get("phase") or "Pending")
    return phase if holder is not None or phase in RESTING else "Stopped"


def ready_now(job: Mapping[str, Any], holder: Holder | None) -> str:
    """Return the Ready condition's status; a server that nobody runs is not ready, whatever was true when it stopped."""
    if phase_now(job, holder) == "Stopped":
        return "False"
    return next((item["status"] for item in job.get("status", {}).get("conditions", ()) if item["type"] == ConditionType.READY), "Unknown")


def _nothing(home: Home, key: tuple[str, str]) -> NoReturn:
    namespace, name = key
    jobs = home.jobs()
    here = [job["metadata"]["name"] for job in jobs if job["metadata"]["namespace"] == namespace]
    elsewhere = [job["metadata"]["namespace"] for job in jobs if job["metadata"]["name"] == name]
    if elsewhere:
        hint = f"It is in namespace {elsewhere[0]}: add -n {elsewhere[0]}"
    elif close := get_close_matches(name, here, n=1):
        hint = f"Did you mean {close[0]}?"
    elif here:
        hint = f"There are: {', '.join(here[:SHOWN_NAMES])}{' …' if len(here) > SHOWN_NAMES else ''}"
    else:
        hint = "There are none yet: tunewright run MANIFEST makes one."
    fail(f"there is no FineTuneJob {name} in namespace {namespace} of {home.layout.home}", hint)
