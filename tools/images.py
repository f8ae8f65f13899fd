"""`python tools/images.py build [operator|server|trainer …]`: builds images as archives, only if their inputs changed.

An archive is `<cache>/images/<name>-<content>-<base>.tar`, named by hashes of its inputs. A new archive replaces the older one of the same
image. `archives()` lists them and never builds, because a build takes longer than a test may.

The base: `--base`, else TUNEWRIGHT_BASE_IMAGE, else the Dockerfile's default. The word `debian` means a base that is built
from Debian's packages, for machines without access to a registry. TUNEWRIGHT_CACHE is the cache folder (default `~/.cache/tunewright`).
"""

import argparse
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from image_engines import DEBIAN_BASE, Buildah, Docker, NoEngineError, find_engine, make_debian_base
from image_inputs import IMAGES, ROOT, Image, content_hash, project_version, requirements_hash

DEBIAN = "debian"
MIB = 2**20


def archives(root: Path = ROOT) -> dict[str, Path]:
    """Return the archives that are up to date, by image name. Of two on different bases, the one on the requested base."""
    found = {}
    for image in IMAGES.values():
        wanted = archive_path(image, chosen_base(), root)
        others = sorted(wanted.parent.glob(f"{image.name}-{content_hash(image, root)}-*.tar"))
        existing = [path for path in (wanted, *others) if path.is_file()]
        if existing:
            found[image.name] = existing[0]
    return found


def archive_path(image: Image, base: str, root: Path = ROOT) -> Path:
    """Return the path of this build's archive, whether it exists or not."""
    return cache() / "images" / f"{image.name}-{content_hash(image, root)}-{_base_hash(base)}.tar"


def tag(archive: Path) -> str:
    """Return the name of an archive's image in the engine's own store."""
    name, content, base = archive.stem.split("-")
    return f"localhost/tunewright-{name}:{content}-{base}"


def cache() -> Path:
    """Return the folder under which builds are kept."""
    return Path(os.environ.get("TUNEWRIGHT_CACHE") or Path.home() / ".cache" / "tunewright")


def chosen_base() -> str:
    """Return the base image that the environment names; empty for the Dockerfiles' default."""
    return os.environ.get("TUNEWRIGHT_BASE_IMAGE", "")


def build(names: Sequence[str], base: str) -> dict[str, Path]:
    """Return the archives of these images, built if need be. Raises `NoEngineError`, and CalledProcessError when a build fails."""
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once: the second waits and finds the first one's work
        for name in names:
            while not (archive := archive_path(IMAGES[name], base)).is_file():
                _build(find_engine(), IMAGES[name], base, archive)
            made[name] = archive
    return made


def _build(engine: Buildah | Docker, image: Image, base: str, archive: Path) -> None:
    _forget_outdated_layers(engine, image, base)
    for old in archive.parent.glob(f"{image.name}-*.tar"):
        old.unlink()  # first: a trainer is 6 GB, and there may not be room for two
    version = project_version()
    arguments = {"VERSION": version} | ({"BASE_IMAGE": _base_image(engine, base)} if base else {})
    engine.build(image, tag=tag(archive), arguments=arguments)
    if archive_path(image, base) != archive:
        return  # the sources changed during the build, so its input is unknown; the caller builds again
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    engine.save(tag(archive), image.reference(version), partial)
    partial.rename(archive)


def _forget_outdated_layers(engine: Buildah | Docker, image: Image, base: str) -> None:
    """Layers of dependencies serve every change of code, and nothing any more once the dependencies have changed."""
    stamp = cache() / "images" / f"{image.name}.requirements"
    present = requirements_hash(image, _base_hash(base))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") != present:
        engine.forget(image)
    stamp.write_text(present, encoding="utf-8")


def _base_image(engine: Buildah | Docker, base: str) -> str:
    if base != DEBIAN:
        return base
    made = f"localhost/tunewright-base:{_base_hash(base)}"
    if not engine.has(made):
        make_debian_base(engine, made)
    return made


def _base_hash(base: str) -> str:
    return hashlib.sha256(repr(DEBIAN_BASE if base == DEBIAN else base).encode()).hexdigest()[:8]


def main() -> int:
    """Build what the command line names, all images by default. Exit code 1: no engine, or a build failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["build", "list"])
    parser.add_argument("names", nargs="*", metavar="image", help=f"{', '.join(IMAGES)}; all by default")
    parser.add_argument("--base", default=chosen_base(), help="a base image, or `debian`")
    parser.add_argument("--optional", action="store_true", help="for the tests, which need root: elsewhere say so and end well")
    asked = parser.parse_args()
    unknown = set(asked.names) - IMAGES.keys()
    if unknown:
        parser.error(f"no image is called {', '.join(sorted(unknown))}; there are {', '.join(IMAGES)}")
    if asked.optional and os.geteuid() != 0 and os.environ.get("REQUIRE_CLUSTER") != "1":
        print("images are not built for the tests: only root can run pods here", file=sys.stderr)
        return 0
    try:
        made = archives() if asked.command == "list" else build(asked.names or list(IMAGES), asked.base)
    except NoEngineError as lacking:
        print(f"{lacking}\n  tests on built images will be skipped" if asked.optional else lacking, file=sys.stderr)
        return int(not asked.optional or os.environ.get("REQUIRE_CLUSTER") == "1")
    except subprocess.CalledProcessError as failed:
        print(f"{failed.cmd[0]} ended with code {failed.returncode}; its words are above", file=sys.stderr)
        return 1
    for name, path in made.items():
        print(f"{name:<10} {path.stat().st_size / MIB:>6.0f} MiB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
