"""Whether an object under a child's name belongs to the FineTuneJob, to an earlier one of the same name, or to another owner.

An orphan is a child that lost its owner: its job was deleted with `--cascade=orphan`, or a backup was restored (ADR 25).
"""

from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.plan.label_names import COMPONENT, JOB_NAME, JOB_UID, RETAIN
from tunewright.plan.names import label_value
from tunewright_runtime.apply import has_ended
from tunewright_runtime.errors import Conflict, Rejected
from tunewright_runtime.objects import Manifest, controller, ref_of

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


def refuse_running(live: Manifest, *, uid: str, job: str) -> None:
    """Raise if a Job of an earlier job of this name has not ended: its pods hold accelerators, and may write.

    Raises Rejected if it is an orphan. Raises Conflict if it names the earlier job as its owner: garbage collection deletes it soon, or
    it has become an orphan, and the cache has not learned it yet.
    """
    if live["kind"] != "Job" or has_ended(live) or controller(live).get("uid") == uid:
        return
    _refuse_left_to_garbage_collection(live, job=job)
    _refuse_running_orphan(live, job=job)


def refuse_others(live: Manifest, *, uid: str, job: str) -> None:
    """Raise if an object with a child's name is not this job's.

    Raises Conflict if it belongs to an earlier job of the same name: garbage collection deletes it soon. Raises Rejected if it has
    another owner, or none. A retained claim has no owner, and the next job of that name adopts it, as it adopts orphans.
    """
    owner = controller(live)
    if owner.get("uid") == uid:
        return
    what = str(ref_of(live))
    _refuse_left_to_garbage_collection(live, job=job)
    _refuse_running_orphan(live, job=job)
    if not is_retained(live) and not is_orphan(live, job=job):
        whose = f"belongs to {owner['kind']} {owner['name']}" if owner else "was not created by this job"
        raise Rejected(f"{what} exists and {whose}; rename or delete it, or rename the FineTuneJob", reason="NameTaken")


def _refuse_left_to_garbage_collection(live: Manifest, *, job: str) -> None:
    owner = controller(live)
    if owner.get("kind") == FINE_TUNE_JOB and owner.get("name") == job:
        raise Conflict(f"{ref_of(live)} belongs to an earlier FineTuneJob {job}, and is being deleted with it")


def _refuse_running_orphan(live: Manifest, *, job: str) -> None:
    if live["kind"] == "Job" and is_orphan(live, job=job) and not has_ended(live):
        raise Rejected(f"{ref_of(live)} of an earlier FineTuneJob {job} has no owner any more, and still runs", reason="OrphanRuns")
