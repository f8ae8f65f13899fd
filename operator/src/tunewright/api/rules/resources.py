"""E017, E023, E024: amounts in `resources` that no node has, or that the API server would refuse when a pod is created.

Source of E023 and E024: the Kubernetes API server's validation of a container's resources.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tunewright.api.rules.predicates import any_above
from tunewright.api.rules.table import Rule, fault_rule, pod_rule
from tunewright.api.v1alpha1.common import QUANTITY_PATTERN, Quantity, ResourceRequirements
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.pod_settings import ACCELERATOR_RESOURCES, PodSettings
from tunewright_contract.quantities import amount
from tunewright_contract.stages import STAGES, Shape, Stage

MOST_ACCELERATORS = 64  # of one pod, all kinds together
LARGEST: Mapping[str, Quantity] = {"cpu": "4096", "memory": "64Ti", "ephemeral-storage": "1Pi"}
LARGEST_OTHER: Quantity = "64Ti"  # huge pages are bytes, other vendors' devices are pieces
_HUGE_PAGES = "hugepages-"


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


def requests_above_limits(settings: PodSettings) -> list[str]:
    """Return each request that is above the limit of the same name. Equal quantities are equal, however they are written."""
    requests, limits = settings.resources.requests, settings.resources.limits
    return [
        f"request of {value} {name} is above the limit of {limits[name]}"
        for name, value in requests.items()
        if name in limits and amount(value) > amount(limits[name])
    ]


def not_of_containers(settings: PodSettings) -> list[str]:
    """Return the names and amounts that a container cannot have."""
    requests, limits = settings.resources.requests, settings.resources.limits
    faults = [fault for name, value in {**requests, **limits}.items() for fault in _of_one(name, value)]
    for name in {**requests, **limits}:
        if _is_overcommitted(name) or name not in requests:
            continue
        if name not in limits:
            faults.append(f"{name} has a request of {requests[name]} and no limit, which must be equal")
        elif amount(requests[name]) < amount(limits[name]):
            faults.append(f"{name} has a request of {requests[name]} and a limit of {limits[name]}, which must be equal")
    if any(_is_huge_page(name) for name in limits) and not {"cpu", "memory"} & {*requests, *limits}:
        faults.append("huge pages need cpu or memory beside them")
    return faults


def accelerators_of_one_pod(spec: FineTuneJobSpec, stage: Stage) -> list[str]:
    """Return the accelerators of a stage that has no use for them."""
    settings = spec.written_settings(stage)
    return [name for name in ACCELERATOR_RESOURCES if settings is not None and name in settings.resources.limits]


def _of_one(name: str, value: Quantity) -> Iterator[str]:
    if _is_huge_page(name):
        size = name.removeprefix(_HUGE_PAGES)
        if not re.fullmatch(QUANTITY_PATTERN, size) or amount(size) == 0:
            yield f"{name} names no size of a page"
        elif amount(value) % amount(size):
            yield f"{value} of {name} is not a multiple of {size}"
    elif "/" not in name:
        if name not in LARGEST:
            yield f"{name} is no resource of a container"
    elif name.startswith("requests."):
        yield f"{name} is the name of a quota"
    elif not _is_overcommitted(name) and amount(value) % 1:
        yield f"{value} of {name} is not a whole number"


def _is_overcommitted(name: str) -> bool:
    """Return whether the limit can be above the request: of the resources of Kubernetes itself, apart from huge pages."""
    return ("/" not in name and not _is_huge_page(name)) or "kubernetes.io/" in name


def _is_huge_page(name: str) -> bool:
    return name.startswith(_HUGE_PAGES)


RULES: tuple[Rule[Any], ...] = (
    pod_rule(
        code="E017",
        path="resources",
        faults=too_large,
        says="{} in one pod",
        refuses="more of a resource than a node can have",
        way_out="Give the amount for one pod; workers.replicas and serving.replicas are the number of pods.",
    ),
    pod_rule(
        code="E023",
        path="resources",
        faults=requests_above_limits,
        refuses="a request above the limit of the same resource",
        way_out="Lower the request, or raise the limit; without a request, the limit is the request.",
        broken=any_above("resources.requests", "resources.limits"),
    ),
    pod_rule(
        code="E024",
        path="resources",
        faults=not_of_containers,
        refuses="names and amounts that a container cannot have",
        way_out="Use cpu, memory, ephemeral-storage, hugepages-<size>, or a device such as nvidia.com/gpu in whole numbers, in limits.",
    ),
    *(
        fault_rule(
            code="E028",
            path=f"{stage.settings}.resources.limits",
            faults=partial(accelerators_of_one_pod, stage=stage),
            says="{} would be idle: this stage runs on the processor",
            refuses="an accelerator for a stage that runs on the processor",
            way_out="Remove it; workers.resources and serving.resources have accelerators.",
        )
        for stage in STAGES
        if stage.shape is Shape.POD
    ),
)
