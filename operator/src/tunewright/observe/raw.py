"""Reads raw JSON in which any part can be missing or of another type. Never raises; returns an empty value instead."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Raw = Mapping[str, Any]
UNREADABLE = "tunewright.io/unreadable"  # a field of an object that could not be decoded completely: the reason
_DIGITS = 18  # of a number in text: more do not fit in 64 bits
_YEARS = range(1970, 9000)  # years for which time arithmetic cannot overflow


def part(raw: Any, *path: str) -> Raw:
    """Return the object at a path, or an empty one."""
    found = _at(raw, path)
    return found if isinstance(found, Mapping) else {}


def parts(raw: Any, *path: str) -> list[Raw]:
    """Return the objects of the list at a path."""
    found = _at(raw, path)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list | tuple) else []


def text(raw: Any, *path: str) -> str:
    """Return the text at a path, or an empty one."""
    found = _at(raw, path)
    return found if isinstance(found, str) else ""


def number(raw: Any, *path: str) -> int | None:
    """Return the whole number at a path, also if it is text (as in labels)."""
    found = _at(raw, path)
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) <= _DIGITS:
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 10**_DIGITS else None


def moment(raw: Any, *path: str) -> datetime | None:
    """Return the time at a path (RFC 3339)."""
    try:
        found = datetime.fromisoformat(text(raw, *path))
    except ValueError:
        return None
    return found if found.tzinfo and found.year in _YEARS else None


def label(raw: Any, key: str) -> str:
    """Return a label's value."""
    return text(raw, "metadata", "labels", key)


def condition(raw: Any, kind: str) -> Raw:
    """Return the condition of this type if it is true, or an empty one."""
    for found in parts(raw, "status", "conditions"):
        if found.get("type") == kind and found.get("status") == "True":
            return found
    return {}


def _at(raw: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if not isinstance(raw, Mapping):
            return None
        raw = raw.get(step)
    return raw
