"""The programs of a control plane: those that a person names, those that were built before, those on PATH, or built from Go modules.

No prebuilt Kubernetes is fetched: `go.mod` beside this file pins every module and `go.sum` every byte. A build takes about seven
minutes on two cores and 3 GB of Go's own cache; its result is kept in `<cache>/<hash>`, where the hash covers go.mod, go.sum
and the build's flags, so that another version never meets an old program. Standard library only.

Environment: `KUBEBUILDER_ASSETS` is a folder that has all the programs; `TUNEWRIGHT_CACHE` is the cache folder (default `~/.cache/tunewright`).
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
OLDEST_GO = (1, 25)
VERSION = re.search(r"k8s\.io/kubernetes (v\S+)", (HERE / "go.mod").read_text(encoding="utf-8"))[1]
MAJOR, MINOR = VERSION.removeprefix("v").split(".")[:2]
# Kubernetes' own build stamps its version into the programs; without it kubectl refuses the server's answer as unparsable.
LDFLAGS = " ".join(
    [
        "-s -w",
        f"-X k8s.io/component-base/version.gitVersion={VERSION}",
        f"-X k8s.io/component-base/version.gitMajor={MAJOR}",
        f"-X k8s.io/component-base/version.gitMinor={MINOR}",
        f"-X k8s.io/client-go/pkg/version.gitVersion={VERSION}",
    ]
)
BUILD = ("go", "install", "-trimpath", f"-ldflags={LDFLAGS}", "tool")
BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


class NoProgramsError(Exception):
    """There are no programs of a control plane here; the text says what would bring them."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """One folder with everything in it, or what PATH has."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    kubectl: Path


def find() -> Programs:
    """Return the programs that are here already. Raises `NoProgramsError`. Never builds: that takes longer than a test may."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        lacking = [program for program in PROGRAMS if not _executable(Path(named) / program)]
        if lacking:
            raise NoProgramsError(
                f"KUBEBUILDER_ASSETS={named} lacks {', '.join(lacking)}: put them there, or unset it to build them with Go"
            )
        return _in_folder(Path(named))
    if built().is_dir():
        return _in_folder(built())
    on_path = [shutil.which(program) for program in PROGRAMS]
    if all(on_path):
        return Programs(**dict(zip(Programs.__dataclass_fields__, map(Path, on_path), strict=True)))
    raise NoProgramsError(_missing_go() or f"the control plane is not built yet: `python {HERE.parent.name}/{HERE.name} build` (minutes)")


def build() -> Programs:
    """Return the programs, built if need be. Raises `NoProgramsError` without Go, and CalledProcessError when the build fails."""
    try:
        return find()
    except NoProgramsError:
        reason = "" if os.environ.get("KUBEBUILDER_ASSETS") else _missing_go()
        if os.environ.get("KUBEBUILDER_ASSETS") or reason:
            raise
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{built().name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: the second waits and finds the first one's work
        if not built().is_dir():
            _build_into(built())
    return _in_folder(built())


def cache() -> Path:
    """Return the folder under which builds are kept."""
    return Path(os.environ.get("TUNEWRIGHT_CACHE") or Path.home() / ".cache" / "tunewright")


def built() -> Path:
    """Return the folder of this very build, whether it is there or not."""
    digest = hashlib.sha256()
    for part in (HERE / "go.mod").read_bytes(), (HERE / "go.sum").read_bytes(), repr((BUILD, sorted(BUILD_ENVIRONMENT.items()))).encode():
        digest.update(hashlib.sha256(part).digest())
    return cache() / f"control-plane-{VERSION}-{digest.hexdigest()[:16]}"


def _build_into(folder: Path) -> None:
    print(f"building etcd and Kubernetes {VERSION} into {folder}: about seven minutes on two cores, once", file=sys.stderr)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        subprocess.run(BUILD, cwd=HERE, env={**os.environ, **BUILD_ENVIRONMENT, "GOBIN": str(making)}, check=True)
        (making / "server").rename(making / "etcd")  # Go names a program after the folder of its main package
        making.chmod(0o755)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)  # after a good build there is nothing left by this name


def _in_folder(folder: Path) -> Programs:
    return Programs(**{field: folder / program for field, program in zip(Programs.__dataclass_fields__, PROGRAMS, strict=True)})


def _missing_go() -> str:
    """Say what is wrong with Go here; nothing if it will do."""
    wanted = "Go {}.{} or newer builds the control plane".format(*OLDEST_GO)
    if shutil.which("go") is None:
        return f"no control plane: {wanted} and there is none on PATH; or name a folder with {', '.join(PROGRAMS)} in KUBEBUILDER_ASSETS"
    said = subprocess.run(["go", "env", "GOVERSION"], cwd=HERE.parent, capture_output=True, text=True, check=False).stdout
    version = re.match(r"go(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < OLDEST_GO:
        return f"no control plane: {wanted}, the one on PATH is {said.strip() or 'of no known version'}"
    return ""


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
