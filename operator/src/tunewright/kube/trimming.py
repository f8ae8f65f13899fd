"""What of an object is worth keeping: all but what nobody here reads. Of fifty megabytes of children ten are left.

Whoever begins to read another field of those named here takes it off; `local/` has everything. What is left out wakes nobody, either:
a Job's controller counts its pods in three steps, and a budget's writes down each of them.
"""

from collections.abc import Mapping
from typing import Any

from tunewright.kube.client import FIELD_MANAGER
from tunewright.kube.kinds import MADE_BY_CONTROLLERS, RENDERED
from tunewright.observe.queue import sets_suspend

_COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision-history")
_UNREAD_OF_META = ("managedFields", "resourceVersion")  # the cache knows the version
_UNREAD_OF_PODS_META = (*_UNREAD_OF_META, "finalizers", "generation")
_UNREAD_STATUS = frozenset({"NetworkPolicy", "PodDisruptionBudget", "Service"})
_UNREAD_OF_STATUS = {
    "Job": ("completedIndexes", "ready", "uncountedTerminatedPods"),
    "Pod": ("hostIP", "hostIPs", "podIP", "podIPs", "qosClass", "observedGeneration"),
}
_KEPT_OF_SPEC = {"Pod": ("nodeName",), "ReplicaSet": ("replicas",)}


def trimmed(kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an object, sharing its parts."""
    kept = {**item, "metadata": _metadata(kind, item["metadata"])}
    if kind in MADE_BY_CONTROLLERS and "spec" in item:
        kept["spec"] = {name: item["spec"][name] for name in _KEPT_OF_SPEC[kind] if name in item["spec"]}
    if kind in _UNREAD_STATUS:
        kept.pop("status", None)
    elif item.get("status") and kind in _UNREAD_OF_STATUS:
        kept["status"] = {name: value for name, value in item["status"].items() if name not in _UNREAD_OF_STATUS[kind]}
    return kept


def _metadata(kind: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    unread = _UNREAD_OF_PODS_META if kind == "Pod" else _UNREAD_OF_META
    kept = {name: value for name, value in meta.items() if name not in unread}
    if meta.get("annotations"):
        kept["annotations"] = {name: text for name, text in meta["annotations"].items() if name not in _COPIES}
    fields = [entry for entry in meta.get("managedFields", ()) if kind in RENDERED and _is_read(kind, entry)]
    return {**kept, "managedFields": fields} if fields else kept


def _is_read(kind: str, entry: Mapping[str, Any]) -> bool:
    """Say whether `differences.py` or `apply.py` reads an entry: what we have applied, and who has stopped a Job."""
    if kind == "Job":  # made once, never compared
        return sets_suspend(entry)
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
