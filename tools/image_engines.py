"""The programs that build images: buildah, or docker where its engine answers. Each builds a Dockerfile and writes an archive.

Settings of the build machine must not become part of an image. They are mounted while a step runs: certificate authorities and package
indexes as secrets, uv's cache as a folder.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image_inputs import ROOT, Image

# Debian's own Python, for where no registry of images can be reached.
DEBIAN_BASE = (
    "mmdebstrap",
    "--variant=minbase",
    "--include=python3,ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "bookworm",
)
BASE_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
UV_CACHE = "/var/cache/uv-of-the-host"
# pip's settings of package indexes -> the variables of pip and uv with these settings.
INDEX_VARIABLES = {
    "index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    "trusted-host": ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
    "default-timeout": ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"),
}


class NoEngineError(Exception):
    """No engine on this machine can build images; the message names one."""


def find_engine() -> "Buildah | Docker":
    """Return what can build here. Raises `NoEngineError`."""
    if shutil.which("buildah"):
        return Buildah()
    if shutil.which("docker") and _quiet("docker", "info").returncode == 0:
        return Docker()
    raise NoEngineError("nothing builds images here: install buildah (Debian, Ubuntu: apt-get install buildah), or start docker's engine")


def _as_seen() -> tuple[str, ...]:
    """A person watches the steps go by; a log keeps what went wrong."""
    return () if sys.stderr.isatty() else ("--quiet",)


@dataclass(frozen=True)
class Buildah:
    """buildah, without a daemon. Layers are kept in its store, so that a code change does not reinstall dependencies."""

    # chroot needs no rights that a container lacks; the network is this machine's, because that is where package indexes are reached from.
    options: tuple[str, ...] = ("--isolation=chroot", "--network=host", "--layers", "--force-rm")

    def build(self, image: Image, *, tag: str, arguments: dict[str, str]) -> None:
        """Build and tag."""
        cache = _uv_cache()
        with secrets() as mounted:
            shared = [f"--volume={cache}:{UV_CACHE}", f"--build-arg=UV_CACHE_DIR={UV_CACHE}"]
            given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
            _run("buildah", "bud", *_as_seen(), *self.options, *shared, *given, *mounted, f"--file={image.dockerfile}", f"--tag={tag}", ".")

    def save(self, tag: str, reference: str, archive: Path) -> None:
        """Write an archive that `ctr images import`, `podman load` and `skopeo` read.

        zstd at its lowest level halves the size; a trainer was written and imported again in 271 s, without compression in 307 s (both on
        two busy cores and a disk of 240 MB/s).
        """
        compressed = ("--compression-format=zstd", "--compression-level=1")
        _run("buildah", "push", "--quiet", "--format=oci", *compressed, tag, f"oci-archive:{archive}:{reference}")

    def import_base(self, tar: Path, tag: str) -> None:
        """Make an image of a root file system."""
        container = _output("buildah", "from", "scratch")
        try:
            _run("buildah", "add", "--quiet", container, str(tar), "/")
            _run("buildah", "config", "--env", BASE_PATH, container)
            _run("buildah", "commit", "--quiet", container, tag)
        finally:
            _run("buildah", "rm", container)

    def has(self, tag: str) -> bool:
        return _quiet("buildah", "inspect", "--type=image", tag).returncode == 0

    def forget(self, image: Image) -> None:
        """Remove an image with all layers that its earlier builds left."""
        ours = f"label=org.opencontainers.image.title=tunewright-{image.name}"
        ids = _output("buildah", "images", "--all", "--quiet", "--filter", ours).split()
        if ids:
            _quiet("buildah", "rmi", "--force", *dict.fromkeys(ids))


@dataclass(frozen=True)
class Docker:
    """docker with BuildKit."""

    def build(self, image: Image, *, tag: str, arguments: dict[str, str]) -> None:
        """Build and tag."""
        with secrets() as mounted:
            given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
            _run("docker", "build", *_as_seen(), *given, *mounted, f"--file={image.dockerfile}", f"--tag={tag}", ".")

    def save(self, tag: str, reference: str, archive: Path) -> None:
        """Write a docker-archive."""
        _run("docker", "tag", tag, reference)
        _run("docker", "save", f"--output={archive}", reference)

    def import_base(self, tar: Path, tag: str) -> None:
        """Make an image of a root file system."""
        _run("docker", "import", f"--change=ENV {BASE_PATH}", str(tar), tag)

    def has(self, tag: str) -> bool:
        return _quiet("docker", "image", "inspect", tag).returncode == 0

    def forget(self, image: Image) -> None:
        """Remove an image; docker's own garbage collection takes the layers."""
        ids = _output("docker", "images", "--quiet", "--filter", f"label=org.opencontainers.image.title=tunewright-{image.name}").split()
        if ids:
            _quiet("docker", "rmi", "--force", *dict.fromkeys(ids))


def make_debian_base(engine: "Buildah | Docker", tag: str) -> None:
    """Make a base image from Debian's packages. Raises `NoEngineError` without mmdebstrap."""
    if shutil.which(DEBIAN_BASE[0]) is None:
        raise NoEngineError("a base from Debian's packages needs mmdebstrap (Debian, Ubuntu: apt-get install mmdebstrap)")
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "base.tar"
        _run(*DEBIAN_BASE, str(tar))
        engine.import_base(tar, tag)


@contextlib.contextmanager
def secrets() -> Iterator[list[str]]:
    """Yield the options that lend a build this machine's package indexes and certificate authorities."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        environment.touch(mode=0o600)  # an index's address may hold a password
        environment.write_text("".join(f"export {name}='{value}'\n" for name, value in index_settings().items()), encoding="utf-8")
        options = [f"--secret=id=environment,src={environment}"]
        authorities = Path(os.environ.get("SSL_CERT_FILE") or AUTHORITIES)
        yield [*options, f"--secret=id=authorities,src={authorities}"] if authorities.is_file() else options


def index_settings() -> dict[str, str]:
    """Return where pip and uv get packages from on this machine, as environment variables; what the environment says itself comes last."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    found: dict[str, str] = {}
    for line in said.splitlines():
        key, _, value = line.partition("=")
        found |= dict.fromkeys(INDEX_VARIABLES.get(key.rpartition(".")[2], ()), value.strip("'\""))
    named = {name for names in INDEX_VARIABLES.values() for name in names} | {"UV_INDEX_URL", "UV_EXTRA_INDEX_URL"}
    return found | {name: os.environ[name] for name in sorted(named & os.environ.keys())}


def _uv_cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("UV_CACHE_DIR") or home / "uv")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


def _quiet(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
