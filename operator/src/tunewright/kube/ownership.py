"""Whose object is it? Told by controller references, never by names or labels, which anybody may write."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunewright.errors import Conflict, Rejected
from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.plan.label_names import RETAIN

MANAGED_BY = "app.kubernetes.io/managed-by"


def controller(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the owner reference of an object's controller, or nothing."""
    references = item["metadata"].get("ownerReferences", ())
    return next((reference for reference in references if reference.get("controller")), {})


def descendants(items: Iterable[Mapping[str, Any]], uid: str) -> Sequence[Mapping[str, Any]]:
    """Return those objects that `uid` owns, at any depth, in the given order."""
    items = list(items)
    known = {uid}
    while True:
        more = {str(item["metadata"]["uid"]) for item in items if controller(item).get("uid") in known} - known
        if not more:
            return [item for item in items if controller(item).get("uid") in known]
        known |= more


def is_retained(item: Mapping[str, Any]) -> bool:
    """Say whether an object is one of ours that outlives its job, and so has no owner."""
    meta = item["metadata"]
    return RETAIN in meta.get("annotations", {}) and meta.get("labels", {}).get(MANAGED_BY) == "tunewright" and not controller(item)


def refuse_others(live: Mapping[str, Any], *, uid: str, job: str) -> None:
    """Raise when an object that stands under a child's name is not this job's.

    Raises Conflict when it belongs to a predecessor of the same name, which garbage collection will take away, and Rejected when it is
    somebody else's. A retained claim has no owner, and is taken on by the next job of that name.
    """
    owner, meta = controller(live), live["metadata"]
    if owner.get("uid") == uid:
        return
    what = f"{live['kind']} {meta['namespace']}/{meta['name']}"
    if owner.get("kind") == FINE_TUNE_JOB and owner.get("name") == job:
        raise Conflict(f"{what} belongs to an earlier FineTuneJob {job}, and is being deleted with it")
    if not is_retained(live):
        whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "was not made by this job"
        raise Rejected(f"{what} exists and {whose}; rename or delete it, or rename the FineTuneJob", reason="NameTaken")
