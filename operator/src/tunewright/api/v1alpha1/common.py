"""The building blocks of the specification: the closed base class, constrained strings, quantities, and pod fields.

Promises: an accepted value is valid by itself. `tunewright.api.rules` checks how fields fit together.
Refuses unknown fields, and any conversion between types (`"2"` is not 2, `1` is not true), like the API server.
An explicit null means absent, as in the API server.
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
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

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
