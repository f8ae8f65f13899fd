"""The base class of every message: frozen, without unknown fields, in camelCase on the wire. And ranges of values from outside.

The user chooses a pod's image, so its reports are untrusted input.
"""

from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from tunewright_contract.text import holds_control, plain


class Message(BaseModel):
    """A value that crosses a process boundary as JSON. Field names are snake_case here and camelCase in JSON."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )


LARGEST_CONFIG = 2**20  # bytes of a base model's config.json
LARGEST_COUNT = 2**53  # the largest whole number that every JSON reader keeps exact, and far below int64, in which status is stored


def _printable(value: str) -> str:
    if holds_control(value):
        raise ValueError("must not hold control characters")
    return value


def _inside(value: str) -> str:
    if value.startswith("/") or "\\" in value or any(part in ("", ".", "..") for part in value.split("/")):
        raise ValueError("must be a relative path without empty parts, '.', '..' and backslashes")
    return value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
"""How many of something; bytes too."""
Positive = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Amount = Annotated[float, Field(ge=0)]
Loss = Annotated[float | None, BeforeValidator(_finite)]
"""None: not a finite number, which JSON cannot express."""
Rank = Annotated[int, Field(ge=0, lt=2**31)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ReasonWord = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,127}$")]
"""One CamelCase word, as a condition's reason."""
Name = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_printable)]
Prose = Annotated[str, AfterValidator(plain)]
"""Text for people. Control characters are removed. The limit of a whole report bounds the length, and `dump` shortens it."""
RelativePath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_printable), AfterValidator(_inside)]
