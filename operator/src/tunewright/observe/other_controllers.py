"""Fields that another controller sets, which the operator then leaves to it: `suspend` of a Job (Kueue), and the number of servers.

An autoscaler or a person is recognised by the field manager of the Deployment's `spec.replicas`.
"""

from typing import NamedTuple

from tunewright.observe.raw import Raw, number, part, parts, text
from tunewright.plan.label_names import is_queued

MANAGER = "kueue"  # prefix of its field managers' names


def is_held(job: Raw) -> bool:
    """Return whether Kueue manages a Job: by its label, which a namespace's default queue adds, or because Kueue has set `suspend`."""
    return is_queued(part(job, "metadata", "labels")) or any(owner.startswith(MANAGER) for owner in suspenders(job))


def suspenders(job: Raw) -> list[str]:
    """Return the field managers that have set `spec.suspend`."""
    return [text(entry, "manager") for entry in parts(job, "metadata", "managedFields") if sets_suspend(entry)]


def sets_suspend(entry: Raw) -> bool:
    """Return whether an entry of `metadata.managedFields` contains `spec.suspend`."""
    return "f:suspend" in part(entry, "fieldsV1", "f:spec")


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
