"""The programs of a test cluster: those that a person names, those that were built before, those on PATH, or built from Go modules.

No prebuilt Kubernetes is fetched: `go.mod` beside this file pins every module and `go.sum` every byte. helm and CoreDNS cannot share it
with Kubernetes, so their own releases are built, pinned by version and by Go's checksum database. A build takes about fifteen minutes on
two cores and 4 GB of Go's own cache; its result is kept in `<cache>/<hash>`, where the hash covers all that goes into it, so that another
version never meets an old program. Standard library only.

Environment: `KUBEBUILDER_ASSETS` is a folder that has the programs; `TUNEWRIGHT_CACHE` is the cache folder (default `~/.cache/tunewright`).
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = ("kube-scheduler", "kubelet", "kube-proxy", "coredns", "helm", "probe")  # probe is what the level's own test pods run, see probe/
HELM = ("helm",)
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
BUILD = (
    ("go", "install", "-trimpath", f"-ldflags={LDFLAGS}", "tool"),
    ("go", "install", "-trimpath", "-ldflags=-s -w", "helm.sh/helm/v3/cmd/helm@v3.22.0"),
    ("go", "install", "-trimpath", "-ldflags=-s -w", "github.com/coredns/coredns@v1.14.6"),
)
SOURCES = ("go.mod", "go.sum", "probe/main.go")
BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


class NoProgramsError(Exception):
    """A program is missing; the message names it and the way to get it."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Paths of the programs: always those of a control plane, and the others on request."""

    etcd: Path
    apiserver: Path
    controller_manager: Path
    kubectl: Path
    scheduler: Path | None = None
    kubelet: Path | None = None
    proxy: Path | None = None
    coredns: Path | None = None
    helm: Path | None = None
    probe: Path | None = None


def find(more: Iterable[str] = ()) -> Programs:
    """Return the programs that are here already: a control plane's and those named in `more`.

    Raises `NoProgramsError`. Never builds: that takes longer than a test may.
    """
    wanted = {*CONTROL_PLANE, *more}
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        look, otherwise = (
            _in_folder(Path(named)),
            f"KUBEBUILDER_ASSETS={named} lacks {{}}: put them there, or unset it to build them with Go",
        )
    elif built().is_dir():
        look, otherwise = _in_folder(built()), f"{built()} lacks {{}}: remove it, it will be built again"
    else:
        look = _on_path
        otherwise = (
            _missing_go() or f"the test cluster is not built yet: `python {HERE.parent.name}/{HERE.name} build` (minutes) brings {{}}"
        )
    paths = {program: look(program) for program in (*CONTROL_PLANE, *NODE)}
    lacking = [program for program, path in paths.items() if path is None and program in wanted]
    if lacking:
        raise NoProgramsError(otherwise.format(", ".join(lacking)))
    return Programs(**dict(zip(Programs.__dataclass_fields__, paths.values(), strict=True)))


def build(more: Iterable[str] = ()) -> Programs:
    """Return the programs, built if need be. Raises `NoProgramsError` without Go, and CalledProcessError when the build fails."""
    more = tuple(more)
    try:
        return find(more)
    except NoProgramsError:
        reason = "" if os.environ.get("KUBEBUILDER_ASSETS") else _missing_go()
        if os.environ.get("KUBEBUILDER_ASSETS") or reason:
            raise
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{built().name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: the second waits and finds the first one's work
        if not built().is_dir():
            _build_into(built())
    return find(more)


def cache() -> Path:
    """Return the folder under which builds are kept."""
    return Path(os.environ.get("TUNEWRIGHT_CACHE") or Path.home() / ".cache" / "tunewright")


def built() -> Path:
    """Return the folder of this very build, whether it is there or not."""
    digest = hashlib.sha256()
    for part in *((HERE / name).read_bytes() for name in SOURCES), repr((BUILD, sorted(BUILD_ENVIRONMENT.items()))).encode():
        digest.update(hashlib.sha256(part).digest())
    return cache() / f"cluster-{VERSION}-{digest.hexdigest()[:16]}"


def _build_into(folder: Path) -> None:
    print(f"building etcd, Kubernetes {VERSION}, helm and CoreDNS into {folder}: about fifteen minutes on two cores, once", file=sys.stderr)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for command in BUILD:
            subprocess.run(command, cwd=HERE, env={**os.environ, **BUILD_ENVIRONMENT, "GOBIN": str(making)}, check=True)
        (making / "server").rename(making / "etcd")  # Go names a program after the folder of its main package
        making.chmod(0o755)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)  # after a good build there is nothing left by this name


def _in_folder(folder: Path) -> Callable[[str], Path | None]:
    return lambda program: folder / program if _executable(folder / program) else None


def _on_path(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None


def _missing_go() -> str:
    """Return what is wrong with Go here; nothing if it will do."""
    wanted = "Go {}.{} or newer builds the test cluster".format(*OLDEST_GO)
    if shutil.which("go") is None:
        return f"no test cluster: {wanted} and there is none on PATH; or name a folder with {{}} in KUBEBUILDER_ASSETS"
    said = subprocess.run(["go", "env", "GOVERSION"], cwd=HERE.parent, capture_output=True, text=True, check=False).stdout
    version = re.match(r"go(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < OLDEST_GO:
        return f"no test cluster: {wanted}, the one on PATH is {said.strip() or 'of no known version'}"
    return ""


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
