"""The building blocks of the specification: the closed base class, constrained strings, quantities, and pod fields.

Promises: an accepted value is valid by itself. `tunewright.api.rules` checks how fields fit together.
Refuses unknown fields, and any conversion between types (`"2"` is not 2, `1` is not true), like the API server.
An explicit null means absent, as in the API server.

Raw JSON for another system has bounds on depth, entries, and the lengths of keys and texts. Without
bounds, the API server accepts an object of 3 KB with a thousand nested lists, which a JSON parser cannot read. The CRD has the same bounds
(see `structural`), except those on keys and on the whole size, which a CRD schema cannot express.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tunewright_contract.quantities import amount

T = TypeVar("T")

Items = Annotated[tuple[T, ...], Strict(False)]  # a list in YAML; frozen here, hence a tuple

LONGEST_LABEL = 63
# Shorter than those of Kubernetes, for the same texts: the CRD has them a hundred times.
DNS_LABEL = r"^[a-z0-9]+(-+[a-z0-9]+)*$"
_DNS_SUBDOMAIN = r"^[a-z0-9]+((-+|[.])[a-z0-9]+)*$"
DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_LABEL, pattern=DNS_LABEL)]
DnsSubdomain = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_DNS_SUBDOMAIN)]
_CONFIG_KEY = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$"
ConfigKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_CONFIG_KEY)]
# Short, because the CRD has it a hundred times; the operator checks the domain's form.
LABEL_KEY = r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
LONGEST_DOMAIN = 253


def _with_valid_domain(key: str) -> str:
    domain, slash, _ = key.rpartition("/")
    if slash and (domain[LONGEST_DOMAIN:] or not re.fullmatch(_DNS_SUBDOMAIN, domain)):
        raise ValueError(f"needs a domain of at most {LONGEST_DOMAIN} characters before the slash")
    return key


def without_pattern(node: dict[str, Any]) -> None:
    """Leave the pattern of a text out of the CRD, where it would stand a hundred times. The operator checks it."""
    del node["pattern"]


LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317, pattern=LABEL_KEY), AfterValidator(_with_valid_domain)]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=65536)]

# A path below a volume's root: no leading slash, no `.` or `..` segment, no control characters.
_SEGMENT = r"([^./\x00-\x1f]|\.[^./\x00-\x1f]|\.\.[^/\x00-\x1f])[^/\x00-\x1f]*"
_VOLUME_PATH = rf"^{_SEGMENT}(/{_SEGMENT})*/?$"
_MOUNT_PATH = rf"^(/{_SEGMENT.replace('[^/', '[^:/').replace('[^./', '[^:./')})+$"
MountPath = Annotated[str, StringConstraints(min_length=2, max_length=1024, pattern=_MOUNT_PATH)]
VolumePath = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_VOLUME_PATH)]
LocalPath = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f]+$")]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*://[^\s]+$")]
Share = Annotated[float, Field(ge=0, lt=1)]

QUANTITY_PATTERN = r"^([0-9]{1,19}(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?(0?[0-9]|1[0-8]))?$"
LARGEST_QUANTITY = 2**63 - 1  # in its base unit; Kubernetes would take a larger one for this


def _whole_number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _within_kubernetes_range(quantity: str) -> str:
    if amount(quantity) > LARGEST_QUANTITY:
        raise ValueError(f"is above {LARGEST_QUANTITY}, the largest quantity that Kubernetes can hold")
    return quantity


Quantity = Annotated[
    str,
    StringConstraints(min_length=1, max_length=32, pattern=QUANTITY_PATTERN),
    BeforeValidator(_whole_number_as_text),
    AfterValidator(_within_kubernetes_range),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "maxLength": 32,
            "minimum": 0,
        }
    ),
]

# Each pattern in words.
FORMS = {
    DNS_LABEL: "Use lower-case letters, digits and dashes, beginning and ending with a letter or digit.",
    _DNS_SUBDOMAIN: "Use lower-case letters, digits, dashes and dots, beginning and ending with a letter or digit.",
    LABEL_KEY: "Use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends, after a domain and a slash if any.",
    _CONFIG_KEY: "Use letters, digits, dashes, dots and underscores, and at most one dot at the beginning.",
    _VOLUME_PATH: "Give a path below the volume's root: no leading slash, no `.` or `..` in it.",
    _MOUNT_PATH: "Give an absolute path without a slash at its end, a colon, or a `.` or `..` in it.",
    QUANTITY_PATTERN: "Give a Kubernetes quantity such as 1, 500m or 16Gi.",
}


class Spec(BaseModel):
    """The base class of every part: frozen, closed, camelCase in YAML, snake_case in Python, no conversion between types."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, raw: Any) -> Any:
        """Drop nulls as the API server does, so that an empty `training:` in YAML means its defaults."""
        return {name: value for name, value in raw.items() if value is not None} if isinstance(raw, Mapping) else raw


class SecretKeyRef(Spec):
    """One key of a Secret in the job's namespace."""

    name: DnsSubdomain
    """Name of the Secret."""
    key: ConfigKey = "token"
    """Key within the Secret."""


class PvcSource(Spec):
    """A folder or file in a PersistentVolumeClaim of the job's namespace."""

    claim_name: DnsSubdomain
    """Name of the claim."""
    path: VolumePath | None = None
    """Folder or file in the volume. Absent: the root of the volume."""


class ObjectSource(Spec):
    """An object or prefix in S3-compatible storage."""

    uri: Annotated[str, StringConstraints(max_length=2048, pattern=r"^s3://[^\s]+$")]
    """`s3://bucket/prefix`."""
    endpoint: Uri | None = None
    """Endpoint. Absent: the provider's own."""
    secret_ref: DnsSubdomain | None = None
    """Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`."""


class UrlSource(Spec):
    """A file to download over HTTPS."""

    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^https://[^\s]+$")]
    """Address of the file or archive."""
    sha256: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")] | None = None
    """Expected SHA-256 of the content."""


class ResourceRequirements(Spec):
    """Kubernetes' own resource requirements."""

    limits: Annotated[dict[LabelKey, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    """Upper limits of one container, such as `nvidia.com/gpu: 1`, `memory: 64Gi`."""
    requests: Annotated[dict[LabelKey, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    """Amounts that the scheduler reserves. Absent: the limits."""

    def wire(self) -> dict[str, dict[str, str]]:
        """Return the Kubernetes object, without empty parts."""
        return {name: values for name, values in (("limits", dict(self.limits)), ("requests", dict(self.requests))) if values}


def keyed(*keys: str) -> Any:
    """Mark a list as a map by these keys, for server-side apply (`x-kubernetes-list-type: map`)."""
    return Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


def as_set() -> Any:
    """Mark a list as a set of scalars, for server-side apply."""
    return Field(json_schema_extra={"x-kubernetes-list-type": "set"})


MOST_ENTRIES = 256  # of a list or map
LONGEST_TEXT = 1024  # characters
LONGEST_KEY = 256
MOST_VALUES = 4096  # in the whole map
LARGEST_INTEGER = 2**63 - 1
DEPTH = "x-tunewright-depth"  # a keyword of our JSON schema: levels of lists and maps below this value


def _bounded(value: Any, depth: int) -> Any:
    """Check every value, without recursion, because the depth is unknown."""
    rest, seen = [(value, depth)], 0
    while rest:
        item, levels = rest.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise _refuse(f"holds more than {MOST_VALUES} values")
        if isinstance(item, str) and len(item) > LONGEST_TEXT:
            raise _refuse(f"holds a text of {len(item)} characters, more than {LONGEST_TEXT}")
        if isinstance(item, int) and abs(item) > LARGEST_INTEGER:
            raise _refuse(f"holds a whole number of {item.bit_length()} bits, more than 63")
        if not isinstance(item, dict | list | tuple):
            continue
        if levels == 0:
            raise _refuse(f"nests more than {depth} lists and maps")
        if len(item) > MOST_ENTRIES:
            raise _refuse(f"holds a list or map of {len(item)} entries, more than {MOST_ENTRIES}")
        if isinstance(item, dict):
            long = next((key for key in item if isinstance(key, str) and len(key) > LONGEST_KEY), None)
            if long is not None:
                raise _refuse(f"holds a key of {len(long)} characters, more than {LONGEST_KEY}")
        rest += [(inner, levels - 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return value


def _refuse(why: str) -> PydanticCustomError:
    return PydanticCustomError("open_map", "Input {why}", {"why": why})


def _nesting(depth: int) -> tuple[BeforeValidator, WithJsonSchema]:
    schema = {"type": "object", "maxProperties": MOST_ENTRIES, "additionalProperties": {DEPTH: depth}}
    return BeforeValidator(lambda value: _bounded(value, depth + 1)), WithJsonSchema(schema)


# The number is the deepest nesting of lists and maps.
FlatMap = Annotated[dict[str, JsonValue], *_nesting(1)]  # {"factor": 2.0, "short_factor": [1.0, 1.0]}
NestedMap = Annotated[dict[str, JsonValue], *_nesting(3)]  # {"optimizer": {"params": {"betas": [0.9, 0.95]}}}
