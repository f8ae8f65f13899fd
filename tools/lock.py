"""Resolve the dependencies again: write requirements/lock.txt for development, and one file with its versions for each image.

An image gets only what it imports, in the versions of the lock. The tools that build images have their own file. Every file has hashes, and
none names an index.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = ("uv==0.13.8", "hatchling>=1.27")  # tools of the images' builder stages
# Of the project's own dependencies, those that trainer and server import: the contract is written in it.
CONTRACT = tuple(need for need in PROJECT["dependencies"] if need.startswith("pydantic"))
IMAGES = {
    "operator": (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["operator"]),
    "trainer": (*CONTRACT, *PROJECT["optional-dependencies"]["trainer"]),
    "server": (*CONTRACT, *PROJECT["optional-dependencies"]["server"]),
}
COMPILE = (
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
)


def uv(*arguments: str, stdin: str = "") -> None:
    """Run uv of this environment."""
    subprocess.run([str(Path(sys.executable).with_name("uv")), *COMPILE, *arguments], cwd=ROOT, input=stdin, text=True, check=True)


def main() -> None:
    """Write all files. Versions that a file has already stay, unless pyproject.toml rules them out."""
    uv("--all-extras", "pyproject.toml", "-o", "requirements/lock.txt")
    for image, needs in IMAGES.items():
        subset = ("--constraint", "requirements/lock.txt", "-o", f"requirements/{image}.txt")
        uv("--no-annotate", *subset, "-", stdin="\n".join(needs))
    uv("--no-annotate", "-o", "requirements/build.txt", "-", stdin="\n".join(BUILD))


if __name__ == "__main__":
    main()
