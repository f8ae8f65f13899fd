"""How much memory this process may use, as opposed to what its machine has.

Sources: the Linux kernel's documentation, admin-guide/cgroup-v2 (`memory.max`) and cgroup-v1 (`memory.limit_in_bytes`).
"""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


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
