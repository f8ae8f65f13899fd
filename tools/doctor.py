"""Lists what this machine lacks for `make demo` and `make test`, each with the command that installs it. Standard library only.

Requirements of pod tests are listed too, as optional. With `--node-packages`, it prints only these.

Runs before anything is installed, so it must work on a bare Python of any version that can read it.
"""

import argparse
import importlib
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

GIB = 2**30
# torch's CUDA build with its libraries, the rest of the training stack, and room for checkpoints and test models.
DISK_NEEDED_GIB = 14
# Two trainer processes and the exporter, one after another, beside the system.
MEMORY_NEEDED_GIB = 6
PACKAGES = {  # what is missing -> its package by package manager
    "g++": {"apt-get": "g++", "dnf": "gcc-c++", "apk": "g++", "zypper": "gcc-c++", "pacman": "gcc"},
    "Python.h": {"apt-get": "python3-dev", "dnf": "python3-devel", "apk": "python3-dev", "zypper": "python3-devel", "pacman": "python"},
    "venv": {"apt-get": "python3-venv", "dnf": "python3", "apk": "python3", "zypper": "python3-venv", "pacman": "python"},
}
INSTALL = {"apt-get": "apt-get install -y", "dnf": "dnf install -y", "apk": "apk add", "zypper": "zypper install -y", "pacman": "pacman -S"}


def remedy(what: str) -> str:
    """Name the command that brings a missing part on this distribution."""
    for manager, command in INSTALL.items():
        if shutil.which(manager):
            sudo = "" if os.geteuid() == 0 else "sudo "
            return f"{sudo}{command} {PACKAGES[what][manager]}"
    return f"install {what} with your system's package manager"


def memory_gib() -> float:
    """Return this machine's memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB


def problems(root: Path) -> list[tuple[str, str]]:
    """Return (problem, command that solves it) for each missing requirement."""
    found = []
    if platform.system() != "Linux":
        found.append((f"Linux is needed, this is {platform.system()}", "use a Linux machine, a container or a virtual machine"))
    if sys.version_info < (3, 11):  # noqa: UP036 - a bare machine may bring an older one
        found.append((f"Python 3.11 or newer is needed, this is {platform.python_version()}", "make PYTHON=/path/to/python3.11 demo"))
    if importlib.util.find_spec("ensurepip") is None and not (root / ".venv").exists():
        found.append(("Python's venv module cannot make environments (no ensurepip)", remedy("venv")))
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        found.append(("no C++ compiler: DeepSpeed compiles its communication op once", remedy("g++")))
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        found.append(("no Python headers (Python.h): DeepSpeed's op is compiled against them", remedy("Python.h")))
    installed = (root / ".venv" / ".installed").exists()
    needed = 2 if installed else DISK_NEEDED_GIB
    free = shutil.disk_usage(root).free / GIB
    if free < needed:
        found.append((f"{free:.1f} GiB free on disk, {needed} GiB are needed", f"free some space below {root}"))
    if memory_gib() < MEMORY_NEEDED_GIB:
        found.append((f"{memory_gib():.1f} GiB of memory, {MEMORY_NEEDED_GIB} GiB are needed", "use a larger machine"))
    return found


def optional(root: Path) -> list[tuple[str, str]]:
    """Return (what is missing, what brings it) for what the tests with real pods need."""
    needs = node_needs(root)
    packages = needs.missing_packages(with_builders=True)
    more = [package for package in needs.missing_packages(with_policies=True) if package not in packages]
    found = [("tests with real pods need packages, and root", packages), ("tests of two nodes (make thorough) need packages", more)]
    sudo = "" if os.geteuid() == 0 else "sudo "
    return [(what, f"{sudo}apt-get install -y {' '.join(names)}") for what, names in found if names and platform.system() == "Linux"]


def node_needs(root: Path) -> ModuleType:
    """Return tests/cluster/needs.py, which is on no import path here."""
    sys.path.append(str(root / "tests" / "cluster"))
    return importlib.import_module("needs")


def main() -> int:
    """Print what is missing; exit with 1 if anything is that cannot be done without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--node-packages", action="store_true", help="print the Debian packages that pod tests of `make test` lack here")
    asked = parser.parse_args()
    if asked.node_packages:
        print(*node_needs(asked.root).missing_packages(with_builders=True))
        return 0
    found = problems(asked.root)
    for what, how in found:
        print(f"missing: {what}\n    bring it: {how}", file=sys.stderr)
    for what, how in optional(asked.root):
        print(f"optional: {what}\n    bring it: {how}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
