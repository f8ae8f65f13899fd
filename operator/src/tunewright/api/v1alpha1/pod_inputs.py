"""`env`, `volumes` and `volumeMounts` of a stage: what its container gets from objects of the cluster.

Secrets, ConfigMaps and claims are those of the job's namespace, because a pod can refer to no others, and they are read-only. Other kinds
of volumes are refused, apart from empty folders: the restricted Pod Security Standard forbids folders of the node, and others would open
ways into the pod.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import LABEL_KEY, ConfigKey, DnsLabel, DnsSubdomain, Items, MountPath, Quantity, Spec, VolumePath

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


FileMode = Annotated[int, Field(ge=0, le=0o777)]


class KeyToPath(Spec):
    """One key as a file."""

    key: ConfigKey
    """Key within the object."""
    path: VolumePath
    """File below the mount."""
    mode: FileMode | None = None
    """Permissions of the file, as a decimal number. Absent: defaultMode."""


KeysToPaths = Annotated[Items[KeyToPath], Field(max_length=64)]


class SecretVolume(Spec):
    """A Secret as a folder of files."""

    secret_name: DnsSubdomain
    """Name of the Secret in the job's namespace."""
    items: KeysToPaths | None = None
    """Keys to mount. Absent: all."""
    default_mode: FileMode | None = None
    """Permissions of the files, as a decimal number. Absent: 420, which is 0644."""
    optional: bool | None = None
    """true: the folder is empty without the Secret. Absent: the pod waits for it."""


class ConfigMapVolume(Spec):
    """A ConfigMap as a folder of files."""

    name: DnsSubdomain
    """Name of the ConfigMap in the job's namespace."""
    items: KeysToPaths | None = None
    """Keys to mount. Absent: all."""
    default_mode: FileMode | None = None
    """Permissions of the files, as a decimal number. Absent: 420, which is 0644."""
    optional: bool | None = None
    """true: the folder is empty without the ConfigMap. Absent: the pod waits for it."""


class ClaimVolume(Spec):
    """A PersistentVolumeClaim, mounted read-only."""

    claim_name: DnsSubdomain
    """Name of the claim in the job's namespace."""


class EmptyDirVolume(Spec):
    """An empty folder that ends with the pod."""

    medium: Literal["Memory"] | None = None
    """Memory: in the pod's memory. Absent: on the node's disk."""
    size_limit: Quantity | None = None
    """Largest size. Absent: the pod's limit of ephemeral storage."""


class PodVolume(Spec):
    """One volume: a name, and exactly one of the sources."""

    name: DnsLabel
    """Name of the volume, for volumeMounts."""
    secret: SecretVolume | None = None
    """Files of a Secret."""
    config_map: ConfigMapVolume | None = None
    """Files of a ConfigMap."""
    persistent_volume_claim: ClaimVolume | None = None
    """A claim."""
    empty_dir: EmptyDirVolume | None = None
    """An empty folder."""


class VolumeMount(Spec):
    """One place in the container where a volume, or a part of it, is mounted."""

    name: DnsLabel
    """Name of the volume."""
    mount_path: MountPath
    """Absolute path in the container, such as /etc/ssl/company."""
    sub_path: VolumePath | None = None
    """Folder or file in the volume. Absent: its root."""
    read_only: bool | None = None
    """Absent: true, except for emptyDir, which is writable."""
