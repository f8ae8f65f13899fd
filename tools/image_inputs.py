"""The images, and a hash of each one's inputs, so that an unchanged image is not built again.

Included: the Dockerfile, .dockerignore, the image's requirements and sources, the project's metadata. Excluded: tests, documents, the other
images' sources, settings of linters. The base image has a separate hash.
"""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FORGOTTEN = {"__pycache__"}


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image. Paths are relative to the repository's root, which is the build's context."""

    name: str
    dockerfile: str
    sources: tuple[str, ...]

    @property
    def requirements(self) -> str:
        return f"requirements/{self.name}.txt"

    def reference(self, version: str) -> str:
        """Name it as pods do; docker.io is what container runtimes put before a name without a registry."""
        return f"docker.io/tunewright/{self.name}:{version}"


CONTRACT = "operator/src/tunewright_contract"
RUNTIME = "operator/src/tunewright_runtime"
IMAGES = {
    image.name: image
    for image in (
        Image(name="operator", dockerfile="operator/Dockerfile", sources=(CONTRACT, RUNTIME, "operator/src/tunewright")),
        Image(name="server", dockerfile="server-image/Dockerfile", sources=(CONTRACT, "server-image/src")),
        Image(name="trainer", dockerfile="trainer-image/Dockerfile", sources=(CONTRACT, "trainer-image/src")),
    )
}


def project_version(root: Path = ROOT) -> str:
    """Return the version that images are tagged with."""
    return str(_project(root)["project"]["version"])


def content_hash(image: Image, root: Path = ROOT) -> str:
    """Return 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in _files(image, root):
        digest.update(f"{file.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    # Of pyproject.toml only what ends up in the wheel: its settings of linters and tests change every day.
    project = _project(root)
    relevant = [project["build-system"], project["project"], project["tool"]["hatch"]]
    digest.update(json.dumps(relevant, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def requirements_hash(image: Image, base: str, root: Path = ROOT) -> str:
    """Return a hash of what the layers below the code are made from."""
    return hashlib.sha256(base.encode() + (root / image.requirements).read_bytes()).hexdigest()[:16]


def _files(image: Image, root: Path) -> list[Path]:
    single = [image.dockerfile, ".dockerignore", "LICENSE", image.requirements, "requirements/build.txt"]
    below = [path for source in image.sources for path in sorted((root / source).rglob("*"))]
    kept = [path for path in below if path.is_file() and not _FORGOTTEN & set(path.parts) and path.suffix != ".pyc"]
    return [root / name for name in single] + kept


def _project(root: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
