"""Environment and arguments of a container's process, with paths, ports and names translated to this machine.

Pure. A variable that holds a mounted path gets the pod's root folder as a prefix; one that holds a declared port (its name ends in PORT)
gets the port chosen for it; one that holds the name of a Service gets 127.0.0.1. All others stay unchanged.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.local.layout import Layout
from tunewright.local.network import LOOPBACK, resolve
from tunewright_runtime.errors import Invalid

# Variables that an image would set. Tokens and passwords of the user are not passed on.
INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|CC|CXX|CFLAGS|LDFLAGS|MAX_JOBS|SSL_CERT_\w+|REQUESTS_CA_BUNDLE"
    r"|(?i:https?_proxy|no_proxy|all_proxy)|HF_ENDPOINT|HF_HUB_OFFLINE|HF_HUB_DISABLE_\w+|(CUDA|NVIDIA|NCCL|GLOO|OMP|MKL|TORCH|ROCM|HIP)_\w+"
)
REFERENCE = re.compile(r"\$(\$|\([A-Za-z_][A-Za-z0-9_.-]*\))")
FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True, kw_only=True)
class PodContext:
    """A pod's folders, ports and names on this machine."""

    root: Path
    mount_paths: Collection[str]
    ports: Mapping[int, int]  # declared -> chosen
    services: Collection[str]  # of the namespace
    secret: Callable[[str, str, str], str | None]  # (secret, key, variable) -> value
    config: Callable[[str, str], str | None]  # (ConfigMap, key) -> value
    host: Mapping[str, str]  # the environment of this process


def environment_of(pod: Mapping[str, Any], container: Mapping[str, Any], place: PodContext) -> dict[str, str]:
    """Return the container's whole environment. Raises Invalid, which names a missing ConfigMap, Secret or field."""
    declared: dict[str, str] = {}
    namespace = pod["metadata"]["namespace"]
    for variable in container.get("env", ()):
        name = variable["name"]
        value = _value(pod, container, variable, place)
        if value is None:
            continue
        value = expand(value, declared)
        if name.endswith("PORT") and value.isdecimal() and int(value) in place.ports:
            value = str(place.ports[int(value)])
        declared[name] = resolve(name, relocate(value, place), namespace=namespace, services=place.services)
    if container.get("envFrom"):
        raise Invalid(f"container {container['name']}: envFrom is not supported on this machine; name each variable under env")
    return {name: value for name, value in place.host.items() if INHERITED.fullmatch(name)} | declared


def as_image(environ: Mapping[str, str], executable: str) -> dict[str, str]:
    """Return an environment whose `python` and `torchrun` are those of this Python environment, activated or not. It replaces the image."""
    return {**environ, "PATH": os.pathsep.join([os.path.dirname(executable), environ.get("PATH", os.defpath)])}  # noqa: PTH120 - keeps links


def arguments_of(container: Mapping[str, Any], environment: Mapping[str, str], place: PodContext) -> list[str]:
    """Return the command line. Raises Invalid without a command, because there is no image with an entrypoint."""
    if not container.get("command"):
        raise Invalid(f"container {container['name']} has no command, and on this machine there is no image to take one from")
    words: Sequence[str] = [*container["command"], *container.get("args", ())]
    return [_relocate_word(expand(word, environment), place) for word in words]


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does: unknown names stay as written, `$$` is a dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else known.get(match[1][1:-1], match[0])

    return REFERENCE.sub(replacement, text)


def relocate(value: str, place: PodContext) -> str:
    """Prefix an absolute path that is a mount, is below one, or contains one."""
    if not value.startswith("/") or value.rstrip("/") == "":
        return value
    path = value.rstrip("/")
    if path.startswith(str(place.root)):  # a path that was expanded from a relocated variable
        return value
    if any(path == mount or path.startswith(f"{mount}/") or mount.startswith(f"{path}/") for mount in place.mount_paths):
        return f"{place.root}{value}"
    return value


def _relocate_word(word: str, place: PodContext) -> str:
    """Relocate an argument, also in the form `--option=/path`."""
    option, equals, value = word.partition("=")
    return f"{option}={relocate(value, place)}" if equals and option.startswith("-") else relocate(word, place)


def _value(pod: Mapping[str, Any], container: Mapping[str, Any], variable: Mapping[str, Any], place: PodContext) -> str | None:
    if "valueFrom" not in variable:
        return str(variable.get("value", ""))
    where, source = next(iter(variable["valueFrom"].items()))
    match where:
        case "fieldRef":
            return field(pod, source["fieldPath"])
        case "secretKeyRef":
            found = place.secret(source["name"], source["key"], variable["name"])
            return _found(found, source, f"Secret {source['name']} has no key {source['key']}")
        case "configMapKeyRef":
            found = place.config(source["name"], source["key"])
            return _found(found, source, f"ConfigMap {source['name']} has no key {source['key']}")
    raise Invalid(f"container {container['name']}: variable {variable['name']} comes from {where}, which is not supported on this machine")


def _found(value: str | None, source: Mapping[str, Any], otherwise: str) -> str | None:
    if value is None and not source.get("optional"):
        raise Invalid(otherwise)
    return value


def field(pod: Mapping[str, Any], path: str) -> str:
    """Return a field of the pod by its downward API path. Raises Invalid for a path that is not supported."""
    metadata = pod["metadata"]
    if match := FIELD.fullmatch(path):
        return str(metadata.get(match[1], {}).get(match[2], ""))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": "this-machine",
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": LOOPBACK,
        "status.hostIP": LOOPBACK,
    }
    if path not in known:
        raise Invalid(f"the field {path} is not known on this machine")
    return str(known[path])


@dataclass(frozen=True)
class Secrets:
    """Looks up secrets."""

    layout: Layout
    environ: Mapping[str, str]

    def find(self, namespace: str, name: str, key: str, variable: str) -> str | None:
        """Return the value for a container's variable, or None, without the newline at the end of a file."""
        try:
            return self.layout.secret(namespace, name, key).read_text().rstrip("\r\n")
        except FileNotFoundError:
            return self.environ.get(variable)

    def way_out(self, namespace: str, name: str, key: str, variable: str) -> str:
        """Return how to provide it."""
        return f"set the environment variable {variable}, or write the value into {self.layout.secret(namespace, name, key)}"
