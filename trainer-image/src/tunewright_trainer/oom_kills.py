"""How often the kernel has killed a process of this container for want of memory: what tells such a SIGKILL from every other.

Source: the kernel's documentation of control groups, `oom_kill` in memory.events (version 2) and memory.oom_control (version 1).
"""

from pathlib import Path

_MOUNT = "sys/fs/cgroup"


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return the number since the control group was made, which for a container is its start; None where the kernel does not tell."""
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
