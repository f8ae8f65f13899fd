"""Decides whether an object is as rendered, so that no write is needed.

It is if three conditions hold. Every rendered field has its value in the live object, whatever defaults the API server added. No other
field widens access to pods, or from pods to their node. No field that the operator applied earlier (`metadata.managedFields`) is missing
from the rendered manifest. In doubt the answer is no: a superfluous apply changes nothing, and a missing one leaves drift.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import InvalidOperation
from typing import Any, NamedTuple

from tunewright_contract.quantities import amount
from tunewright_runtime.objects import Manifest

_KEYS = (
    "name",
    "mountPath",
    "containerPort",
    "port",
    "uid",
    "key",
    "topologyKey",
    "type",
)  # keys by which Kubernetes identifies items of lists
_WHOLE = frozenset({"selector", "podSelector", "matchLabels", "ingress", "egress"})  # others may neither select pods nor admit traffic
_CLOSED: Mapping[str, frozenset[str]] = {  # fields that others may not add to a part of this name
    "spec": frozenset({"ingress", "egress", "externalIPs", "externalName", "hostNetwork", "hostPID", "hostIPC"}),
    "securityContext": frozenset({"privileged", "procMount"}),
    "capabilities": frozenset({"add"}),
}


def is_as_rendered(live: Manifest, rendered: Manifest, *, manager: str) -> bool:
    """Return whether applying `rendered` over `live` under the field manager `manager` would change nothing."""
    return _holds(live, rendered) and not _left_over(live, rendered, manager)


class Difference(NamedTuple):
    """A field that is not stored as rendered. `ours` None: the field may not be there; `stored` None: it is missing."""

    path: str
    ours: Any
    stored: Any


def differences(live: Any, wanted: Any, name: str = "", path: str = "") -> Iterator[Difference]:
    """Yield the fields for which an object is not as rendered; none exactly if every rendered field has its value."""
    if _holds(live, wanted, name):
        return
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for field in sorted(_opened(name, live, wanted)):
            yield Difference(_joined(path, field), None, live[field])
        for field, value in wanted.items():
            if field not in _WHOLE:
                yield from differences(live.get(field), value, field, _joined(path, field))
            elif not _holds_field(field, live.get(field), value):
                yield Difference(_joined(path, field), value, live.get(field))
        return
    named = [(item, next((item[key] for key in _KEYS if key in item), None)) for item in wanted] if _is_list_of_maps(wanted) else []
    if not named or any(key is None for _, key in named):
        yield Difference(path, wanted, live)
        return
    found = [
        difference
        for item, key in named
        for difference in differences(next((one for one in live or () if _same_item(one, item)), None), item, "", f"{path}[{key}]")
    ]
    yield from found or [Difference(path, wanted, live)]  # nothing but the order differs


def can_close(live: Manifest, rendered: Manifest) -> bool:
    """Return whether a merge patch can remove what an apply keeps: fields and items that others have added."""
    return any(found.ours is None or isinstance(found.ours, (Mapping, list, tuple)) for found in differences(live, rendered))


def _is_list_of_maps(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value)


def _joined(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def closing_patch(live: Any, rendered: Any, name: str = "") -> Any:
    """Return `rendered` as a merge patch that also removes fields with which others have widened access; an apply would keep them."""
    if not isinstance(rendered, Mapping) or not isinstance(live, Mapping):
        return rendered
    closed = dict.fromkeys(_opened(name, live, rendered))
    return closed | {field: closing_patch(live.get(field), value, field) for field, value in rendered.items()}


def _opened(name: str, live: Mapping[str, Any], wanted: Mapping[str, Any]) -> set[str]:
    return {field for field in _CLOSED.get(name, ()) if live.get(field) and field not in wanted}


def _holds(live: Any, wanted: Any, name: str = "") -> bool:
    if isinstance(wanted, Mapping):
        there = live if isinstance(live, Mapping) else {}
        is_map = isinstance(live, Mapping) or not wanted
        return (
            is_map
            and not _opened(name, there, wanted)
            and all(_holds_field(field, there.get(field), value) for field, value in wanted.items())
        )
    if isinstance(wanted, (list, tuple)):
        return _holds_items(live or [], wanted)
    if not wanted and not live:  # an empty text, zero or false is often left out
        return True
    return type(live) is type(wanted) and (live == wanted or _same_amount(live, wanted))


def _holds_field(name: str, live: Any, wanted: Any) -> bool:
    return (live or {}) == wanted if name in _WHOLE else _holds(live, wanted, name)


def _holds_items(live: Any, wanted: Any) -> bool:
    if not isinstance(live, list) or len(live) < len(wanted):
        return False
    if len(live) == len(wanted):
        return all(map(_holds, live, wanted))
    # Others have added items: sidecars, tolerations, variables.
    return all(any(_same_item(item, ours) and _holds(item, ours) for item in live) for ours in wanted)


def _same_item(live: Any, wanted: Any) -> bool:
    if not isinstance(live, Mapping) or not isinstance(wanted, Mapping):
        return bool(live == wanted)
    return any(key in wanted and live.get(key) == wanted[key] for key in _KEYS)


def _same_amount(live: Any, wanted: Any) -> bool:
    """Return whether two texts are the same quantity: the API server stores 1000m as 1."""
    if not (isinstance(live, str) and isinstance(wanted, str) and live and wanted):
        return False
    try:
        return amount(live) == amount(wanted)
    except (ValueError, KeyError, InvalidOperation):
        return False


def _left_over(live: Manifest, rendered: Manifest, manager: str) -> bool:
    entries = live.get("metadata", {}).get("managedFields", ())
    ours = [entry for entry in entries if entry.get("manager") == manager and entry.get("operation") == "Apply"]
    return not ours or any(_names_more(entry.get("fieldsV1", {}), rendered) for entry in ours)


def _names_more(fields: Mapping[str, Any], rendered: Any) -> bool:
    """Return whether a set of fields (fieldsV1 of managedFields: `f:` a field, `k:` an item by keys, `v:` by value) exceeds a manifest."""
    for step, below in fields.items():
        kind, _, text = step.partition(":")
        if kind == ".":
            continue
        if kind == "f":
            if not isinstance(rendered, Mapping) or text not in rendered:
                return True
            part = rendered[text]
        elif kind == "k":
            keys = json.loads(text)
            items = [item for item in rendered or () if isinstance(item, Mapping) and _has_keys(item, keys)]
            if not items:
                return True
            part = items[0]
        else:
            part = json.loads(text)
            if part not in (rendered or ()):
                return True
        if below and _names_more(below, part):
            return True
    return False


def _has_keys(item: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    """Compare an item's keys. One that is not rendered has the API server's default (a port's `protocol` is TCP)."""
    return all(item[name] == value for name, value in keys.items() if name in item) and any(name in item for name in keys)


def merge_patch(before: Any, after: Any) -> Any:
    """Return the merge patch (RFC 7386) from one JSON value to another: only the differences, and null for a removed field."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    changed = {name: merge_patch(before.get(name), value) for name, value in after.items() if name not in before or before[name] != value}
    return changed | dict.fromkeys(before.keys() - after.keys())
