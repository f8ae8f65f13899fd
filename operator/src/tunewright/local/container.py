"""A container for its supervisor: one run folder, and its shim process (see shim.py).

All state is in the folder. A restarted supervisor reads it and so adopts the processes.
"""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tunewright.local import shim
from tunewright.local.files import read_json, write_json

POD_UID = "TUNEWRIGHT_POD_UID"  # in the environment of every process of a pod, to find orphans


@dataclass(frozen=True)
class Running:
    """It runs. `started_at` is in seconds since the epoch; 0.0 until the shim has started."""

    started_at: float


@dataclass(frozen=True)
class Ended:
    """It ended. `lost`: the exit code is unknown, because its shim was killed too (kill -9, a reboot)."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    lost: bool = False


class Container:
    """One run of a container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shim: subprocess.Popen[bytes] | None = None

    @property
    def wanted(self) -> dict[str, Any] | None:
        """The container as it was requested, or None if it was never started."""
        found: dict[str, Any] | None = read_json(self.folder / "container.json")
        return found

    def start(self, wanted: dict[str, Any]) -> None:
        """Start a shim for it. A second call has no effect. Raises OSError when the disk is full."""
        write_json(self.folder / "container.json", wanted, mode=0o600)  # it holds secrets from the environment
        with (self.folder / "shim.log").open("ab") as log:
            self._shim = subprocess.Popen(
                [sys.executable, "-P", "-m", "tunewright.local.shim", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal signals only the supervisor, which stops the pods gracefully
            )

    def state(self) -> Running | Ended | None:
        """Return its state, or None if it was never started."""
        starting = self._shim is not None and self._shim.poll() is None
        if (ended := self._ended()) is not None:
            return ended
        shim_facts = read_json(self.folder / "shim.json")
        if shim_facts is None:
            if starting:
                return Running(0.0)
            return None if self._shim is None else self._lost(0.0)
        if is_alive(shim_facts["pid"], shim_facts["identity"]):
            return Running(shim_facts["startedAt"])
        return self._ended() or self._lost(shim_facts["startedAt"])  # it may have ended since the first read

    def signal(self, number: signal.Signals) -> bool:
        """Signal the shim: SIGTERM stops the container gracefully, SIGINT kills it. False while the shim has not started yet."""
        facts = read_json(self.folder / "shim.json")
        if facts is None:
            return False
        try:
            handle = os.pidfd_open(facts["pid"])  # refers to this process, even if its pid is reused while its identity is read
        except ProcessLookupError:
            return True
        try:
            if is_alive(facts["pid"], facts["identity"]):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return True
        finally:
            os.close(handle)
        return True

    def abandon(self) -> None:
        """Kill the shim and its container, and return when they have ended. Then the run folder can be removed.

        The shim is killed first: while it runs, it writes into the folder when its container ends.
        """
        facts = read_json(self.folder / "shim.json")
        wanted = self.wanted
        if facts is not None:
            kill_and_wait(facts["pid"], facts["identity"])
        if wanted is not None:
            kill_leftovers(wanted["env"][POD_UID])

    def _ended(self) -> Ended | None:
        facts = read_json(self.folder / "exit.json")
        if facts is None:
            return None
        if self._shim is not None:  # the shim writes this file last
            self._shim.wait()
            self._shim = None
        return Ended(facts["exitCode"], facts["reason"], facts["startedAt"], facts["finishedAt"], lost=facts.get("lost", False))

    def _lost(self, started_at: float) -> Ended:
        """Record once that the container ended with an unknown exit code, so that later reads return the same end."""
        finished = (self.folder / "container.json").stat().st_mtime
        facts = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": started_at, "finishedAt": finished, "lost": True}
        write_json(self.folder / "exit.json", facts)
        return Ended(137, "ContainerStatusUnknown", started_at, finished, lost=True)


def is_alive(pid: int, identity: str) -> bool:
    """Return whether this process runs, and not another one with its pid."""
    try:
        return shim.identity(pid) == identity
    except OSError:
        return False


def kill_and_wait(pid: int, identity: str) -> None:
    """Kill this process, and no other with its pid, and return when it has ended. A zombie counts as ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(pid, identity):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [])
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def processes_of(uid: str) -> list[psutil.Process]:
    """Return every process of this machine that belongs to a pod, whatever its parent is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(POD_UID) == uid:
                found.append(process)
        except psutil.Error:
            continue  # it has ended, or is another user's
    return found


def kill_leftovers(uid: str) -> None:
    """Kill the remaining processes of a pod whose shim has ended, until none is left."""
    while left := processes_of(uid):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)
