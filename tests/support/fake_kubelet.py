"""Pods without a node: their status is written through the API, as a kubelet would, with real reports as termination messages."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from api_server import ApiServer
from waiting import until

from tunewright.plan.label_names import SERVING_REVISION
from tunewright_contract.reports import Report, dump

LONG_AGO = "2026-01-01T10:00:00Z"


class FakeKubelet:
    """Runs the pods of one namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api = api
        self._pods = api.dynamic.resources.get(api_version="v1", kind="Pod")
        self._namespace = namespace

    def pods(self, component: str, *, attempt: int | None = None, job: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Return a stage's pods that have not ended; of one job, or of all."""
        selector = f"tunewright.io/component={component}" + ("" if attempt is None else f",tunewright.io/attempt={attempt}")
        selector += "" if job is None else f",tunewright.io/job-name={job}"
        found = self._api.list("v1", "Pod", self._namespace, selector=selector)
        return [pod for pod in found if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    def wait_for(self, component: str, count: int = 1, **which: Any) -> Sequence[Mapping[str, Any]]:
        return until(lambda: len(pods := self.pods(component, **which)) >= count and pods, f"{count} pods of {component}")

    def end(self, component: str, report: Report, *, count: int = 1, code: int = 0, **which: Any) -> None:
        """End all pods of a stage, with the same message."""
        for pod in self.wait_for(component, count, **which):
            ended = {
                "exitCode": code,
                "message": dump(report),
                "reason": "Error" if code else "Completed",
                "finishedAt": "2026-01-01T10:00:00Z",
            }
            self._write(pod, "Failed" if code else "Succeeded", component, {"terminated": ended}, ready=False)

    def fail(self, component: str, *, code: int = 0, reason: str = "Error", message: str = "", evicted: str = "", **which: Any) -> None:
        """End all pods of a stage without a report: its containers, or with `evicted` the pods before their containers show how they ended.

        Code 0 is a success without a report.
        """
        for pod in self.wait_for(component, which.pop("count", 1), **which):
            ended = {"exitCode": code, "message": message, "reason": reason, "finishedAt": "2026-01-01T10:00:00Z"}
            pod_status = {"reason": "Evicted", "message": evicted} if evicted else {}
            state = {"waiting": {"reason": "ContainerCreating"}} if evicted else {"terminated": ended}
            self._write(pod, "Failed" if code or evicted else "Succeeded", component, state, ready=False, pod_status=pod_status)

    def keep(self, component: str, report: Report, *, count: int = 1, code: int = 0, **which: Any) -> None:
        """End a stage's own containers, while an injected one keeps their pods."""
        terminated = {"exitCode": code, "message": dump(report), "reason": "Error" if code else "Completed"}
        proxy = {"name": "proxy", "image": "i", "imageID": "i", "ready": True, "restartCount": 0, "lastState": {}}
        for pod in self.wait_for(component, count, **which):
            state = {"terminated": {**terminated, "finishedAt": "2026-01-01T10:00:00Z"}}
            self._write(pod, "Running", component, state, ready=False, more=[{**proxy, "state": {"running": {}}}])

    def serve(self, component: str = "server", *, count: int = 1, **which: Any) -> None:
        """Let all pods of a stage run and be ready."""
        for pod in self.wait_for(component, count, **which):
            self._write(pod, "Running", component, {"running": {"startedAt": "2026-01-01T10:00:00Z"}}, ready=True)

    def serve_revision(self, revision: str) -> None:
        """Let the servers of one revision run and be ready."""
        for pod in self._of_revision(revision):
            self._write(pod, "Running", "server", {"running": {"startedAt": "2026-01-01T10:00:00Z"}}, ready=True)

    def refuse_revision(self, revision: str, report: Report) -> None:
        """Let the servers of one revision end with these words, and be started again."""
        ended = {"exitCode": 65, "message": dump(report), "reason": "Error", "finishedAt": "2026-01-01T10:00:00Z"}
        for pod in self._of_revision(revision):
            self._write(
                pod, "Running", "server", {"running": {"startedAt": "2026-01-01T10:00:00Z"}}, ready=False, last={"terminated": ended}
            )

    def hinder(
        self, component: str, *, waiting: Mapping[str, str] | None = None, unscheduled: str = "", init: str = "", **which: Any
    ) -> None:
        """Let all pods of a stage wait: the kubelet for what `waiting` says, the scheduler for a node, or all for the init container `init`."""
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unscheduled}
        container = {"name": component, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
        status: dict[str, Any] = {"conditions": [condition]} if unscheduled else {"containerStatuses": [container]}
        if init:
            runs = {
                "name": init,
                "image": "i",
                "imageID": "i",
                "ready": False,
                "restartCount": 0,
                "state": {"running": {"startedAt": LONG_AGO}},
            }
            status |= {"initContainerStatuses": [runs], "conditions": [{"type": "Initialized", "status": "False"}]}
        for pod in self.wait_for(component, **which):
            name, body = pod["metadata"]["name"], {"status": {"phase": "Pending", **status}}
            self._pods.status.patch(name=name, namespace=self._namespace, body=body, content_type="application/merge-patch+json")

    def lose(self, component: str, *, node: str, **which: Any) -> None:
        """Let all pods of a stage be on a node that stopped reporting, as the node controller marks them."""
        container = {"name": component, "image": "i", "imageID": "i", "ready": True, "restartCount": 0}
        container["state"] = {"running": {"startedAt": "2026-01-01T10:00:00Z"}}
        conditions = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]
        status = {"phase": "Running", "containerStatuses": [container], "conditions": conditions}
        for pod in self.wait_for(component, **which):
            self._bind(pod, node)
            name, body = pod["metadata"]["name"], {"status": status}
            self._pods.status.patch(name=name, namespace=self._namespace, body=body, content_type="application/merge-patch+json")

    def warn(self, component: str, reason: str, message: str, *, node: str, **which: Any) -> None:
        """Let all pods of a stage wait on a node, with a Warning Event about each."""
        for pod in self.wait_for(component, **which):
            self._bind(pod, node)
            about = {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": self._namespace,
                **{key: pod["metadata"][key] for key in ("name", "uid")},
            }
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{pod['metadata']['name']}.{reason.lower()}"},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "involvedObject": about,
                "lastTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            made = self._api.create(event, self._namespace, keep=True)
            assert made.accepted, made.message

    def confirm_deletions(self, component: str, **which: Any) -> None:
        """End and remove the pods of a stage that are being deleted and whose containers have never started."""
        for pod in self.wait_for(component, **which):
            if "deletionTimestamp" in pod["metadata"]:
                name, body = pod["metadata"]["name"], {"status": {"phase": "Failed"}}
                self._pods.status.patch(name=name, namespace=self._namespace, body=body, content_type="application/merge-patch+json")
                self._pods.delete(name=name, namespace=self._namespace, body={"gracePeriodSeconds": 0})

    def _bind(self, pod: Mapping[str, Any], node: str) -> None:
        name = pod["metadata"]["name"]
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
        self._pods.subresources["binding"].create(name=name, namespace=self._namespace, body=binding)

    def touch(self, component: str, mark: str) -> None:
        """Annotate a stage's pods: an event that changes nothing."""
        for pod in self._api.list("v1", "Pod", self._namespace, selector=f"tunewright.io/component={component}"):
            body = {"metadata": {"annotations": {"test/mark": mark}}}
            self._pods.patch(
                name=pod["metadata"]["name"], namespace=self._namespace, body=body, content_type="application/merge-patch+json"
            )

    def _of_revision(self, revision: str) -> Sequence[Mapping[str, Any]]:
        def there() -> Sequence[Mapping[str, Any]]:
            return [pod for pod in self.pods("server") if pod["metadata"]["annotations"][SERVING_REVISION] == revision]

        return until(there, f"there are servers of revision {revision}")

    def _write(
        self,
        pod: Mapping[str, Any],
        phase: str,
        component: str,
        state: Mapping[str, Any],
        *,
        ready: bool,
        last: Mapping[str, Any] | None = None,
        more: Sequence[Mapping[str, Any]] = (),
        pod_status: Mapping[str, str] | None = None,
    ) -> None:
        word = "True" if ready else "False"
        container = {"name": component, "image": "i", "imageID": "i", "ready": ready, "restartCount": 0, "state": state}
        container["lastState"] = last or {}
        conditions = [{"type": kind, "status": word, "lastTransitionTime": "2026-01-01T10:00:00Z"} for kind in ("Ready", "ContainersReady")]
        status = {"phase": phase, "containerStatuses": [container, *more], "conditions": conditions, **(pod_status or {})}
        self._pods.status.patch(
            name=pod["metadata"]["name"],
            namespace=self._namespace,
            body={"status": status},
            content_type="application/merge-patch+json",
        )
