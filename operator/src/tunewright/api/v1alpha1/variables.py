"""`env` of a stage: variables in plain text, or from a Secret, a ConfigMap, a field of the pod or the container's resources.

Secrets and ConfigMaps are those of the job's namespace, because a pod can refer to no others.
"""

from typing import Annotated, Literal

from pydantic import StringConstraints

from tunewright.api.v1alpha1.common import LABEL_KEY, ConfigKey, DnsSubdomain, Spec

_FIELDS = r"metadata\.(name|namespace|uid)|spec\.(nodeName|serviceAccountName)|status\.(hostIP|podIP)s?"
_KEYED = rf"metadata\.(labels|annotations)\['{LABEL_KEY.strip('^$')}'\]"
FIELD_PATH = rf"^({_FIELDS}|{_KEYED})$"


class KeyReference(Spec):
    """One key of a Secret or a ConfigMap in the job's namespace."""

    name: DnsSubdomain
    """Name of the object."""
    key: ConfigKey
    """Key within the object."""
    optional: bool | None = None
    """true: without the object or the key, the variable is not set. Absent: the pod waits for both."""


class FieldReference(Spec):
    """A field of the pod."""

    field_path: Annotated[str, StringConstraints(max_length=400, pattern=FIELD_PATH)]
    """Path of the field, such as status.podIP."""


class ResourceReference(Spec):
    """A request or a limit of the container."""

    resource: Annotated[str, StringConstraints(max_length=32, pattern=r"^(limits|requests)\.(cpu|memory|ephemeral-storage)$")]
    """The amount, such as limits.memory."""
    divisor: Literal["1m", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"] | None = None
    """Unit of the value: 1m or 1 for cpu, 1 or more for the others. Absent: 1."""


class EnvVarSource(Spec):
    """The source of a variable's value: exactly one of these."""

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""
    field_ref: FieldReference | None = None
    """A field of the pod."""
    resource_field_ref: ResourceReference | None = None
    """A request or a limit of the container."""


class EnvVar(Spec):
    """One environment variable of a stage's container. A secret belongs in valueFrom, not in value."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Its value, in plain text."""
    value_from: EnvVarSource | None = None
    """The source of its value. Absent: `value`."""
