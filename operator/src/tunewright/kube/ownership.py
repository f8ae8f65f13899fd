"""Whether an object under a child's name belongs to the FineTuneJob, to an earlier one of the same name, or to another owner."""

from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.plan.label_names import RETAIN
from tunewright_runtime.errors import Conflict, Rejected
from tunewright_runtime.objects import Manifest, ref_of
from tunewright_runtime.ownership import controller

MANAGED_BY = "app.kubernetes.io/managed-by"


def is_retained(item: Manifest) -> bool:
    """Return whether this operator created the object without an owner, so that it stays when its job is deleted."""
    meta = item["metadata"]
    return RETAIN in meta.get("annotations", {}) and meta.get("labels", {}).get(MANAGED_BY) == "tunewright" and not controller(item)


def refuse_others(live: Manifest, *, uid: str, job: str) -> None:
    """Raise if an object with a child's name is not this job's.

    Raises Conflict if it belongs to an earlier job of the same name: garbage collection deletes it soon. Raises Rejected if it has
    another owner, or none. A retained claim has no owner, and the next job of that name adopts it.
    """
    owner = controller(live)
    if owner.get("uid") == uid:
        return
    what = str(ref_of(live))
    if owner.get("kind") == FINE_TUNE_JOB and owner.get("name") == job:
        raise Conflict(f"{what} belongs to an earlier FineTuneJob {job}, and is being deleted with it")
    if not is_retained(live):
        whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "was not created by this job"
        raise Rejected(f"{what} exists and {whose}; rename or delete it, or rename the FineTuneJob", reason="NameTaken")
