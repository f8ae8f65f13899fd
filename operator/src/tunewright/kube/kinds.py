"""Every kind that this operator reads or writes, and where the API server has it.

A fixed table instead of discovery: discovery costs a round trip for each API group at every start, keeps its cache in a shared temporary
folder, and could only find kinds that no code here knows. This is also the list from which the chart's RBAC follows.
"""

from typing import NamedTuple

FINE_TUNE_JOB = "FineTuneJob"


class Place(NamedTuple):
    """Where a kind lives."""

    api_version: str  # group/version, as in a manifest
    plural: str
    namespaced: bool = True


PLACES = {
    FINE_TUNE_JOB: Place("tunewright.io/v1alpha1", "finetunejobs"),
    "ConfigMap": Place("v1", "configmaps"),
    "Event": Place("v1", "events"),
    "PersistentVolumeClaim": Place("v1", "persistentvolumeclaims"),
    "Pod": Place("v1", "pods"),
    "Secret": Place("v1", "secrets"),
    "Service": Place("v1", "services"),
    "ServiceAccount": Place("v1", "serviceaccounts"),
    "Job": Place("batch/v1", "jobs"),
    "Deployment": Place("apps/v1", "deployments"),
    "ReplicaSet": Place("apps/v1", "replicasets"),
    "NetworkPolicy": Place("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": Place("policy/v1", "poddisruptionbudgets"),
    "Lease": Place("coordination.k8s.io/v1", "leases"),
    "TokenReview": Place("authentication.k8s.io/v1", "tokenreviews", namespaced=False),
}

# What render/ makes, and so what may have to be pruned.
RENDERED = ("ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", "PodDisruptionBudget", "Service", "Job", "Deployment")
# What those make in turn.
MADE_BY_CONTROLLERS = ("ReplicaSet", "Pod")
CHILDREN = (*RENDERED, *MADE_BY_CONTROLLERS)
WATCHED = (FINE_TUNE_JOB, *CHILDREN)  # all, so that what is edited or deleted by hand is repaired at once


def path_of(kind: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the URL path of a kind, of one of its objects, or of a part of that. An empty namespace means all of them."""
    place = PLACES[kind]
    root = "/api/" if "/" not in place.api_version else "/apis/"
    within = f"/namespaces/{namespace}" if place.namespaced and namespace else ""
    rest = "".join(f"/{part}" for part in (name, subresource) if part)
    return f"{root}{place.api_version}{within}/{place.plural}{rest}"
