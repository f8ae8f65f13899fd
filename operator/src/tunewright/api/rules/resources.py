"""E017: more of a resource than a node can have. Such a number is a typing error; without this rule the job would wait for it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunewright.api.rules.table import Rule, pod_rule
from tunewright.api.v1alpha1.common import Quantity, ResourceRequirements
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright.api.v1alpha1.workers import ACCELERATOR_RESOURCES
from tunewright_contract.quantities import amount

MOST_ACCELERATORS = 64  # of one pod, all kinds together
LARGEST: Mapping[str, Quantity] = {"cpu": "4096", "memory": "64Ti", "ephemeral-storage": "1Pi"}
LARGEST_OTHER: Quantity = "64Ti"  # huge pages are bytes, other vendors' devices are pieces


def _above(resources: ResourceRequirements) -> Iterator[str]:
    for kind, amounts in (("limits", resources.limits), ("requests", resources.requests)):
        for name, quantity in amounts.items():
            largest = str(MOST_ACCELERATORS) if name in ACCELERATOR_RESOURCES else LARGEST.get(name, LARGEST_OTHER)
            if amount(quantity) > amount(largest):
                yield f"{kind} hold {quantity} of {name}, of which {largest} are allowed"


def too_large(settings: PodSettings) -> list[str]:
    """Return the amounts that no node has."""
    faults = list(_above(settings.resources))
    pieces = sum(int(amount(settings.resources.limits.get(name, "0"))) for name in ACCELERATOR_RESOURCES)
    if not faults and pieces > MOST_ACCELERATORS:
        faults.append(f"limits hold {pieces} accelerators, of which {MOST_ACCELERATORS} are allowed")
    return faults


RULES: tuple[Rule[Any], ...] = (
    pod_rule(
        code="E017",
        path="resources",
        faults=too_large,
        says="{} in one pod",
        refuses="more of a resource than a node can have",
        way_out="Give the amount for one pod; workers.replicas and serving.replicas are the number of pods.",
    ),
)
