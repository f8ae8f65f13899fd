"""Pods of the image `probe` (tests/cluster/probe), which runs without images of ours."""

import uuid

from node import PROBE_IMAGE

SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def pod(*command, name=None, labels=None, claim=None, **container):
    """A pod of one container that the restricted standard admits."""
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]} if claim else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name or f"probe-{uuid.uuid4().hex[:8]}", "labels": labels or {}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {"name": "probe", "image": PROBE_IMAGE, "command": ["probe", *command], "securityContext": SECURITY} | mounts | container
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else [],
        },
    }
