"""The control group below which one node's pods are counted and limited, in every hierarchy that the machine mounts (version 1 or 2)."""

import contextlib
import os
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb")


def hierarchies() -> list[Path]:
    """Return the roots: the one of version 2, or those of version 1, each a folder or a mount of its own."""
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    return [folder for folder in sorted(MOUNT.iterdir()) if (folder / "cgroup.procs").exists() and not folder.is_symlink()]


def make(name: str) -> None:
    """Make the group; kubelet refuses to start below one that is not there."""
    for root in hierarchies():
        (root / name).mkdir(exist_ok=True)
        control = root / "cgroup.subtree_control"
        if control.exists() and root == MOUNT:
            there = (root / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{one}" for one in CONTROLLERS if one in there)
            for each in control, root / name / "cgroup.subtree_control":
                each.write_text(wanted)
        for setting in "cpuset.mems", "cpuset.cpus":  # of version 1: empty at first, and then nothing can run in the group
            if (root / setting).exists() and root != MOUNT:
                (root / name / setting).write_text((root / setting).read_text())


def remove(name: str) -> bool:
    """Remove the group and all below it. False while a process is left in one."""
    for root in hierarchies():
        for folder, _, _ in os.walk(root / name, topdown=False):
            with contextlib.suppress(OSError):  # busy: its last process is ending
                Path(folder).rmdir()
    return not any((root / name).exists() for root in hierarchies())
