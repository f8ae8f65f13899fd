"""Children as an API server returns them, made with as few words as a test needs."""

from typing import Any

REVISION = "3f9a1c2b"
SERVING = "3f9a1c2b-0a1b2c"  # of the servers
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out progressing"}
Raw = dict[str, Any]


def a_job(component: str, *conditions: tuple[str, str], attempt: int | None = None, revision: str = REVISION, **more: Any) -> Raw:
    """A Job; a condition is (type, reason), and true."""
    name = {"checker": "bot-check", "exporter": "bot-export"}.get(component, f"bot-train-{attempt}")
    status = {
        "conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": more.get("message", "")} for kind, reason in conditions
        ]
    }
    return {
        "kind": "Job",
        "metadata": {"name": name, "labels": _labels(component, attempt, revision), "annotations": more.get("annotations", {})},
        "spec": {"suspend": more.get("suspend", False)},
        "status": status | more.get("status", {}),
    }


def a_pod(
    component: str, *, index: int | None = None, attempt: int | None = None, revision: str = REVISION, serving: str = SERVING, **status: Any
) -> Raw:
    """A pod; the rest is its status."""
    number = 0 if index is None else index
    annotations = {} if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
    if component == "server":
        annotations["tunewright.io/serving-revision"] = serving
    return {
        "kind": "Pod",
        "metadata": {"name": f"{component}-{number}", "labels": _labels(component, attempt, revision), "annotations": annotations},
        "status": status,
    }


def ended(code: int, message: str = "", *, component: str = "trainer", reason: str = "", at: str = "2026-01-01T10:00:00Z") -> Raw:
    """The status of a pod whose container ended."""
    terminated = {"exitCode": code, "message": message, "reason": reason or ("Error" if code else "Completed"), "finishedAt": at}
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": component, "state": {"terminated": terminated}}]}


def kept(code: int, message: str = "", *, component: str = "trainer", phase: str = "Running", proxy: Raw | None = None) -> Raw:
    """The status of a pod whose own container ended, and which an injected container keeps; `proxy` is that one's state."""
    status = ended(code, message, component=component)
    status["containerStatuses"].insert(0, {"name": "proxy", "state": proxy or {"running": {"startedAt": "2026-01-01T09:59:00Z"}}})
    return {**status, "phase": phase}


def running(component: str = "trainer", *, since: str = "2026-01-01T10:00:00Z") -> Raw:
    """The status of a pod whose container runs."""
    return {"phase": "Running", "containerStatuses": [{"name": component, "state": {"running": {"startedAt": since}}}]}


def waiting(reason: str, message: str = "", *, last_message: str = "", component: str = "trainer") -> Raw:
    """The status of a pod whose container waits."""
    status: Raw = {"name": component, "state": {"waiting": {"reason": reason, "message": message}}}
    if last_message:
        status["lastState"] = {"terminated": {"exitCode": 1, "message": last_message}}
    return {"phase": "Pending", "containerStatuses": [status]}


def a_deployment(*, runs: str = SERVING, annotations: dict[str, str] | None = None, **status: Any) -> Raw:
    """A Deployment of two replicas, made from the template of a serving revision."""
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "bot-serve",
            "generation": 4,
            "labels": _labels("server", None, REVISION),
            "annotations": annotations or {},
        },
        "spec": {"replicas": 2, "template": a_template(runs)},
        "status": {"observedGeneration": 4} | status,
    }


def a_template(name: str) -> Raw:
    """The pod template of a serving revision."""
    return {
        "metadata": {"annotations": {"tunewright.io/serving-revision": name}},
        "spec": {"containers": [{"name": "server", "image": name}]},
    }


def a_service(*, url: str = "", port: int = 80) -> Raw:
    """The Service in front of the servers."""
    return {
        "kind": "Service",
        "metadata": {
            "name": "bot-serve",
            "namespace": "default",
            "labels": _labels("server", None, REVISION),
            "annotations": {"tunewright.io/url": url} if url else {},
        },
        "spec": {"ports": [{"name": "http", "port": port}]},
    }


def _labels(component: str, attempt: int | None, revision: str) -> Raw:
    labels = {"tunewright.io/component": component, "tunewright.io/revision": revision}
    return labels if attempt is None else labels | {"tunewright.io/attempt": str(attempt)}
