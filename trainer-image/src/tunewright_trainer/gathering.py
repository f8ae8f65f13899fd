"""A stop that is asked for while the gang still gathers.

torchrun's agent, and then each rank, waits for the others inside a library call, where Python runs no signal handler: a pod whose job is
suspended or deleted while another pod is missing would hold out until its grace is over and it is killed.
"""

import os
import signal
import threading
import time
from pathlib import Path

from tunewright_contract import environment
from tunewright_trainer.exits import failure, write_termination
from tunewright_trainer.signals import ASK_TO_STOP, stopped

_MAIN_THREAD_SECONDS = 1.0  # for the main thread to end by itself, where it can


def listen_while_gathering() -> None:
    """End this process on SIGTERM or SIGINT, with the contract's code and message, until somebody else takes the signals over.

    The agent does when it starts workers, and a rank when it has joined. Only for the main thread.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)  # written to by C code at once, whatever the main thread does
    ours = {number: signal.getsignal(number) for number in ASK_TO_STOP}

    def listen() -> None:
        while heard := os.read(readable, 1):
            if heard[0] in ours:
                time.sleep(_MAIN_THREAD_SECONDS)
                if signal.getsignal(heard[0]) is ours[heard[0]]:
                    _end()

    threading.Thread(target=listen, daemon=True, name="signals").start()


def _end() -> None:
    error = stopped("asked to stop before the gang had gathered")
    path = os.environ.get(environment.TERMINATION_LOG)
    if path:
        write_termination(failure(error), Path(path))
    os._exit(error.code)
