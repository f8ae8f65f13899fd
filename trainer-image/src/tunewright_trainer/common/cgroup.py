"""Reads this process's control group: the memory limit, and the number of processes that the kernel killed for memory.

Source: the Linux kernel's documentation, admin-guide/cgroup-v2 (`memory.max`, `memory.events`) and cgroup-v1 (`memory.limit_in_bytes`,
`memory.oom_control`).
"""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_MOUNT = "sys/fs/cgroup"


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes: the smallest of the machine's memory and the control group's limits. A number near 2**63 is version 1's "no limit"."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (_number(cgroup / "memory.max"), _number(cgroup / "memory" / "memory.limit_in_bytes"))
    return min([physical, *(limit for limit in limits if limit is not None)])


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return the processes killed for memory since the container's start. None if the kernel does not count them."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            hierarchy, file = root / _MOUNT, "memory.events"
        elif "memory" in controllers.split(","):
            hierarchy, file = root / _MOUNT / "memory", "memory.oom_control"
        else:
            continue
        for folder in hierarchy / group.lstrip("/"), hierarchy:  # a container may have its own group mounted as if it were the root
            counts = dict(line.split() for line in _text(folder / file).splitlines())
            if "oom_kill" in counts:
                return int(counts["oom_kill"])
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
