"""A running container as its supervisor sees it: one run folder, and the shim in it (see shim.py).

All state is in the folder, so a restarted supervisor reads the same state and thereby adopts the processes.
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

POD_UID = "TUNEWRIGHT_POD_UID"  # in the environment of every process of a pod: how orphans are found


@dataclass(frozen=True)
class Running:
    """It runs. `started_at` is in seconds since the epoch; 0.0 while the shim is still on its way."""

    started_at: float


@dataclass(frozen=True)
class Ended:
    """It ended. `lost`: the exit code is unknown, because its shim died too (kill -9, a reboot)."""

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
        """The container as it was requested, if it was started at all."""
        found: dict[str, Any] | None = read_json(self.folder / "container.json")
        return found

    def start(self, wanted: dict[str, Any]) -> None:
        """Start a shim for it. Starting twice is starting once. Raises OSError when the disk is full."""
        write_json(self.folder / "container.json", wanted, mode=0o600)  # it holds secrets from the environment
        with (self.folder / "shim.log").open("ab") as log:
            self._shim = subprocess.Popen(
                [sys.executable, "-P", "-m", "tunewright.local.shim", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which stops pods in its own way
            )

    def state(self) -> Running | Ended | None:
        """Return how it is, or None when it was never started."""
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
        return self._ended() or self._lost(shim_facts["startedAt"])  # it may have ended while we looked

    def signal(self, number: signal.Signals) -> bool:
        """Signal the shim: SIGTERM asks the container to stop, SIGINT kills it. False while the shim has not started yet."""
        facts = read_json(self.folder / "shim.json")
        if facts is None:
            return False
        try:
            handle = os.pidfd_open(facts["pid"])  # holds on to this very process while its identity is looked at
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
        """Kill the shim and what it runs, and return when they write no more: the run folder can be removed then.

        The shim goes first and is waited for: as long as it lives, it answers the end of its container by writing in the folder.
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
        if self._shim is not None:  # writing this was the last thing it did
            self._shim.wait()
            self._shim = None
        return Ended(facts["exitCode"], facts["reason"], facts["startedAt"], facts["finishedAt"], lost=facts.get("lost", False))

    def _lost(self, started_at: float) -> Ended:
        """Write down that the end was not seen, once, so that it stays the same end from now on."""
        finished = (self.folder / "container.json").stat().st_mtime
        facts = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": started_at, "finishedAt": finished, "lost": True}
        write_json(self.folder / "exit.json", facts)
        return Ended(137, "ContainerStatusUnknown", started_at, finished, lost=True)


def is_alive(pid: int, identity: str) -> bool:
    """Return whether this very process runs."""
    try:
        return shim.identity(pid) == identity
    except OSError:
        return False


def kill_and_wait(pid: int, identity: str) -> None:
    """Kill this very process and return when it has ended. A zombie has ended too."""
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
    """Return every process of this machine that belongs to a pod, whatever its parent is by now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(POD_UID) == uid:
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile, or another user's
    return found


def kill_leftovers(uid: str) -> None:
    """Kill what is left of a pod whose shim is gone, until nothing is."""
    while left := processes_of(uid):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)
