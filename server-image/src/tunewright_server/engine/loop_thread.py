"""The thread of an engine: started once, and stopped after its current run."""

import threading
from abc import ABC, abstractmethod


class LoopThread(ABC):
    """An engine's loop. `_changed` guards the state that the loop and its callers share; the loop ends when `_stopping` is set."""

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the loop is running. A busy loop is alive."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the loop after its current step. Unfinished requests get `Failed(stopping=True)`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def _run(self) -> None:
        """Work until `_stopping`."""
