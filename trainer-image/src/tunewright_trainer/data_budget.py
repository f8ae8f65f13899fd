"""How many examples fit into memory: refused before the kernel kills the process, which would name no file.

Every example of a job is held in memory. An example's cost is estimated from its texts. Measured: reading 300 MB of long texts into a
data set takes 1.7 GB for a moment, since the library copies them; for short texts their objects weigh more.
"""

from sys import getsizeof

from tunewright_trainer.data_found import Row
from tunewright_trainer.memory_limit import memory_limit

SHARE = 2  # the examples of one set may take one part in this many of the process's memory
_COPIES = 6  # of a text
_ROW_BYTES = 800  # of an example's own objects, and of its place
_MESSAGE_BYTES = 300
_EMPTY = getsizeof("")


class Budget:
    """What is left for one set's examples."""

    def __init__(self) -> None:
        self.bytes = memory_limit() // SHARE
        self._taken = 0

    def take(self, row: Row) -> bool:
        """Count an example in. False when there is no room for it."""
        self._taken += cost(row)
        return self._taken <= self.bytes


def cost(row: Row) -> int:
    """An estimate of the memory that a normalised example takes, in bytes."""
    messages = row.get("messages")
    if messages is None:
        return _ROW_BYTES + sum(_text(row[column]) for column in ("prompt", "completion"))
    return _ROW_BYTES + sum(_MESSAGE_BYTES + _text(message["content"]) for message in messages)


def _text(text: str) -> int:
    return _COPIES * (getsizeof(text) - _EMPTY)
