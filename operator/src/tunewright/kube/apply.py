"""One rendered child and what stands in its place: what is to be done? Decided here without I/O, and then done.

A Job is created once: its template is immutable, and Kueue and people may have put node selectors and tolerations into it, which are
never fought. Of a Job that exists only its labels and `spec.suspend` follow what is rendered, the latter unless the Job has ended or
Kueue holds it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from tunewright.errors import Rejected
from tunewright.kube.client import Client
from tunewright.kube.differences import closing_patch, is_as_rendered
from tunewright.kube.faults import REFUSED_BY_CLUSTER
from tunewright.observe.queue import is_held, suspenders


class Action(Enum):
    """What to do with a child."""

    CREATE = "create"
    APPLY = "apply"
    LABEL = "label"  # a Job whose labels were taken off: by them it is found
    SUSPEND = "suspend"  # or resume
    KEEP = "keep"


def decide(rendered: Mapping[str, Any], live: Mapping[str, Any] | None) -> Action:
    """Return what makes `live` as rendered."""
    if live is None:
        return Action.CREATE
    if live["metadata"].get("deletionTimestamp"):
        return Action.KEEP  # on its way out; its end wakes us, and it is made anew
    if rendered["kind"] == "Job":
        if not rendered["metadata"].get("labels", {}).items() <= (live["metadata"].get("labels") or {}).items():
            return Action.LABEL
        return Action.SUSPEND if _must_flip(rendered, live) else Action.KEEP
    return Action.KEEP if is_as_rendered(live, rendered) else Action.APPLY


async def carry_out(
    action: Action, client: Client, rendered: Mapping[str, Any], live: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Do it, and return what is stored then; None where nothing was to be done. Raises what the client raises."""
    meta = rendered["metadata"]
    if action is Action.CREATE:
        return await make(client, rendered)
    if action is Action.APPLY and live is not None:
        # Of the very version that was looked at: one deleted meanwhile is a conflict, and is not made anew from an old decision; nor does
        # an annotation come back that was read from a Deployment, and has been taken off since.
        bound = _bound(rendered, live)
        try:
            applied = await client.apply(bound, force=True)
        except Rejected as error:
            if error.reason != REFUSED_BY_CLUSTER:
                raise
            # Somebody's item in a list clashes with ours (two ports of one name). This replaces lists whole, where applying adds to them.
            return await client.merge(rendered["kind"], meta["namespace"], meta["name"], bound)
        if is_as_rendered(applied, rendered):
            return applied
        return await client.merge(rendered["kind"], meta["namespace"], meta["name"], closing_patch(applied, _bound(rendered, applied)))
    if action is Action.LABEL and live is not None:
        patch = {"metadata": {"uid": live["metadata"]["uid"], "labels": meta["labels"]}}
        return await client.merge("Job", meta["namespace"], meta["name"], patch)
    if action is Action.SUSPEND and live is not None:
        patch = {"metadata": {"uid": live["metadata"]["uid"]}, "spec": {"suspend": rendered["spec"]["suspend"]}}
        return await client.merge("Job", meta["namespace"], meta["name"], patch)
    return None


async def make(client: Client, rendered: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a child, and return it as stored. What somebody has made there since we looked is a Conflict, and is not overwritten.

    A Job's `suspend: false` is not sent: what a webhook makes of a field that was sent counts as ours, and of one that was not as nobody's.
    """
    if rendered["kind"] == "Job" and not rendered["spec"].get("suspend"):
        rendered = {**rendered, "spec": {name: value for name, value in rendered["spec"].items() if name != "suspend"}}
    return await client.apply_new(rendered)


def _bound(rendered: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    there = {name: live["metadata"][name] for name in ("uid", "resourceVersion")}
    return {**rendered, "metadata": {**rendered["metadata"], **there}}


def _must_flip(rendered: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    wanted = rendered["spec"].get("suspend")
    if wanted is None or wanted == live["spec"].get("suspend", False):
        return False
    if live["spec"].get("suspend") and not suspenders(live):
        return False  # a webhook (Kueue's, with `manageJobsWithoutQueueName`) said so when the Job was made, and will say when it starts
    return not _has_ended(live) and not is_held(live)  # Kueue would flip it back


def _has_ended(job: Mapping[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(found["type"] in ("Complete", "Failed") and found["status"] == "True" for found in conditions)
