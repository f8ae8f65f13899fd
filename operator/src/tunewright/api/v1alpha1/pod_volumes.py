"""`volumes` and `volumeMounts` of a stage: Secrets, ConfigMaps and claims of the job's namespace, read-only, and empty folders.

Other kinds are refused: the restricted Pod Security Standard forbids folders of the node, and others would open ways into the pod.
"""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.api.v1alpha1.common import ConfigKey, DnsLabel, DnsSubdomain, Items, MountPath, Quantity, Spec, VolumePath

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
