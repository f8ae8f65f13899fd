"""Places of fields below a model, in Python and in CEL, and constants in CEL.

The API server fills in no defaults, so CEL has the default of each field that it reads, for a manifest without the field. A field whose
absence has a meaning of its own (its default is None) is read as it is: a rule guards such a read with `has`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tunewright.api.field_names import part_of


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


@dataclass(frozen=True)
class FieldPlace:
    """A field in CEL."""

    text: str
    guards: tuple[str, ...] = ()  # what is true if the manifest has the field, of the parts and the field that have a default
    default: Any = PydanticUndefined  # its value without the field; undefined: the field is required
    part: type[BaseModel] | None = None  # the model of the part, or of the entries of the list

    def below(self, name: str) -> "FieldPlace":
        """Return the place of a field of this part."""
        if self.part is None:
            raise TypeError(f"{self.text} has no fields")
        text, attribute = f"{self.text}.{name}", attribute_of(self.part, name)
        info = self.part.model_fields[attribute]
        own = info.get_default(call_default_factory=True)
        guards = () if self.default is None else self.guards
        default = getattr(self.default, attribute) if guards else own
        return FieldPlace(
            text, (*guards, f"has({text})") if own not in (None, PydanticUndefined) else guards, default, part_of(info.annotation)
        )

    def value(self, read: Callable[[str], str], default: Callable[[Any], str]) -> str:
        """Return CEL of what `read` makes of the field, or `default` of its default."""
        if self.default is None or not self.guards:
            return read(self.text)
        return f"({' && '.join(self.guards)} ? {read(self.text)} : {default(self.default)})"

    def given(self) -> str:
        """Return CEL that is true if the manifest has the field, of one whose default is None."""
        if self.default is not None:
            raise TypeError(f"{self.text} always has a value")
        conditions = " && ".join((*self.guards, f"has({self.text})"))
        return f"({conditions})" if self.guards else conditions


def place_of(model: type[BaseModel] | None, name: str, path: str) -> FieldPlace:
    """Return the place of a field below the variable `name`, which holds such a model."""
    place = FieldPlace(name, part=model)
    for step in path.split("."):
        place = place.below(step)
    return place


def value_at(value: Any, path: str) -> Any:
    """Return the value of a field below a parsed part."""
    for step in path.split("."):
        value = getattr(value, attribute_of(value.__class__, step))
    return value


@cache
def attribute_of(kind: type[BaseModel], name: str) -> str:
    """Return the attribute of a field that is written `name` in YAML."""
    return next(attribute for attribute, field in kind.model_fields.items() if field.alias == name)
