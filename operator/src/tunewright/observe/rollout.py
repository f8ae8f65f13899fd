"""Reads the current and the previous revision from the Deployment and its pods."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from tunewright.observe.events import pods_refused
from tunewright.observe.pods import PodState, last_end
from tunewright.observe.raw import Raw, condition, number, part, parts, text
from tunewright.observe.reasons import FailureReason
from tunewright.plan import label_names
from tunewright.plan.rollout import PublishedModel, Refusal, Rollout, ServingRevision
from tunewright_contract.base import Message
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure

M = TypeVar("M", bound=Message)

_COMPLETE = "NewReplicaSetAvailable"  # the reason from the first time that all replicas of a template were available


def read_rollout(deployment: Raw, pods: Sequence[Raw]) -> tuple[Rollout, PodState | None]:
    """Read a Deployment, and name the pod that shows why its revision failed. `pods` are those of the server."""
    template = dict(part(deployment, "spec", "template"))
    template["metadata"] = {key: value for key, value in part(template, "metadata").items() if key != "creationTimestamp"}
    live = ServingRevision(
        name=text(template, "metadata", "annotations", label_names.SERVING_REVISION),
        template=template,
        model=_annotation(deployment, label_names.MODEL, PublishedModel),
    )
    current = (number(deployment, "status", "observedGeneration") or 0) >= (number(deployment, "metadata", "generation") or 0)
    rollout = Rollout(
        live=live,
        current=current,
        completed=current and _is_completed(deployment),
        previous=_annotation(deployment, label_names.PREVIOUS, ServingRevision),
        refused=_annotation(deployment, label_names.REFUSED, Refusal),
    )
    if not current or rollout.completed:
        return rollout, None
    failed_pod = next((end for end in map(last_end, of_revision(pods, live.name)) if end and end.disposition is Disposition.FAIL), None)
    failure = (failed_pod.failure if failed_pod else None) or _stuck(deployment)
    return replace(rollout, failure=failure), failed_pod


def of_revision(pods: Sequence[Raw], name: str) -> list[Raw]:
    """Return the pods of a revision, without those that are being replaced: their end is not a failure."""
    return [
        pod
        for pod in pods
        if text(pod, "metadata", "annotations", label_names.SERVING_REVISION) == name and not text(pod, "metadata", "deletionTimestamp")
    ]


def _is_completed(deployment: Raw) -> bool:
    """Decide as kube-controller-manager does (pkg/controller/deployment/progress.go, isCompleteDeployment)."""
    total, updated = (number(deployment, "status", field) or 0 for field in ("replicas", "updatedReplicas"))
    return total == updated and text(_progressing(deployment), "reason") == _COMPLETE


def refused_pods(deployment: Raw) -> Failure | None:
    """Return why the Deployment's pods cannot be created: a quota, a policy, a missing account."""
    found = condition(deployment, "ReplicaFailure")
    return pods_refused(text(found, "message")) if found else None


def _stuck(deployment: Raw) -> Failure | None:
    found = _progressing(deployment)
    if found.get("reason") != FailureReason.ROLLOUT_STUCK:
        return None
    if refused := refused_pods(deployment):
        return refused
    return Failure(reason=FailureReason.ROLLOUT_STUCK.value, message=text(found, "message") or "the servers did not become ready in time")


def _progressing(deployment: Raw) -> Raw:
    return next((found for found in parts(deployment, "status", "conditions") if found.get("type") == "Progressing"), {})


def _annotation(deployment: Raw, name: str, kind: type[M]) -> M | None:
    """Read one of the operator's annotations. An invalid one, such as an edited one, counts as absent."""
    try:
        return kind.model_validate_json(text(deployment, "metadata", "annotations", name))
    except ValidationError:
        return None
