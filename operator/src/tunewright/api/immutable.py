"""Immutability of a job's inputs: one table of fields. It is evaluated here, and printed as CEL for the API server (policygen.py).

Two values are the same if they mean the same: `1` and `1000m` are one quantity, a set has no order, and a field without a value has its
default. The operator fills defaults in, and so did the CRD of earlier versions: stored jobs can have them or not.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tunewright.api.crdgen import IMMUTABLE_FIELDS, node_at
from tunewright.api.places import place_of
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
    ENTRIES = "entries"  # a list of parts whose fields have defaults
    WHOLE = "whole"  # any other list or map


class Input(NamedTuple):
    """One row. Below an optional part, values are compared only if both versions have that part."""

    path: tuple[str, ...]  # below spec
    kind: Kind
    within: tuple[str, ...] = ()  # the nearest optional part above it
    default: Any = None
    entries: tuple["Input", ...] = ()  # the fields of an entry of ENTRIES

    @property
    def field(self) -> str:
        """Return the field, as messages name it."""
        return ".".join(("spec", *self.path))


@cache
def inputs() -> tuple[Input, ...]:
    """Return every field that cannot change."""
    return tuple(row for field in IMMUTABLE_FIELDS for row in _below(FineTuneJobSpec, tuple(field.split("."))))


def changed_inputs(before: FineTuneJob, after: FineTuneJob) -> tuple[str, ...]:
    """Return the paths of immutable fields in which two versions of a job differ."""
    old, new = (job.spec.model_dump(mode="json", by_alias=True, exclude_none=True) for job in (before, after))
    return tuple(row.field for row in inputs() if _compared(row, old, new) and not _same(row.kind, _at(old, row.path), _at(new, row.path)))


def _below(model: type[BaseModel], path: tuple[str, ...], within: tuple[str, ...] = ()) -> Iterator[Input]:
    node, place = node_at(_schema(model), ".".join(path)), place_of(model, "self", ".".join(path))
    if "properties" not in node:
        entries = _of_entries(place.part) if place.part else ()
        default = None if place.default is PydanticUndefined else place.default
        yield Input(path, Kind.ENTRIES if entries else _kind(node), within, default, entries)
        return
    if place.default is None:
        yield Input(path, Kind.PRESENCE, within)
        within = path
    for name in node["properties"]:
        yield from _below(model, (*path, name), within)


def _of_entries(model: type[BaseModel]) -> tuple[Input, ...]:
    """Return the fields of a list's entries, if any of them has a default."""
    rows = tuple(row for name in _schema(model)["properties"] for row in _below(model, (name,)))
    return rows if any(row.default is not None for row in rows) else ()


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return structural(model)


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
