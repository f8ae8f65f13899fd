"""Suggestions for failures and for refused writes without one of their own: tables of their reasons.

`tunewright_runtime` derives the reasons of writes from the API server's answers, and observe/ those of failures. Reports of the trainer and
the server bring their own suggestion, which stays unchanged.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tunewright.api.v1alpha1.status import FailureStatus
from tunewright.api.v1alpha1.status import Reason as StatusReason
from tunewright.observe.pods import PodState
from tunewright.observe.reasons import FailureReason
from tunewright.plan.inputs import Missing, StageOutcome
from tunewright_contract.reports import Failure
from tunewright_contract.text import clip


class RefusedWrite(NamedTuple):
    """One reason, and what ends the refusals."""

    way_out: str
    stalled: bool  # only a change of the job or of the cluster's rules helps; otherwise another try can succeed


REFUSALS: Mapping[str, RefusedWrite] = {
    "WebhookFailed": RefusedWrite(
        "Repair the service of the admission webhook that the message names, or delete its configuration; the job then continues.",
        stalled=False,
    ),
    "ServerBusy": RefusedWrite(
        "Nothing to do unless it lasts: the job continues when the API server accepts requests again.", stalled=False
    ),
    "NoAnswer": RefusedWrite(
        "Check the API server's latency and the admission webhooks for this kind; the job continues when a write is answered.",
        stalled=False,
    ),
    "ServerFailed": RefusedWrite("Check the API server's log; the job continues when a write succeeds.", stalled=False),
    "QuotaExceeded": RefusedWrite("Delete objects that the quota counts, or have it raised; the job then continues.", stalled=False),
    "RefusedByPolicy": RefusedWrite(
        "Ask the cluster's administrator to admit this object, or change the field of the job that the message names.", stalled=True
    ),
    "RefusedByCluster": RefusedWrite(
        "Change the field of the job that leads to the value in the message: its name, an annotation, or a setting of the stage.",
        stalled=True,
    ),
    "FieldInvalid": RefusedWrite(
        "Correct this field where the job sets it: spec.check, spec.workers, spec.export and spec.serving have the field of the same name.",
        stalled=True,
    ),
    "PodOutsideLimits": RefusedWrite(
        "Change the field that the message names, or have the LimitRange or the ResourceQuota raised; the job then continues.", stalled=True
    ),
    "TooLarge": RefusedWrite("Shorten the longest texts of the job, such as env, affinity or a chat template.", stalled=True),
}
# Objects that this operator does not write over.
HELD: Mapping[str, RefusedWrite] = {
    "OrphanRuns": RefusedWrite(
        "Wait until that Job has ended, or delete it with `kubectl delete job`; this job then starts.", stalled=False
    ),
    "NameTaken": RefusedWrite("", stalled=True),
}
OTHER = RefusedWrite("", stalled=True)  # a name that is taken, for example: the message has the way out


def refusal_of(reason: str) -> RefusedWrite:
    """Return the row of a reason."""
    return REFUSALS.get(reason) or HELD.get(reason, OTHER)


WAYS_OUT: dict[FailureReason, str] = {
    FailureReason.OUT_OF_MEMORY: (
        "Raise resources.limits.memory of the stage (spec.check, spec.workers, spec.export or spec.serving), or add workers for training. "
        "A smaller batch, a lower data.maxLength and another deepspeed.stage need a job under another name."
    ),
    FailureReason.PROCESS_FAILED: "Read the pod's log, and remove the cause that it names.",
    FailureReason.STOPPED: "Nothing to do: it resumes from the last complete checkpoint.",
    FailureReason.DISRUPTED: "Nothing to do: it resumes from the last complete checkpoint, and this does not count against backoffLimit.",
    FailureReason.EVICTED: (
        "Free the resource that the message names on the node, or raise the stage's resources (requests and limits) to its real usage."
    ),
    FailureReason.NODE_NOT_READY: (
        "Repair the node or start it again: its pods may still run, so do not force-delete them. "
        "If it is powered off and stays so, taint it with node.kubernetes.io/out-of-service=nodeshutdown:NoExecute, or delete the Node."
    ),
    FailureReason.NODE_LOST: (
        "Start the node again, and the pod ends. Only if the node is powered off or gone: delete the Node, "
        "or force-delete the pod (`kubectl delete pod --force --grace-period=0`)."
    ),
    FailureReason.DEADLINE_EXCEEDED: (
        "Raise spec.activeDeadlineSeconds, which each attempt has for itself; the stage then runs again. For training, also add workers."
    ),
    FailureReason.JOB_FAILED: "Check the Events of the Job.",
    FailureReason.IMAGE_PULL: (
        "Check that the image exists and that its registry can be reached; a private one needs workers.imagePullSecrets."
    ),
    FailureReason.IMAGE_NAME: "Correct the image's name.",
    FailureReason.CONTAINER_CONFIG: "Create the Secret, ConfigMap or key that the message names; the pod then starts automatically.",
    FailureReason.CONTAINER_CREATE: (
        "Check that the image has Python and this release of Tunewright, and set another one (workers.image, serving.image) if not; "
        "if it has, check the node's container runtime."
    ),
    FailureReason.CRASH_LOOP: (
        "Read the log of the pod's previous run (`kubectl logs --previous`), and correct what it names, such as spec.serving; "
        "the server then starts again."
    ),
    FailureReason.UNSCHEDULABLE: (
        "Add nodes that fit, request less in workers.resources, or relax workers.nodeSelector, affinity and tolerations; "
        "status.plan.why shows whether a volume keeps the pods on one node."
    ),
    FailureReason.VOLUME_UNBOUND: (
        "Check the claim's Events (`kubectl describe pvc`): create the StorageClass that it names, or a volume of its size and access "
        "mode; the pod is then scheduled automatically."
    ),
    FailureReason.VOLUME: "Create the object that the message names, or repair the volume; the pod then starts automatically.",
    FailureReason.VOLUME_BUSY: (
        "Wait until the pod that has the volume ends, or delete it; the pod then starts automatically. To avoid this, use a claim with "
        "ReadWriteMany for the next job."
    ),
    FailureReason.SANDBOX: (
        "Check the node's container runtime and its network plugin: the pod starts when they work. To use another node, run "
        "`kubectl cordon` on this one and delete the pod; this costs no attempt."
    ),
    FailureReason.INIT_CONTAINER: (
        "Read its log (`kubectl logs POD --container=NAME`) and repair what it waits for, or leave it out: set podLabels or podAnnotations "
        "of the stage as the webhook that adds it documents; the pod is then created again."
    ),
    FailureReason.QUOTA: (
        "Request less in `resources` of this stage (spec.check, spec.workers, spec.export or spec.serving), free some of the namespace's "
        "quota, or have it raised; the job then continues."
    ),
    FailureReason.OUTSIDE_LIMITS: (
        "Set the requests and limits that the message names in `resources` of this stage (spec.check, spec.workers, spec.export or "
        "spec.serving), or have the LimitRange or the ResourceQuota changed; the job then continues."
    ),
    FailureReason.POLICY: (
        "Ask the cluster's administrator to admit these pods, or change the field that the message names; the job then continues."
    ),
    FailureReason.SERVICE_ACCOUNT: (
        "Create the service account, or correct serviceAccountName of this stage; the pods are then created automatically."
    ),
    FailureReason.PODS_REFUSED: "Correct the problem that the message names; the pods are then created automatically.",
    FailureReason.REPORT_INVALID: (
        "Use the trainer image of this release (workers.image), or correct the report that your image writes to its termination message."
    ),
    FailureReason.REPORT_MISSING: (
        "Use the trainer image of this release (workers.image), or have your image write its report to its termination message."
    ),
    FailureReason.NO_PROGRESS: (
        "Read the logs of all ranks; to restart from the last complete checkpoint, set spec.suspend to true, and to false when the phase "
        "is Suspended; or raise spec.progressDeadlineSeconds if steps take that long."
    ),
    FailureReason.NO_REPORTS: (
        "Check in the log of rank 0 whether steps continue. If so, open the way to the operator's progress port: NetworkPolicies of the "
        "namespace, and NO_PROXY for an image of your own. If not, set spec.suspend to true, and then to false, to restart it."
    ),
    FailureReason.ROLLOUT_STUCK: (
        "Read the log of the newest server pod. If it still starts, wait: the job continues when it is ready. If not, correct "
        "spec.serving. If a start takes that long, raise serving.progressDeadlineSeconds."
    ),
}
AGAIN_AFTER_ROLLBACK = (
    "Afterwards, to try this revision again, set another value of the annotation tunewright.io/retry, or another "
    "serving.progressDeadlineSeconds."
)
PLANNING = "planner"  # the stage of a failure before any pod exists
_WAYS_OUT = {reason.value: way_out for reason, way_out in WAYS_OUT.items()}


def suggestion(failure: Failure, more: str = "") -> str:
    """Return the way out: the failure's own, else the table's for its reason. `more`: sentences that follow it."""
    own = failure.suggestion or _WAYS_OUT.get(failure.reason, "")
    return f"{own} {more}" if own and more else own or more


def explained(outcome: StageOutcome[Any], more: str = "") -> str:
    """Return a failure's message with its way out; empty if there is no failure."""
    return explained_failure(outcome.failure, more) if outcome.failure else ""


def explained_failure(failure: Failure, more: str = "") -> str:
    """Return a failure's message with its way out."""
    message, way_out = failure.message, suggestion(failure, more)
    stop = "" if message.endswith((".", "!", "?")) else "."
    return f"{message}{stop} {way_out}" if way_out else message


def failure_of(missing: Sequence[Missing]) -> Failure:
    """Return the failure for a missing object that a job names."""
    return Failure(
        reason=StatusReason.REFERENCE_MISSING.value,
        message="; ".join(map(str, missing)),
        suggestion="The job continues when the object exists.",
    )


def failure_status(stage: str, failure: Failure, failed_pod: PodState | None, *, more: str = "") -> FailureStatus:
    """Return a failure in the form of status. `stage` is a component, or `PLANNING`. `more`: sentences that follow the way out."""
    return FailureStatus(
        stage=stage,
        reason=clip(failure.reason, 253),
        message=clip(failure.message),
        rank=failure.rank,
        suggestion=clip(suggestion(failure, more)),
        pod=failed_pod.name if failed_pod else None,
        exit_code=failed_pod.exit_code if failed_pod else None,
    )
