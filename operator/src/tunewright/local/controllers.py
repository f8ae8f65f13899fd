"""Code that the Job and Deployment controllers share: their decision, pods from a template, and the phase of pods. Pure."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tunewright.local.pod_status import with_transition
from tunewright.local.store import Object

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes': no vowels, so no words


@dataclass(frozen=True)
class Decision:
    """The actions for a Job or a Deployment."""

    status: dict[str, Any]
    create: list[Object] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)  # pods by name


def new_pod(
    owner: Object, name: str, *, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None, **spec: Any
) -> Object:
    """Return a pod from an owner's template."""
    template = copy.deepcopy(owner["spec"]["template"])
    meta = template.get("metadata", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": meta.get("labels", {}) | dict(labels or {}),
            "annotations": meta.get("annotations", {}) | dict(annotations or {}),
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"] | spec,
    }


def phase(pod: Object) -> str:
    """Return a pod's phase."""
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_terminating(pod: Object) -> bool:
    """Return whether the pod is being deleted and has not ended yet."""
    return "deletionTimestamp" in pod["metadata"] and phase(pod) not in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Return whether the pod runs or will run."""
    return phase(pod) not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Object) -> bool:
    """Return whether the pod's condition Ready is true."""
    return is_active(pod) and condition(pod, "Ready").get("status") == "True"


def condition(item: Object, kind: str) -> dict[str, Any]:
    """Return a condition of an object, or an empty one."""
    return next((entry for entry in item.get("status", {}).get("conditions", ()) if entry["type"] == kind), {})


def with_condition(before: Sequence[Mapping[str, Any]], new: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Return conditions with one set. Its transition time changes only with its status."""
    dated = with_transition(new, before, now)
    kept = [dict(entry) for entry in before]
    for position, entry in enumerate(kept):
        if entry["type"] == new["type"]:
            kept[position] = dated
            return kept
    return [*kept, dated]
