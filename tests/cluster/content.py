"""Claims with content, filled through a pod, because a cluster's disks may not be on this machine."""

import base64
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PORTER = "porter"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
UNPACK = "import base64, io, sys, tarfile; tarfile.open(fileobj=io.BytesIO(base64.b64decode(sys.stdin.read()))).extractall('/claim')"


def fill_claim(kubectl: Callable[..., str], claim: str, image: str, folders: Mapping[str, Path]) -> None:
    """Make a claim and copy folders into it (name there -> folder here). `kubectl` raises where it fails; the image has Python."""
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")  # pods of a new namespace are refused before
    kubectl("apply", "-f", "-", stdin=json.dumps(claim_manifest(claim)))
    kubectl("apply", "-f", "-", stdin=json.dumps(porter(claim, image)))
    kubectl("wait", "--for=condition=Ready", f"pod/{PORTER}", "--timeout=300s")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, folder in folders.items():
            tar.add(folder, arcname=name)
    kubectl("exec", "-i", PORTER, "--", "python3", "-c", UNPACK, stdin=base64.b64encode(packed.getvalue()).decode())
    kubectl("delete", "pod", PORTER, "--now")


def claim_manifest(name: str, size: str = "1Gi") -> dict[str, Any]:
    """Return a claim that all pods may mount."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def porter(claim: str, image: str) -> dict[str, Any]:
    """Return a pod that does nothing but hold a claim. The image has Python."""
    container = {
        "name": PORTER,
        "image": image,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "claim", "mountPath": "/claim"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PORTER},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
