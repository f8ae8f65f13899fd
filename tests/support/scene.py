"""One namespace with its operator and its pretended kubelet, and the job that tests create there: two workers, claims, a model and data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_server import ApiServer
from control_plane import ADMIN
from fake_kubelet import FakeKubelet
from operator_process import OperatorProcess
from ruamel.yaml import YAML
from waiting import PATIENCE_SECONDS, until

from tunewright.kube.kinds import RESOURCES, WATCHED
from tunewright_runtime.client import PAGE

CRDS = Path(__file__).parents[2] / "crds"
DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "finetunejobs.tunewright.io")
JOB = ("tunewright.io/v1alpha1", "FineTuneJob")
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def install_definition(api: ApiServer) -> None:
    """Bring FineTuneJobs' definition to an API server, and wait until it is known there."""
    (committed,) = [YAML(typ="safe").load(path) for path in CRDS.glob("*.yaml")]
    made = api.apply(committed, keep=True)
    assert made.accepted, made.message
    until(lambda: any(c["type"] == "Established" and c["status"] == "True" for c in _conditions(api)), "it is established")
    api.dynamic.resources.invalidate_cache()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One namespace with its operator and its pretended kubelet."""

    api: ApiServer
    namespace: str
    operator: OperatorProcess
    kubelet: FakeKubelet
    audit: Any

    def create_job(self, name: str = "bot", **spec: Any) -> Mapping[str, Any]:
        """Create a job of two workers, and the claims it names."""
        for claim in ("base", "corpora"):
            if self.get("v1", "PersistentVolumeClaim", claim) is None:
                self._create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": CLAIM})
        return self._create({"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": name}, "spec": SPEC | spec})

    def get(self, api_version: str, kind: str, name: str) -> Mapping[str, Any] | None:
        return self.api.get(api_version, kind, name, self.namespace)

    def names(self, api_version: str, kind: str) -> Sequence[str]:
        return sorted(item["metadata"]["name"] for item in self.api.list(api_version, kind, self.namespace))

    def status(self, name: str = "bot") -> Mapping[str, Any]:
        return (self.get(*JOB, name) or {}).get("status") or {}

    def reaches(self, phase: str, name: str = "bot") -> Mapping[str, Any]:
        """Wait until a job is in a phase."""
        until(lambda: self.status(name).get("phase") == phase, f"{name} is {phase}")
        return self.status(name)

    def writes(self, since: int) -> Sequence[str]:
        """Return what the operator has written anywhere, by whatever client, since a place in the audit log; renewing its Lease is none."""
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in self.asked(since)
            if event["verb"] in WRITES and event["objectRef"]["resource"] != "leases"
        ]

    def asked(self, since: int) -> Sequence[Mapping[str, Any]]:
        """Return all requests of the operator since a place in the audit log."""
        user = self.operator.user
        assert user != ADMIN, "this operator cannot be told from the test"
        return [event for event in self.audit.events(since=since, naming=user) if event["user"]["username"] == user]

    def look_again(self, mark: str, component: str = "checker") -> None:
        """Make the operator look at its job once more, although nothing has changed, and wait until it has."""
        before = self.operator.reconciles()
        self.kubelet.touch(component, mark)
        until(lambda: self.operator.reconciles() > before, "the operator has looked again")

    def resyncs(self, times: int, *, jobs: int = 1) -> None:
        """Wait until an operator with a short TUNEWRIGHT_RESYNC_SECONDS has listed each kind and reconciled each job so often without an event."""
        since, before = self.audit.end(), self.operator.reconciles()

        def has() -> bool:
            if self.operator.reconciles() < before + times * jobs:
                return False
            listed = Counter(event["objectRef"]["resource"] for event in self.asked(since) if is_survey(event["requestURI"]))
            return all(listed[RESOURCES[kind].plural] >= times for kind in WATCHED)

        until(has, f"{times} resyncs", patience=PATIENCE_SECONDS + jobs)

    def _create(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        made = self.api.create(manifest, self.namespace, keep=True)
        assert made.accepted, made.message
        assert made.object is not None
        return made.object


CLAIM = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
SPEC = {
    "task": "ChatCompletion",
    "model": {"source": {"pvc": {"claimName": "base", "path": "model"}}},
    "data": {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "chat.jsonl"}}, "format": "messages"}]},
    "workers": {"replicas": 2, "resources": {"limits": {"cpu": "1000m", "memory": "2Gi"}}},  # stored as "1": one quantity, two spellings
}


def is_survey(uri: str) -> bool:
    """Return whether a request is the first page of one."""
    return f"limit={PAGE}" in uri and "continue=" not in uri


def _conditions(api: ApiServer) -> Sequence[Mapping[str, Any]]:
    return ((api.get(*DEFINITION) or {}).get("status") or {}).get("conditions") or ()
