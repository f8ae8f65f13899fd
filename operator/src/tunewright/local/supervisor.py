"""Ensures one supervisor per FineTuneJob on a machine, by a lock that ends with its process."""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from tunewright.local.layout import Layout
from tunewright.local.store import timestamp
from tunewright_runtime.errors import Rejected


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that runs a job."""

    pid: int
    command: str
    since: str
    progress_port: int | None = None  # kept for the next process: running pods report to this port


@contextmanager
def hold(layout: Layout, namespace: str, job: str, *, now: datetime) -> Iterator["JobLock"]:
    """Hold a job's lock during the block. Raises Rejected with the process that holds it."""
    path = layout.supervisor(namespace, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = _read(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Rejected(_already(namespace, job, before), reason="AlreadyRunning") from None
        command = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])  # noqa: PTH119 - not a path any more
        holder = Holder(pid=os.getpid(), command=command, since=timestamp(now), progress_port=before.progress_port if before else None)
        lock = JobLock(handle, holder)
        lock.write(holder)
        yield lock
    finally:
        os.close(handle)  # releases the lock


def holder_of(layout: Layout, namespace: str, job: str) -> Holder | None:
    """Return the process that runs a job now, or None."""
    try:
        handle = os.open(layout.supervisor(namespace, job), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    finally:
        os.close(handle)
    return None


class JobLock:
    """The exclusive right to run a job."""

    def __init__(self, handle: int, holder: Holder) -> None:
        self._handle = handle
        self.holder = holder

    def write(self, holder: Holder) -> None:
        """Write this process into the file. In place, not by renaming, because the lock belongs to this inode."""
        self.holder = holder
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(holder.__dict__).encode(), 0)


def _read(handle: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(handle, 65536, 0)))
    except (ValueError, TypeError):
        return None  # empty, or its writer was killed while it wrote


def _already(namespace: str, job: str, holder: Holder | None) -> str:
    if holder is None:
        return f"FineTuneJob {namespace}/{job} is being run by another process; stop that one first"
    who = f"process {holder.pid} (`{holder.command}`, since {holder.since})"
    return f"FineTuneJob {namespace}/{job} is being run by {who}; stop that one first: press Ctrl-C there, or `kill {holder.pid}`"
