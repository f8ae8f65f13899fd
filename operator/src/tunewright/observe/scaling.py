"""Detects who has set the number of servers, from the field managers of the Deployment's `spec.replicas`."""

from typing import NamedTuple

from tunewright.observe.raw import Raw, number, part, parts, text

OPERATOR = "tunewright"  # the operator's own field manager


class Scaler(NamedTuple):
    """A kind of autoscaler, and how it is recognised."""

    manager: str  # beginning of the field manager's name
    subresource: str  # through which it writes; empty: any
    words: str


SCALERS = (
    Scaler("kube-controller-manager", "scale", "a HorizontalPodAutoscaler"),  # no other of its controllers scales Deployments
    Scaler("keda", "", "KEDA"),
)
# A Scale leaves out zero. The API server then removes the field from all managers, and records none, also not of later numbers.
UNRECORDED = "KEDA or a `kubectl scale` to zero (the API server records no field manager then)"


class Scaling(NamedTuple):
    """The number of servers in the Deployment, and who has set it."""

    replicas: int | None = None
    scaler: str = ""  # an autoscaler and its field manager
    set_by: str = ""  # another field manager, if the operator is none of this field


def read_scaling(deployment: Raw) -> Scaling:
    """Read the number of servers that the Deployment requests."""
    everything = parts(deployment, "metadata", "managedFields")
    entries = [entry for entry in everything if sets_replicas(entry)]
    managers = [text(entry, "manager") for entry in entries]
    scalers = [f"{row.words} (field manager {text(entry, 'manager')})" for entry in entries for row in SCALERS if _is_by(row, entry)]
    replicas = number(deployment, "spec", "replicas")
    if not entries and any(text(entry, "manager") == OPERATOR for entry in everything):
        scalers = [UNRECORDED]
    return Scaling(
        replicas=replicas,
        scaler=next(iter(scalers), ""),
        set_by="" if OPERATOR in managers else next(iter(managers), ""),
    )


def sets_replicas(entry: Raw) -> bool:
    """Return whether an entry of `metadata.managedFields` contains `spec.replicas`."""
    return "f:replicas" in part(entry, "fieldsV1", "f:spec")


def _is_by(row: Scaler, entry: Raw) -> bool:
    return text(entry, "manager").startswith(row.manager) and row.subresource in {"", text(entry, "subresource")}
