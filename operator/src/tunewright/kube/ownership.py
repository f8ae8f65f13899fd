"""Whether an object under a child's name belongs to the FineTuneJob, to an earlier one of the same name, or to another owner."""

from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.plan.label_names import RETAIN
from tunewright_runtime.errors import Conflict, Rejected
from tunewright_runtime.objects import Manifest, ref_of
from tunewright_runtime.ownership import controller

MANAGED_BY = "app.kubernetes.io/managed-by"


def is_retained(item: Manifest) -> bool:
    """Return whether an object is one that this operator made to outlive its job, so that it has no owner."""
    meta = item["metadata"]
    return RETAIN in meta.get("annotations", {}) and meta.get("labels", {}).get(MANAGED_BY) == "tunewright" and not controller(item)


def refuse_others(live: Manifest, *, uid: str, job: str) -> None:
    """Raise when an object that exists under a child's name is not this job's.

    Raises Conflict when it belongs to an earlier job of the same name: garbage collection deletes it soon. Raises Rejected when it has
    another owner, or none. A retained claim has no owner, and the next job of that name adopts it.
    """
    owner = controller(live)
    if owner.get("uid") == uid:
        return
    what = str(ref_of(live))
    if owner.get("kind") == FINE_TUNE_JOB and owner.get("name") == job:
        raise Conflict(f"{what} belongs to an earlier FineTuneJob {job}, and is being deleted with it")
    if not is_retained(live):
        whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "was not made by this job"
        raise Rejected(f"{what} exists and {whose}; rename or delete it, or rename the FineTuneJob", reason="NameTaken")
