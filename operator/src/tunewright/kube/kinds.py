"""Every kind that this operator reads or writes, and how its objects are marked. The chart's RBAC follows from this list."""

from tunewright.observe.raw import UNREADABLE
from tunewright.plan.label_names import JOB_UID
from tunewright_runtime.scheme import Resource, Scheme

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
    field_manager="tunewright",
    unreadable_field=UNREADABLE,
)
RENDERED, CHILDREN, WATCHED = SCHEME.rendered, SCHEME.children, SCHEME.watched
