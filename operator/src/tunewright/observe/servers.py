"""Reads the Deployment, its pods and its Service: the present and the previous revision, readiness of the wanted one, and its URL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from tunewright.api.v1alpha1.status import Phase
from tunewright.observe.disruptions import with_node
from tunewright.observe.events import PodProblem, pods_refused
from tunewright.observe.explained_pods import read_explained
from tunewright.observe.other_controllers import read_scaling
from tunewright.observe.pods import PodState, last_end, read_pod
from tunewright.observe.raw import Raw, condition, number, part, parts, text
from tunewright.observe.reasons import OF_NODES, FailureReason
from tunewright.plan import label_names
from tunewright.plan.inputs import ServeOutcome, StageState
from tunewright.plan.rollout import PublishedModel, Refusal, Rollout, ServingRevision
from tunewright_contract.base import Message
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure
from tunewright_contract.text import clip, holds_control

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


LONGEST_URL = 2048  # characters; the limit of the status field


def read_server(
    deployment: Raw,
    service: Raw,
    pods: Sequence[Raw],
    problems: Mapping[str, PodProblem],
    *,
    now: datetime | None,
    recorded: Raw | None,
) -> tuple[ServeOutcome, PodState | None]:
    """Read the server, and name the pod that shows its problem. A rolled-back revision is a failure, even if the earlier one answers.

    `problems` are those that Events report, by the uid of the object. `recorded`: the stored status.
    """
    if not deployment:
        return ServeOutcome(url=_url(service)), None
    rollout, failed_pod = read_rollout(deployment, pods)
    mine = of_revision(pods, rollout.live.name if rollout.live else "")
    states = [read_explained(pod, problems, now) for pod in mine]
    failed_pod = failed_pod or _on_a_lost_node(pods, now) or next((pod for pod in states if pod.failure), None)
    if rollout.failure is not None and failed_pod is not None and failed_pod.failure is not None:
        rollout = replace(rollout, failure=failed_pod.failure)  # the pod's failure is more exact than the Deployment's
    failure = failed_pod.failure if failed_pod else rollout.failure or refused_pods(deployment)
    if rollout.refused is not None:
        state, failure, failed_pod = StageState.FAILED, rollout.refused.failure, None
    elif _is_ready(deployment) or (failure is None and _is_only_scaled(deployment, rollout, recorded)):
        state, failure, failed_pod = StageState.SUCCEEDED, None, None
    elif rollout.failure is not None:
        state = StageState.FAILED
    else:
        state = StageState.RUNNING if any(pod.running for pod in states) else StageState.PENDING
    ready = number(deployment, "status", "readyReplicas") or 0
    selector = _selector(deployment)
    scaling = read_scaling(deployment)
    outcome = ServeOutcome(
        state=state,
        failure=failure,
        ready_replicas=ready,
        replicas=scaling.replicas,
        scaler=scaling.scaler,
        set_by=scaling.set_by,
        url=_url(service),
        rollout=rollout,
        selector=selector,
    )
    return outcome, failed_pod


def _selector(deployment: Raw) -> str:
    labels = part(deployment, "spec", "selector", "matchLabels")
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _on_a_lost_node(pods: Sequence[Raw], now: datetime | None) -> PodState | None:
    """Return a pod on a node that does not answer, also one that is being replaced: its replacement often waits for it."""
    found = (with_node(read_pod(pod), pod, now) for pod in pods)
    return next((pod for pod in found if pod.failure and pod.failure.reason in OF_NODES), None)


def _is_only_scaled(deployment: Raw, rollout: Rollout, recorded: Raw | None) -> bool:
    """Return whether servers that were ready still serve, and only their number has changed since: the new ones may still start.

    Fewer ready ones than the stored status counts, and than are wanted, were lost. A job that is being rolled out is in another phase.
    """
    before = part(recorded, "serving")
    name = clip(rollout.live.name, 253) if rollout.live else ""
    if text(recorded, "phase") != Phase.SERVING or text(before, "revision") != name:
        return False
    ready = number(deployment, "status", "readyReplicas") or 0
    lost = ready < min(_wanted(deployment), number(before, "readyReplicas") or 0)
    return not lost and (rollout.completed or not rollout.current)


def _wanted(deployment: Raw) -> int:
    wanted = number(deployment, "spec", "replicas")
    return 1 if wanted is None else wanted


def _is_ready(deployment: Raw) -> bool:
    """Decide as kstatus does: the controller has observed this generation, and all replicas are updated, ready and available."""
    wanted = _wanted(deployment)
    fields = ("updatedReplicas", "replicas", "readyReplicas", "availableReplicas")
    updated, total, ready, available = (number(deployment, "status", field) or 0 for field in fields)
    return (
        (number(deployment, "status", "observedGeneration") or 0) >= (number(deployment, "metadata", "generation") or 0)
        and updated >= wanted
        and total <= updated
        and ready >= wanted
        and available >= wanted
    )


def _url(service: Raw) -> str:
    """Return the Service's address: its annotation, else its name in the cluster."""
    if not service:
        return ""
    said = text(service, "metadata", "annotations", label_names.URL)
    if said and len(said) <= LONGEST_URL and not holds_control(said):
        return said
    port = next((number(port, "port") for port in parts(service, "spec", "ports")), None) or 80
    host = f"{text(service, 'metadata', 'name')}.{text(service, 'metadata', 'namespace') or 'default'}.svc"
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"
