"""Whether an object under a child's name belongs to the FineTuneJob, to an earlier one of the same name, or to another owner.

An orphan is a child that lost its owner: its job was deleted with `--cascade=orphan`, or a backup was restored (ADR 25).
"""

from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.plan.label_names import COMPONENT, JOB_NAME, JOB_UID, RETAIN
from tunewright.plan.names import label_value
from tunewright_runtime.apply import has_ended
from tunewright_runtime.errors import Conflict, Rejected
from tunewright_runtime.objects import Manifest, ref_of
from tunewright_runtime.ownership import controller

MANAGED_BY = "app.kubernetes.io/managed-by"


def is_retained(item: Manifest) -> bool:
    """Return whether this operator created the object without an owner, so that it stays when its job is deleted."""
    meta = item["metadata"]
    return RETAIN in meta.get("annotations", {}) and meta.get("labels", {}).get(MANAGED_BY) == "tunewright" and not controller(item)


def is_orphan(item: Manifest, *, job: str) -> bool:
    """Return whether this operator created the object for a job of this name, and the object has no owner any more."""
    meta = item["metadata"]
    labels = meta.get("labels") or {}
    ours = labels.get(MANAGED_BY) == "tunewright" and labels.get(JOB_NAME) == label_value(job)
    return ours and JOB_UID in labels and COMPONENT in labels and not meta.get("ownerReferences")


def refuse_running(item: Manifest, *, job: str) -> None:
    """Raise Rejected if an orphan is a Job that has not ended: its pods hold accelerators, and may write."""
    if item["kind"] == "Job" and is_orphan(item, job=job) and not has_ended(item):
        raise Rejected(f"{ref_of(item)} of an earlier FineTuneJob {job} has no owner any more, and still runs", reason="OrphanRuns")


def refuse_others(live: Manifest, *, uid: str, job: str) -> None:
    """Raise if an object with a child's name is not this job's.

    Raises Conflict if it belongs to an earlier job of the same name: garbage collection deletes it soon. Raises Rejected if it has
    another owner, or none. A retained claim has no owner, and the next job of that name adopts it, as it adopts orphans.
    """
    owner = controller(live)
    if owner.get("uid") == uid:
        return
    what = str(ref_of(live))
    if owner.get("kind") == FINE_TUNE_JOB and owner.get("name") == job:
        raise Conflict(f"{what} belongs to an earlier FineTuneJob {job}, and is being deleted with it")
    refuse_running(live, job=job)
    if not is_retained(live) and not is_orphan(live, job=job):
        whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "was not created by this job"
        raise Rejected(f"{what} exists and {whose}; rename or delete it, or rename the FineTuneJob", reason="NameTaken")
