"""E017: more of a resource than a node can have. Such a number is a typing error; without this rule the job would wait for it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunewright.api.rules.table import Rule, fault_rule
from tunewright.api.v1alpha1.common import Quantity, ResourceRequirements
from tunewright.api.v1alpha1.job import FineTuneJobSpec
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


def _of_workers(spec: FineTuneJobSpec) -> list[str]:
    faults = list(_above(spec.workers.resources))
    if not faults and spec.workers.accelerators > MOST_ACCELERATORS:
        faults.append(f"limits hold {spec.workers.accelerators} accelerators, of which {MOST_ACCELERATORS} are allowed")
    return faults


def _of_servers(spec: FineTuneJobSpec) -> list[str]:
    return list(_above(spec.serving.resources)) if spec.serving is not None else []


RULES: tuple[Rule[Any], ...] = tuple(
    fault_rule(
        code="E017",
        path=path,
        faults=faults,
        says="{} in one pod",
        refuses="more of a resource than a node can have",
        way_out="Give the amount for one pod; workers.replicas and serving.replicas are the number of pods.",
    )
    for path, faults in (("workers.resources", _of_workers), ("serving.resources", _of_servers))
)
