"""A pod's file system on this machine: a root folder with a link for every mountPath.

ConfigMaps and Secrets become files. An emptyDir is a folder that is removed with the pod, a claim is a folder under `volumes/`, a host path
is itself. A projected token is a random one that the progress endpoint accepts. `readOnly` is not enforced: the processes run as the user.
"""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tunewright.local.files import write_whole
from tunewright.local.layout import Layout, PodFolder
from tunewright_runtime.errors import Invalid

Lookup = Callable[[str, str], Mapping[str, Any] | None]  # (kind, name) -> object of the pod's namespace


def build(pod: Mapping[str, Any], folder: PodFolder, layout: Layout, lookup: Lookup) -> None:
    """Create the files and folders of the pod's mounts. A second call changes nothing. Raises Invalid or OSError."""
    folder.root.mkdir(parents=True, exist_ok=True)
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
    (container,) = pod["spec"]["containers"]
    mounts = sorted(container.get("volumeMounts", ()), key=lambda mount: str(mount["mountPath"]))
    paths = [PurePosixPath(mount["mountPath"]) for mount in mounts]
    for mount, path in zip(mounts, paths, strict=True):
        if outer := next((other for other in paths if other in path.parents), None):
            raise Invalid(f"a mount within a mount is not supported on this machine: {path} is below {outer}")
        target = _target(pod, volumes[mount["name"]], folder, layout, lookup)
        if sub_path := mount.get("subPath"):
            target = _below(target, sub_path, create=not mount.get("readOnly"))
        _link(folder.root / str(path).lstrip("/"), target)


def mount_paths(container: Mapping[str, Any]) -> list[str]:
    """Return every path that has a link in the root folder, the termination log included."""
    return [str(mount["mountPath"]).rstrip("/") for mount in container.get("volumeMounts", ())] + [termination_path(container)]


def termination_path(container: Mapping[str, Any]) -> str:
    """Return the path of the container's termination message."""
    return str(container.get("terminationMessagePath", "/dev/termination-log"))


def place_termination_log(folder: PodFolder, container: Mapping[str, Any], run: Path) -> None:
    """Give this run a termination log of its own."""
    log = run / "termination-log"
    log.touch()
    _link(folder.root / termination_path(container).lstrip("/"), log)


def _target(pod: Mapping[str, Any], volume: Mapping[str, Any], folder: PodFolder, layout: Layout, lookup: Lookup) -> Path:
    name = volume["name"]
    own = folder.volume(name)
    match volume:
        case {"configMap": {"name": config}}:
            found = lookup("ConfigMap", config)
            if found is None:
                raise Invalid(f"volume {name}: there is no ConfigMap {config}")
            for key, text in found.get("data", {}).items():
                write_whole(own / key, text.encode())
            return own
        case {"secret": {"secretName": secret}}:
            target = layout.secret(pod["metadata"]["namespace"], secret, "_").parent
            if not target.is_dir():
                raise Invalid(f"volume {name}: there is no Secret {secret}; put one file per key into {target}")
            return target
        case {"persistentVolumeClaim": {"claimName": claim}}:
            target = layout.claim(pod["metadata"]["namespace"], claim)
            target.mkdir(parents=True, exist_ok=True)
            return target
        case {"hostPath": {"path": path}}:
            if not Path(path).exists():
                raise Invalid(f"volume {name}: {path} does not exist")
            return Path(path)
        case {"emptyDir": _}:
            own.mkdir(parents=True, exist_ok=True)
            return own
        case {"projected": {"sources": [{"serviceAccountToken": {"path": path}}]}}:
            if not folder.token.exists():
                write_whole(folder.token, secrets.token_urlsafe(32).encode(), mode=0o600)
            _link(own / path, folder.token)
            return own
    raise Invalid(f"volume {name}: {', '.join(sorted(set(volume) - {'name'}))} is not supported on this machine")


def _below(target: Path, sub_path: str, *, create: bool) -> Path:
    inner = target / sub_path
    if ".." in PurePosixPath(sub_path).parts:
        raise Invalid(f"subPath {sub_path!r} must not contain '..'")
    if create:
        inner.mkdir(parents=True, exist_ok=True)
    if not inner.exists():
        raise Invalid(f"{inner} does not exist; put it there")
    return inner


def _link(link: Path, target: Path) -> None:
    """Make `link` point to `target`, replacing a link that points elsewhere."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        if link.readlink() == target:
            return
        link.unlink()
    link.symlink_to(target)
