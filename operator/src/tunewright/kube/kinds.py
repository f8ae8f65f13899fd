"""Every kind that this operator reads or writes, the labels of its objects, and the fields that the cache keeps.

The chart's RBAC follows from this list. The cache leaves out the fields that no room reads: children then take ten megabytes, not fifty.
To read one of the fields named here, remove it from the table; `local/` keeps all fields. A change of a left-out field causes no reconcile:
a Job's controller counts its pods in three steps, and a budget's controller writes each of them.
"""

from typing import Any

from tunewright.observe.other_controllers import OPERATOR, sets_replicas, sets_suspend
from tunewright.observe.raw import UNREADABLE
from tunewright.plan.label_names import JOB_NAME, JOB_UID
from tunewright_runtime.cache import Cache
from tunewright_runtime.objects import Manifest, Resource, Scheme

FINE_TUNE_JOB = "FineTuneJob"

RESOURCES = {
    FINE_TUNE_JOB: Resource("tunewright.io/v1alpha1", "finetunejobs"),
    "ConfigMap": Resource("v1", "configmaps"),
    "Event": Resource("v1", "events"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "Pod": Resource("v1", "pods"),
    "Secret": Resource("v1", "secrets"),
    "Service": Resource("v1", "services"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "Job": Resource("batch/v1", "jobs"),
    "Deployment": Resource("apps/v1", "deployments"),
    "ReplicaSet": Resource("apps/v1", "replicasets"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "Lease": Resource("coordination.k8s.io/v1", "leases"),
    "TokenReview": Resource("authentication.k8s.io/v1", "tokenreviews", namespaced=False),
}

SCHEME = Scheme(
    resources=RESOURCES,
    primary=FINE_TUNE_JOB,
    rendered=("ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", "PodDisruptionBudget", "Service", "Job", "Deployment"),
    made_by_controllers=("ReplicaSet", "Pod"),
    uid_label=JOB_UID,
    name_label=JOB_NAME,
    found_by_name=("Job",),
    field_manager=OPERATOR,
    unreadable_field=UNREADABLE,
)
RENDERED, CHILDREN, WATCHED = SCHEME.rendered, SCHEME.children, SCHEME.watched


_COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision-history")
_UNREAD_OF_META = ("managedFields", "resourceVersion")  # the cache keeps the version separately
_UNREAD_OF_PODS_META = (*_UNREAD_OF_META, "finalizers", "generation")
_UNREAD_STATUS = frozenset({"NetworkPolicy", "PodDisruptionBudget", "Service"})
_UNREAD_OF_STATUS = {
    "Job": ("completedIndexes", "ready", "uncountedTerminatedPods"),
    "Pod": ("hostIP", "hostIPs", "podIP", "podIPs", "qosClass", "observedGeneration"),
}
_KEPT_OF_SPEC = {"Pod": ("nodeName",), "ReplicaSet": ("replicas",)}


def new_cache() -> Cache:
    """Return an empty cache that keeps the fields that are read."""
    return Cache(SCHEME, trim=trimmed)


def trimmed(kind: str, item: Manifest) -> dict[str, Any]:
    """Return an object with only the kept fields, sharing its parts."""
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
    """Return whether an entry of managedFields is read: the fields this operator applied, who suspended a Job, who scaled a Deployment."""
    if kind == "Job":  # created once, never compared
        return sets_suspend(entry)
    if kind == "Deployment" and sets_replicas(entry):
        return True
    return entry.get("manager") == SCHEME.field_manager and entry.get("operation") == "Apply"
