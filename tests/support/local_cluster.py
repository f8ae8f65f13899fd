"""A machine under test, containers that are a few lines of Python, and waiting that is for a condition and never for a time."""

import asyncio
import textwrap
from collections.abc import Callable
from typing import Any

from tunewright.local.app import Home
from tunewright.local.machine import Machine

PATIENCE_SECONDS = 30
LABELS = {"tunewright.io/job-name": "demo"}


class Cluster:
    """A machine under test, and short ways to ask it things."""

    def __init__(self, home: Home, machine: Machine) -> None:
        self.home = home
        self.machine = machine
        self.store = home.store

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return self.store.create(manifest)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.store.get(kind, "default", name)
        assert found is not None, f"{kind} {name} is gone"
        return found

    def pods(self) -> list[dict[str, Any]]:
        return self.store.select("Pod", "default")

    def container(self, pod: dict[str, Any]) -> dict[str, Any]:
        return pod.get("status", {}).get("containerStatuses", [{}])[0]

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.home.log_folder(("default", "demo")).glob("*.log")))

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Let the machine work until a condition holds, and return what it gave."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if found := condition():
                    return found
                await self.machine.step()

    def condition(self, kind: str, name: str, wanted: str) -> dict[str, Any]:
        for entry in self.get(kind, name).get("status", {}).get("conditions", ()):
            if entry["type"] == wanted and entry["status"] == "True":
                return entry
        return {}

    async def finished(self, job: str) -> dict[str, Any]:
        """Wait for the end of a Job and return its final condition."""
        return await self.until(lambda: self.condition("Job", job, "Complete") or self.condition("Job", job, "Failed"))


def python(code: str) -> list[str]:
    return ["python", "-c", textwrap.dedent(code)]


def make_pod_spec(code: str, **container: Any) -> dict[str, Any]:
    grace = container.pop("grace", 5)
    volumes = container.pop("volumes", [])
    policy = container.pop("restartPolicy", "Never")
    return {
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": grace,
        "volumes": volumes,
        "containers": [{"name": "trainer", "image": "none", "command": python(code), **container}],
    }


def make_job(name: str, code: str, *, spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": LABELS}, "spec": make_pod_spec(code, **container)},
            **(spec or {}),
        },
    }


def make_gang(code: str, *, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    return make_job(
        "demo-train-0",
        code,
        spec={"completionMode": "Indexed", "completions": 2, "parallelism": 2, **(spec or {})},
        grace=1,
        ports=[{"name": "rendezvous", "containerPort": 29500}],
        env=[
            {"name": "RANK", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}},
            {"name": "PET_MASTER_ADDR", "value": "demo-train-0-0.demo-train"},
            {"name": "PET_MASTER_PORT", "value": "29500"},
        ],
    )


SERVER = """
    import os, signal, sys, http.server, threading
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            ok = self.path != "/ready" or not os.path.exists(os.environ.get("UNREADY", "/nonexistent"))
            body = os.environ["ANSWER"].encode()
            self.send_response(200 if ok else 503); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer((os.environ["TUNEWRIGHT_HOST"], int(os.environ["TUNEWRIGHT_PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
"""


def make_deployment(
    answer: str, *, code: str = SERVER, replicas: int = 1, env: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    variables = {"ANSWER": answer, "TUNEWRIGHT_HOST": "0.0.0.0", "TUNEWRIGHT_PORT": "8080", **(env or {})}
    labels = {**LABELS, "tunewright.io/component": "server"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "demo-serve", "namespace": "default", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": make_pod_spec(
                    code,
                    restartPolicy="Always",
                    env=[{"name": name, "value": value} for name, value in variables.items()],
                    ports=[{"name": "http", "containerPort": 8080}],
                    startupProbe={"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 0.1, "failureThreshold": 300},
                    readinessProbe={"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 0.1, "failureThreshold": 1},
                    livenessProbe={"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 0.2},
                ),
            },
            **spec,
        },
    }


def make_service() -> dict[str, Any]:
    labels = {**LABELS, "tunewright.io/component": "server"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "demo-serve", "namespace": "default", "labels": labels},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}], "selector": labels},
    }
