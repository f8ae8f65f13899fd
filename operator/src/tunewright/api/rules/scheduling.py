"""E025: tolerations, affinity and spread that the API server would refuse when a pod is created.

Source: the Kubernetes API server's validation of pods. The schema has the types of the fields and the forms of their texts.
"""

import re
from collections.abc import Iterator
from typing import Any

from tunewright.api.rules.predicates import exists, field, has
from tunewright.api.rules.table import Rule, pod_rule
from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright.api.v1alpha1.scheduling import LabelRequirement, LabelSelector, NodeRequirement, PodAffinityTerm, TopologySpreadConstraint

_WITHOUT_VALUES = ("Exists", "DoesNotExist")
_OF_NUMBERS = ("Gt", "Lt")


def tolerations(settings: PodSettings) -> list[str]:
    """Return what is wrong with tolerations."""
    faults = []
    for index, item in enumerate(settings.tolerations or ()):
        exists = item.operator == "Exists"
        if exists and item.value:
            faults.append(f"[{index}].value is {item.value}, and the operator Exists has no value")
        if not exists and item.key is None:
            faults.append(f"[{index}] has no key, which needs the operator Exists")
        if item.toleration_seconds is not None and item.effect != "NoExecute":
            faults.append(f"[{index}].tolerationSeconds is {item.toleration_seconds}, and only the effect NoExecute has an end")
    return faults


def affinity(settings: PodSettings) -> list[str]:
    """Return what is wrong with affinity."""
    return list(_faults(settings.affinity, ""))


def spread(settings: PodSettings) -> list[str]:
    """Return what is wrong with topologySpreadConstraints."""
    constraints = settings.topology_spread_constraints or ()
    faults = list(_faults(constraints, ""))
    pairs = [(item.topology_key, item.when_unsatisfiable) for item in constraints]
    for index, item in enumerate(constraints):
        if item.min_domains is not None and item.when_unsatisfiable != "DoNotSchedule":
            faults.append(f"[{index}].minDomains is {item.min_domains}, which needs whenUnsatisfiable: DoNotSchedule")
        if pairs[index] in pairs[:index]:
            faults.append(f"[{index}] has the topologyKey {item.topology_key} and whenUnsatisfiable of an entry before it")
    return faults


def _faults(value: Any, path: str) -> Iterator[str]:
    """Yield the faults of a part and of all parts in it."""
    match value:
        case NodeRequirement() | LabelRequirement():
            yield from _requirement(value, path)
        case PodAffinityTerm():
            yield from _label_keys(
                value.label_selector, path, matchLabelKeys=value.match_label_keys, mismatchLabelKeys=value.mismatch_label_keys
            )
        case TopologySpreadConstraint(label_selector=LabelSelector()):
            yield from _label_keys(value.label_selector, path, matchLabelKeys=value.match_label_keys)
    if isinstance(value, Spec):
        for name, info in type(value).model_fields.items():
            yield from _faults(getattr(value, name), f"{path}.{info.alias}".lstrip("."))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _faults(item, f"{path}[{index}]")


def _requirement(found: NodeRequirement | LabelRequirement, path: str) -> Iterator[str]:
    values = found.values or ()
    if found.operator in _WITHOUT_VALUES:
        if values:
            yield f"{path}.values is {', '.join(values)}, and the operator {found.operator} has no values"
    elif found.operator in _OF_NUMBERS:
        if len(values) != 1 or not re.fullmatch(r"[0-9]+", values[0]):
            yield f"{path}.values is {', '.join(values) or 'empty'}, and the operator {found.operator} needs one whole number"
    elif not values:
        yield f"{path}.values is empty, and the operator {found.operator} needs a value"


def _label_keys(selector: LabelSelector | None, path: str, **lists: tuple[str, ...] | None) -> Iterator[str]:
    seen: set[str] = set()
    if selector is not None:
        seen = set(selector.match_labels or ()) | {item.key for item in selector.match_expressions or ()}
    for name, keys in lists.items():
        for index, key in enumerate(keys or ()):
            if selector is None:
                yield f"{path}.{name}[{index}] is {key}, which needs a labelSelector beside it"
            elif key in seen:
                yield f"{path}.{name}[{index}] is {key}, which stands beside it already"
        seen |= set(keys or ())


_EXISTS = has("operator", of="item") & field("operator", of="item").equals("Exists")
_BAD_TOLERATION = has("tolerations") & exists(
    "tolerations",
    "item",
    (_EXISTS & has("value", of="item") & field("value", of="item").differs(""))
    | (~has("key", of="item") & ~_EXISTS)
    | (has("tolerationSeconds", of="item") & ~(has("effect", of="item") & field("effect", of="item").equals("NoExecute"))),
)

RULES: tuple[Rule[Any], ...] = tuple(
    pod_rule(
        code="E025",
        path=path,
        faults=faults,
        refuses="settings that the API server refuses in a pod",
        way_out=f"Correct it as kubectl explain pod.spec.{path} describes.",
        broken=broken,
    )
    for path, faults, broken in (
        ("tolerations", tolerations, _BAD_TOLERATION),
        ("affinity", affinity, None),
        ("topologySpreadConstraints", spread, None),
    )
)
