"""A FineTuneJob on real pods as its user sees it: claims are filled, manifests applied, status read, the model asked through its Service."""

import base64
import copy
import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
QUICKSTART = EXAMPLES / "quickstart-cluster.yaml"
PATIENCE_SECONDS = 900  # training on a loaded machine; a job that fails is noticed at once
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
UNPACK = "import base64, io, sys, tarfile; tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.stdin.read()))).extractall('/claim')"
Spec = dict[str, Any]


def quickstart() -> Spec:
    """Return the spec of the example for clusters."""
    spec: Spec = YAML(typ="safe").load(QUICKSTART)["spec"]
    return spec


def short(spec: Spec) -> Spec:
    """Return it with a third of the steps and neither evaluation nor server."""
    wanted = copy.deepcopy(spec)
    wanted["training"] |= {"maxSteps": 40, "saveSteps": 5, "evalStrategy": "no", "loggingSteps": 1}
    wanted["evaluation"] = {"generateSamples": 0}
    wanted.pop("serving", None)
    return wanted


class Desk:
    """One namespace of a cluster, and somebody who works in it."""

    def __init__(self, cluster: Any, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl here and return what it printed; the test ends where it fails."""
        done = self.cluster.kubectl(f"--namespace={self.namespace}", *words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return an object, or None."""
        shown = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return json.loads(shown) if shown else None

    def all(self, kind: str, selector: str = "") -> list[Mapping[str, Any]]:
        """Return all objects of a kind that bear these labels."""
        found: list[Mapping[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", f"--selector={selector}"))["items"]
        return found

    def apply(self, name: str, spec: Spec) -> None:
        """`kubectl apply` a FineTuneJob."""
        job = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(job))

    def status(self, name: str) -> dict[str, Any]:
        """Return a job's status, empty before there is one."""
        return dict((self.get("finetunejob", name) or {}).get("status", {}))

    def until(self, name: str, condition: Callable[[dict[str, Any]], Any], why: str) -> Any:
        """Wait until a job's status meets a condition; return what it gave. A job that fails meanwhile ends the test with its reason."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (met := condition(status := self.status(name))):
            if status.get("phase") == "Failed" or time.monotonic() > deadline:
                pytest.fail(f"{name}: waited for: {why}\n{json.dumps(status, indent=1)}\n{self.kubectl('get', 'pods,jobs', '-o', 'wide')}")
            time.sleep(0.5)
        return met

    def until_phase(self, name: str, phase: str) -> dict[str, Any]:
        """Wait for a phase; return the status."""
        status: dict[str, Any] = self.until(name, lambda status: status.get("phase") == phase and status, f"phase {phase}")
        return status

    def fill_claim(self, claim: str, image: str, folders: Mapping[str, Path]) -> None:
        """Make a claim and copy folders into it (name there -> folder here), through a pod: not every cluster's disks are on this machine."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(claim_manifest(claim)))
        self.kubectl("apply", "-f", "-", stdin=json.dumps(porter(claim, image)))
        self.kubectl("wait", "--for=condition=Ready", "pod/porter", "--timeout=300s")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, folder in folders.items():
                tar.add(folder, arcname=name)
        self.kubectl("exec", "-i", "porter", "--", "python3", "-c", UNPACK, stdin=base64.b64encode(packed.getvalue()).decode())
        self.kubectl("delete", "pod", "porter", "--now")


def claim_manifest(name: str, size: str = "1Gi") -> dict[str, Any]:
    """Return a claim that all pods may mount."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def porter(claim: str, image: str) -> dict[str, Any]:
    """Return a pod that does nothing but hold a claim. The image has Python."""
    container = {
        "name": "porter",
        "image": image,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "porter"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
