"""Detects whether Kueue controls a Job's `suspend`. The operator then leaves it to Kueue."""

from tunewright.observe.raw import Raw, part, parts, text
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
