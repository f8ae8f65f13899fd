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


def enter(name: str) -> None:
    """Make a group that counts processor time, and move this process into it; what it starts is there, too."""
    group = _counting() / name
    group.mkdir(exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))


def leave(name: str) -> None:
    """Move this process out of the group again, and remove the group once it is empty."""
    (_counting() / "cgroup.procs").write_text(str(os.getpid()))
    with contextlib.suppress(OSError):  # busy: what a test started is ending
        (_counting() / name).rmdir()


def processor_seconds(name: str) -> float:
    """Return the processor time that a group has used; 0 where there is none."""
    group = _counting() / name
    with contextlib.suppress(FileNotFoundError):
        if group.parent == MOUNT:
            return int((group / "cpu.stat").read_text().split()[1]) / 1e6
        return int((group / "cpuacct.usage").read_text()) / 1e9
    return 0.0


def _counting() -> Path:
    """Return the root of the hierarchy that counts processor time."""
    return next(root for root in hierarchies() if root == MOUNT or (root / "cpuacct.usage").exists())
