"""The number of cores and the memory that this process may use, not those of the host.

ONNX Runtime sizes its pool from the host (microsoft/onnxruntime#29510); inside a container that is too many threads.
Control files: Linux kernel documentation, admin-guide/cgroup-v2 (`cpu.max`, `memory.max`) and cgroup-v1 (`cpu.cfs_*`,
`memory.limit_in_bytes`).
"""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_V1_UNLIMITED = 1 << 60  # version 1 writes "no limit" as a number near 2**63


def cpu_limit(cgroup: Path = CGROUP) -> int:
    """Number of threads to start: the smaller of the affinity mask and the cgroup's quota, rounded up; at least 1."""
    quota = _quota(cgroup)
    usable = len(os.sched_getaffinity(0))
    return max(1, usable if quota is None else min(usable, math.ceil(quota)))


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes this process may use: the smaller of physical memory and the cgroup's limit."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [_number(cgroup / "memory.max"), _number(cgroup / "memory" / "memory.limit_in_bytes")]
    return min([physical, *(limit for limit in limits if limit is not None and limit < _V1_UNLIMITED)])


def _quota(cgroup: Path) -> float | None:
    fields = _text(cgroup / "cpu.max").split()
    if len(fields) == 2 and fields[0] != "max":
        return int(fields[0]) / int(fields[1])
    quota, period = _number(cgroup / "cpu" / "cpu.cfs_quota_us"), _number(cgroup / "cpu" / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
