"""Signals that ask to stop.

Promises that SIGTERM and SIGINT end a stage with exit code 143 and a termination message: training at the next step, after saving (see
`agreement`); check, export and launch on the spot, as they leave nothing half done.
"""

import logging
import signal
from types import FrameType
from typing import NoReturn

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.exits import StageError

log = logging.getLogger(__name__)

ASK_TO_STOP = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Remembers that a signal asked this process to stop."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take the signals over from Python's defaults, which end the process on the spot."""
        for number in ASK_TO_STOP:
            signal.signal(number, self._remember)

    def _remember(self, number: int, _: FrameType | None) -> None:
        self.asked = True
        log.warning("%s received: stopping at the next step", signal.Signals(number).name)


def stop_on_the_spot() -> None:
    """End with `Stopped` wherever the process is."""
    for number in ASK_TO_STOP:
        signal.signal(number, _raise_stopped)


def stopped(message: str) -> StageError:
    """How a stage ends that was asked to."""
    return StageError(ExitCode.STOPPED, "Stopped", message, "Nothing to do: the next start goes on from what is saved.")


def _raise_stopped(number: int, _: FrameType | None) -> NoReturn:
    raise stopped(f"{signal.Signals(number).name} received")
