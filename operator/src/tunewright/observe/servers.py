"""The Deployment and its Service: is every replica of the wanted revision up, and where does it answer?"""

from collections.abc import Sequence

from tunewright.observe.pods import PodState
from tunewright.observe.raw import Raw, number, parts, text
from tunewright.observe.reasons import Reason
from tunewright.plan import label_names
from tunewright.plan.inputs import ServeOutcome, StageState
from tunewright_contract.reports import Failure


def read_server(deployment: Raw, service: Raw, pods: Sequence[PodState], *, revision: str) -> ServeOutcome:
    """Read the server. `pods` are those of the wanted revision."""
    if not deployment:
        return ServeOutcome(url=_url(service))
    hindered = next((pod.failure for pod in pods if pod.failure), None)
    if _is_ready(deployment, revision):
        state, hindered = StageState.SUCCEEDED, None
    elif stuck := _stuck(deployment):
        state, hindered = StageState.FAILED, hindered or stuck
    else:
        state = StageState.RUNNING if any(pod.running for pod in pods) else StageState.PENDING
    return ServeOutcome(state=state, failure=hindered, ready_replicas=number(deployment, "status", "readyReplicas") or 0, url=_url(service))


def _is_ready(deployment: Raw, revision: str) -> bool:
    """Judge as kstatus does: the controller has seen this generation, all replicas are of it, and all of them are ready."""
    wanted = number(deployment, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    updated, total, ready = (number(deployment, "status", field) or 0 for field in ("updatedReplicas", "replicas", "readyReplicas"))
    return (
        text(deployment, "metadata", "annotations", label_names.REVISION) == revision
        and (number(deployment, "status", "observedGeneration") or 0) >= (number(deployment, "metadata", "generation") or 0)
        and updated >= wanted
        and total <= updated
        and ready >= wanted
    )


def _stuck(deployment: Raw) -> Failure | None:
    for found in parts(deployment, "status", "conditions"):
        if found.get("type") == "Progressing" and found.get("reason") == Reason.ROLLOUT_STUCK:
            return Failure(reason=Reason.ROLLOUT_STUCK.value, message=text(found, "message") or "the servers did not become ready in time")
    return None


def _url(service: Raw) -> str:
    """Return the Service's address: what its annotation says, else its name within the cluster."""
    if not service:
        return ""
    said = text(service, "metadata", "annotations", label_names.URL)
    if said:
        return said
    port = next((number(port, "port") for port in parts(service, "spec", "ports")), None) or 80
    host = f"{text(service, 'metadata', 'name')}.{text(service, 'metadata', 'namespace') or 'default'}.svc"
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"
