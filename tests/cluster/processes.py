"""Programs of a test cluster as processes that end with the process that started them, however that ends.

`stop`, the interpreter's end, and after `kill -9` the kernel (PR_SET_PDEATHSIG). Start them from a thread that runs as long as they are
needed: the kernel counts the thread's end as the parent's.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 120  # a start takes five; a machine under load may take many times that
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """A program ended or was not ready in time; the text has the end of its log."""


class Processes:
    """Named processes, each with `<name>.log` in one folder, which is their working directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start one."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at a person's terminal is not meant for them
                preexec_fn=ends_with(os.getpid()),  # noqa: PLW1509 - one system call, which takes no lock
            )
        return self._running[name]

    def restart(self, name: str) -> None:
        """End one at once and start it again by the same words."""
        self.run(name, self.end(name))

    def end(self, name: str) -> Any:
        """End one at once; return its words."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return process.args

    def pids(self) -> Mapping[str, int]:
        """Return the process of each program."""
        return {name: process.pid for name, process in self._running.items()}

    def log(self, name: str, *, last: int = 15) -> str:
        """Return the last lines of a program's log."""
        return "\n".join((self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-last:])

    def wait_until(self, ready: Callable[[], bool], what: str, *, log_of: str) -> None:
        """Wait for a condition. Raises `StartError` when a program has ended, or when patience ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise StartError(f"{name} ended with code {process.returncode}:\n{self.log(name)}")
            if time.monotonic() > deadline:
                raise StartError(f"not true after {PATIENCE_SECONDS} s: {what}. {log_of} says:\n{self.log(log_of)}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill all at once, the last one first. They have nothing to save, so no SIGTERM is needed."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()


def ends_with(parent: int) -> Any:
    """Return what a new process calls first, so that it ends with `parent`."""

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the tie held
            os._exit(1)

    return tie
