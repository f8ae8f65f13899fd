"""Immutability of a job's inputs: one table of fields. It is evaluated here, and printed as CEL for the API server (policygen.py).

Two values are the same if they mean the same: `1` and `1000m` are one quantity, and a set has no order. Defaults count as written.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from tunewright.api.crdgen import IMMUTABLE_FIELDS, node_at
from tunewright.api.structural import Schema, structural
from tunewright.api.v1alpha1.common import QUANTITY_PATTERN
from tunewright.api.v1alpha1.job import FineTuneJob, FineTuneJobSpec
from tunewright_contract.quantities import amount


class Kind(StrEnum):
    """How two values of a field are compared."""

    PRESENCE = "presence"  # of an optional part; its fields have rows of their own
    SCALAR = "scalar"
    QUANTITY = "quantity"
    SET = "set"  # a list without an order
    WHOLE = "whole"  # any other list or map


class Input(NamedTuple):
    """One row. Below an optional part, values are compared only if both versions have that part."""

    path: tuple[str, ...]  # below spec
    kind: Kind
    within: tuple[str, ...] = ()  # the nearest optional part above it

    @property
    def field(self) -> str:
        """Return the field, as messages name it."""
        return ".".join(("spec", *self.path))


@cache
def inputs() -> tuple[Input, ...]:
    """Return every field that cannot change."""
    spec: Schema = {"properties": {"spec": structural(FineTuneJobSpec)}}
    return tuple(row for field in IMMUTABLE_FIELDS for row in _below(spec, tuple(field.split("."))))


def changed_inputs(before: FineTuneJob, after: FineTuneJob) -> tuple[str, ...]:
    """Return the paths of immutable fields in which two versions of a job differ."""
    old, new = (job.spec.model_dump(mode="json", by_alias=True, exclude_none=True) for job in (before, after))
    return tuple(row.field for row in inputs() if _compared(row, old, new) and not _same(row.kind, _at(old, row.path), _at(new, row.path)))


def _below(spec: Schema, path: tuple[str, ...], within: tuple[str, ...] = ()) -> Iterator[Input]:
    owner, node = (node_at(spec, ".".join(("spec", *steps))) for steps in (path[:-1], path))
    if "properties" not in node:
        yield Input(path, _kind(node), within)
        return
    if path[-1] not in owner.get("required", ()) and "default" not in node:
        yield Input(path, Kind.PRESENCE, within)
        within = path
    for name in node["properties"]:
        yield from _below(spec, (*path, name), within)


def _kind(node: Schema) -> Kind:
    if node.get("x-kubernetes-list-type") == "set":
        return Kind.SET
    if node.get("pattern") == QUANTITY_PATTERN:
        return Kind.QUANTITY
    return Kind.SCALAR if node.get("type") in {"string", "integer", "number", "boolean"} else Kind.WHOLE


def _compared(row: Input, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return not row.within or (_at(old, row.within) is not None and _at(new, row.within) is not None)


def _same(kind: Kind, old: Any, new: Any) -> bool:
    if old is None or new is None:
        return old is new
    match kind:
        case Kind.PRESENCE:
            return True
        case Kind.QUANTITY:
            return amount(str(old)) == amount(str(new))
        case Kind.SET:
            return set(old) == set(new)
        case _:
            return bool(old == new)


def _at(spec: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = spec
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
