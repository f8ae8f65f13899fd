"""E026, E027: volumes, mounts and sources of variables that the API server would refuse, or that would cover folders of Tunewright.

A stage without volumes of its own has those of the part that the stage table names, so a mount and its volume may stand in two parts.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tunewright.api.rules.table import Rule, fault_rule, pod_rule
from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright_contract.stages import STAGES, Stage

# A test compares them with what render/volumes.py mounts.
OWN_NAMES = ("cache", "config", "output", "progress-token", "shm", "tmp")
OF_CLAIMS = r"(.*-)?[0-9a-f]{8}"  # see plan/names.py
OWN_PATHS = ("/etc/tunewright", "/workspace", "/dev", "/proc", "/sys", "/tmp", "/run/secrets", "/var/run/secrets", "/opt/tunewright")  # noqa: S108
# Folders that hold the image's programs and libraries. Folders in them are free.
OF_IMAGE = (
    "/bin",
    "/etc",
    "/etc/ssl",
    "/home",
    "/lib",
    "/lib64",
    "/opt",
    "/root",
    "/sbin",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/var",
)

_CPU_UNITS = ("1m", "1")
_KINDS = "one of secret, configMap, persistentVolumeClaim and emptyDir"
_SOURCES = "one of secretKeyRef, configMapKeyRef, fieldRef and resourceFieldRef"


def bad_volumes(settings: PodSettings) -> list[str]:
    """Return what is wrong with volumes."""
    faults = []
    for index, volume in enumerate(settings.volumes or ()):
        if len(_given(volume)) != 2:  # the name, and its source
            faults.append(f"[{index}] ({volume.name}) needs exactly {_KINDS}")
        if volume.name in OWN_NAMES or re.fullmatch(OF_CLAIMS, volume.name):
            faults.append(f"[{index}].name is {volume.name}, which Tunewright uses for a volume of its own")
    return faults


def bad_mounts(spec: FineTuneJobSpec, stage: Stage) -> list[str]:
    """Return what is wrong with the volumeMounts of a stage, if its part of the specification has any volumes or mounts."""
    own, settings = spec.written_settings(stage), spec.pod_settings(stage)
    if own is None or (own.volumes is None and own.volume_mounts is None):
        return []
    volumes = {volume.name: volume for volume in settings.volumes or ()}
    mounts = settings.volume_mounts or ()
    faults = []
    for index, mount in enumerate(mounts):
        path = mount.mount_path
        if mount.name not in volumes:
            faults.append(f"[{index}].name is {mount.name}, and volumes has {', '.join(volumes) or 'none'}")
        elif mount.read_only is False and volumes[mount.name].empty_dir is None:
            faults.append(f"[{index}].readOnly is false, and only an emptyDir is writable")
        if path in OF_IMAGE or any(_overlap(path, other) for other in OWN_PATHS):
            faults.append(f"[{index}].mountPath is {path}, which would cover files of the image or of Tunewright")
        if path in {other.mount_path for other in mounts[:index]}:
            faults.append(f"[{index}].mountPath is {path}, where another volume is mounted")
    return faults


def bad_sources(settings: PodSettings) -> list[str]:
    """Return what is wrong with the sources of variables."""
    faults = []
    for variable in settings.env or ():
        source = variable.value_from
        if source is None:
            continue
        if variable.value:
            faults.append(f"{variable.name} has a value and valueFrom")
        if len(_given(source)) != 1:
            faults.append(f"{variable.name} needs exactly {_SOURCES} in valueFrom")
        unit = source.resource_field_ref
        if (
            unit is not None
            and unit.divisor is not None
            and (unit.divisor not in _CPU_UNITS if unit.resource.endswith("cpu") else unit.divisor == "1m")
        ):
            faults.append(f"{variable.name} has the divisor {unit.divisor}, which is no unit of {unit.resource}")
    return faults


def _given(part: Spec) -> list[str]:
    return [name for name in type(part).model_fields if getattr(part, name) is not None]


def _overlap(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


_MOUNTS: Sequence[tuple[str, Callable[[FineTuneJobSpec], list[str]]]] = [
    (f"{stage.settings}.volumeMounts", partial(bad_mounts, stage=stage)) for stage in STAGES
]

RULES: tuple[Rule[Any], ...] = (
    pod_rule(
        code="E026",
        path="volumes",
        faults=bad_volumes,
        refuses="a volume without a source, with several, or with a name of Tunewright's",
        way_out=f"Give each volume a name of its own and {_KINDS}.",
    ),
    *(
        fault_rule(
            code="E026",
            path=path,
            faults=faults,
            says="{}",
            refuses="a mount without its volume, that covers files of the image or of Tunewright, or that is writable",
            way_out="Mount a volume of this stage at a path of its own, such as /etc/ssl/company; only an emptyDir is writable.",
        )
        for path, faults in _MOUNTS
    ),
    pod_rule(
        code="E027",
        path="env",
        faults=bad_sources,
        refuses="a variable with a value and valueFrom, or with a source that the API server refuses",
        way_out=f"Give each variable a value, or valueFrom with {_SOURCES}.",
    ),
)
