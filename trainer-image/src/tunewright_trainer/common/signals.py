"""SIGTERM and SIGINT: how each stage ends on a signal.

Promises exit code 143 and a termination message. Training stops at the next step, after it has saved a checkpoint (see `agreed_stop`).
Check, export and launch exit at once, because they leave no partial result. While ranks wait for each other inside a library call, Python
runs no signal handler. `exit_on_signal_during_rendezvous` covers that time; otherwise the pod would wait for its whole grace period.
"""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError, failure, write_termination

log = logging.getLogger(__name__)

ASK_TO_STOP = (signal.SIGTERM, signal.SIGINT)
_MAIN_THREAD_SECONDS = 1.0  # for the main thread to end by itself, if it can


class StopRequest:
    """Records a signal to stop."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Install handlers instead of Python's defaults, which end the process at once."""
        for number in ASK_TO_STOP:
            signal.signal(number, self._remember)

    def _remember(self, number: int, _: FrameType | None) -> None:
        self.asked = True
        log.warning("%s received: stopping at the next step", signal.Signals(number).name)


def exit_on_signal() -> None:
    """End with `Stopped` wherever the process is."""
    for number in ASK_TO_STOP:
        signal.signal(number, _raise_stopped)


def stopped(message: str) -> StageError:
    """The error with which a stage ends after SIGTERM or SIGINT."""
    return StageError(ExitCode.STOPPED, "Stopped", message, "Nothing to do: the next start resumes from the checkpoint.")


def _raise_stopped(number: int, _: FrameType | None) -> NoReturn:
    raise stopped(f"{signal.Signals(number).name} received")


def exit_on_signal_during_rendezvous() -> None:
    """End this process on SIGTERM or SIGINT, with the contract's code and message, until another handler replaces this one.

    torchrun's agent replaces it when it starts workers, and a rank when it has joined. Call it from the main thread only.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)  # C code writes to it at once, also while the main thread is blocked
    ours: dict[int, Any] = {number: signal.getsignal(number) for number in ASK_TO_STOP}

    def listen() -> None:
        while heard := os.read(readable, 1):
            if heard[0] in ours:
                time.sleep(_MAIN_THREAD_SECONDS)
                if signal.getsignal(heard[0]) is ours[heard[0]]:
                    _end()

    threading.Thread(target=listen, daemon=True, name="signals").start()


def _end() -> None:
    error = stopped("stopped before all ranks had joined")
    path = os.environ.get(environment.TERMINATION_LOG)
    if path:
        write_termination(failure(error), Path(path))
    os._exit(error.code)
