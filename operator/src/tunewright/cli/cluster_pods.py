"""The pods of a job in a cluster: which stage, attempt and rank each is, what they print, and which server is ready."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tunewright.cli.places import Job, PodLog
from tunewright.kube.kinds import SCHEME
from tunewright.plan.label_names import ATTEMPT, COMPLETION_INDEX, COMPONENT, JOB_UID, SERVING_REVISION
from tunewright.render.variables import SERVER_PORT
from tunewright_contract.stages import STAGES, Shape, of_shape
from tunewright_runtime.user_client import RefusedError, UserClient

LOOK_SECONDS = 1.0  # between two looks for new pods while following
TEXT = "application/json, */*"  # as kubectl: with text/plain alone, errors are refused with 406
_STAGES = {stage.component: stage.name for stage in STAGES}
_COMPONENTS = {stage.name: stage.component for stage in STAGES}
_SERVERS = {stage.component for stage in of_shape(Shape.SERVER)}
Pod = Mapping[str, Any]


class Pods:
    """Reads pods and their logs."""

    def __init__(self, client: UserClient) -> None:
        self._client = client

    def logs(self, job: Job) -> Sequence[PodLog]:
        """Return the pods whose container has started, the oldest first."""
        found = [_pod_log(pod) for pod in self._of(job) if _has_started(pod)]
        return sorted(found, key=lambda pod: pod.since)

    def printed(self, namespace: str, pod: PodLog, *, tail: int | None, previous: bool, follow: bool = False) -> Iterator[str]:
        """Yield the lines of a pod's container."""
        query: list[tuple[str, Any]] = [("container", _COMPONENTS[pod.stage])]
        query += [("tailLines", tail)] if tail is not None else []
        query += [("previous", "true")] if previous else []
        query += [("follow", "true")] if follow else []
        for line in self._client.lines(SCHEME.path("Pod", namespace, pod.name, "log"), query, accept=TEXT):
            yield line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]

    def follow(self, job: Job, wanted: Callable[[PodLog], bool], *, tail: int | None) -> Iterator[tuple[str, str]]:
        """Yield (pod, line) of the wanted pods: of those that have started the last `tail` lines first, of later ones all."""
        lines: queue.Queue[tuple[str, str] | BaseException] = queue.Queue()
        followed: set[tuple[str, int]] = set()
        first = True
        while True:
            for pod in self._of(job):
                log, start = _pod_log(pod), (pod["metadata"]["name"], _restarts(pod))
                if start not in followed and _has_started(pod) and wanted(log):
                    followed.add(start)
                    limit = tail if first else None
                    threading.Thread(target=self._pump, args=(lines, job["metadata"]["namespace"], log, limit), daemon=True).start()
            first = False
            yield from _next(lines)

    def ready_server(self, job: Job) -> tuple[str, int] | None:
        """Return a ready server's pod and port: of the revision in status if there is one, otherwise of the newest."""
        revision = ((job.get("status") or {}).get("serving") or {}).get("revision", "")
        ready = [pod for pod in self._of(job) if pod["metadata"]["labels"].get(COMPONENT) in _SERVERS and _is_ready(pod)]
        if not ready:
            return None
        best = max(
            ready, key=lambda pod: (_revision(pod).startswith(revision), pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])
        )
        ports = [port for container in best["spec"]["containers"] for port in container.get("ports") or () if port.get("name") == "http"]
        return best["metadata"]["name"], int(ports[0]["containerPort"]) if ports else SERVER_PORT

    def _of(self, job: Job) -> Sequence[Pod]:
        selector = [("labelSelector", f"{JOB_UID}={job['metadata']['uid']}")]
        found: list[Pod] = self._client.get(SCHEME.path("Pod", job["metadata"]["namespace"]), selector)["items"]
        return [pod for pod in found if pod["metadata"].get("labels", {}).get(COMPONENT) in _STAGES]

    def _pump(self, lines: "queue.Queue[tuple[str, str] | BaseException]", namespace: str, pod: PodLog, tail: int | None) -> None:
        try:
            for line in self.printed(namespace, pod, tail=tail, previous=False, follow=True):
                lines.put((pod.name, line))
        except RefusedError as error:
            if error.code != 404:  # the pod is gone
                lines.put(error)
        except BaseException as error:  # noqa: BLE001 - the thread that prints raises it
            lines.put(error)


def _next(lines: "queue.Queue[tuple[str, str] | BaseException]") -> Iterator[tuple[str, str]]:
    """Yield what arrives within a moment. Raises what a thread raised."""
    until = time.monotonic() + LOOK_SECONDS
    while (left := until - time.monotonic()) > 0:
        try:
            item = lines.get(timeout=left)
        except queue.Empty:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


def _pod_log(pod: Pod) -> PodLog:
    meta = pod["metadata"]
    labels, index = meta["labels"], (meta.get("annotations") or {}).get(COMPLETION_INDEX)
    gang = ATTEMPT in labels
    return PodLog(
        name=meta["name"],
        stage=_STAGES[labels[COMPONENT]],
        attempt=int(labels[ATTEMPT]) if gang else None,
        rank=int(index) if gang and index is not None else None,
        since=str((pod.get("status") or {}).get("startTime") or meta["creationTimestamp"]),
    )


def _container(pod: Pod) -> Mapping[str, Any]:
    """Return the status of the stage's container: a pod can have containers of others, such as a proxy."""
    name = pod["metadata"]["labels"][COMPONENT]
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((one for one in statuses if one["name"] == name), {})


def _has_started(pod: Pod) -> bool:
    container = _container(pod)
    states = {**(container.get("lastState") or {}), **(container.get("state") or {})}
    return "running" in states or "terminated" in states


def _restarts(pod: Pod) -> int:
    return int(_container(pod).get("restartCount", 0))


def _is_ready(pod: Pod) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _revision(pod: Pod) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(SERVING_REVISION, ""))
