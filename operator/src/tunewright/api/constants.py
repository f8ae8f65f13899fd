"""Constants in CEL: texts, numbers, Booleans, lists, and the empty map."""

from collections.abc import Mapping, Sequence
from typing import Any


def constant(value: Any) -> str:
    """Write a JSON value in CEL."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Sequence():
            return "[" + ", ".join(map(constant, value)) + "]"
        case Mapping():
            return "{" + ", ".join(f"{constant(name)}: {constant(item)}" for name, item in value.items()) + "}"
        case _:
            return str(value)
