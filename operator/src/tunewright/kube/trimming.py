"""Removes fields that no room reads before an object enters the cache. Fifty megabytes of children become ten.

To read a field named here, remove it from the table; `local/` keeps all fields. A change of a removed field causes no reconcile: a Job's
controller writes the pod count in three steps, and so does a budget's controller.
"""

from typing import Any

from tunewright.kube.kinds import RENDERED, SCHEME
from tunewright.observe.queue import sets_suspend
from tunewright_runtime.cache import Cache
from tunewright_runtime.objects import Manifest

_COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision-history")
_UNREAD_OF_META = ("managedFields", "resourceVersion")  # the cache knows the version
_UNREAD_OF_PODS_META = (*_UNREAD_OF_META, "finalizers", "generation")
_UNREAD_STATUS = frozenset({"NetworkPolicy", "PodDisruptionBudget", "Service"})
_UNREAD_OF_STATUS = {
    "Job": ("completedIndexes", "ready", "uncountedTerminatedPods"),
    "Pod": ("hostIP", "hostIPs", "podIP", "podIPs", "qosClass", "observedGeneration"),
}
_KEPT_OF_SPEC = {"Pod": ("nodeName",), "ReplicaSet": ("replicas",)}


def new_cache() -> Cache:
    """Return an empty cache that keeps what is read."""
    return Cache(SCHEME, trim=trimmed)


def trimmed(kind: str, item: Manifest) -> dict[str, Any]:
    """Return what is kept of an object, sharing its parts."""
    kept = {**item, "metadata": _metadata(kind, item["metadata"])}
    if kind in SCHEME.made_by_controllers and "spec" in item:
        kept["spec"] = {name: item["spec"][name] for name in _KEPT_OF_SPEC[kind] if name in item["spec"]}
    if kind in _UNREAD_STATUS:
        kept.pop("status", None)
    elif item.get("status") and kind in _UNREAD_OF_STATUS:
        kept["status"] = {name: value for name, value in item["status"].items() if name not in _UNREAD_OF_STATUS[kind]}
    return kept


def _metadata(kind: str, meta: Manifest) -> dict[str, Any]:
    unread = _UNREAD_OF_PODS_META if kind == "Pod" else _UNREAD_OF_META
    kept = {name: value for name, value in meta.items() if name not in unread}
    if meta.get("annotations"):
        kept["annotations"] = {name: text for name, text in meta["annotations"].items() if name not in _COPIES}
    fields = [entry for entry in meta.get("managedFields", ()) if kind in RENDERED and _is_read(kind, entry)]
    return {**kept, "managedFields": fields} if fields else kept


def _is_read(kind: str, entry: Manifest) -> bool:
    """Return whether the runtime reads an entry: what we have applied, and which manager has suspended a Job."""
    if kind == "Job":  # made once, never compared
        return sets_suspend(entry)
    return entry.get("manager") == SCHEME.field_manager and entry.get("operation") == "Apply"
