"""Results of reading a data file: rows and problems with their positions, and the bounds on one row and on all rows.

All examples of a job are in memory. Too many are refused before the kernel would kill the process without naming a file. An example's
cost is estimated from its texts. Measured: reading 300 MB of long texts takes 1.7 GB at its peak, because the library copies them; for
short texts, their objects take more than the text.
"""

from dataclasses import dataclass
from sys import getsizeof
from typing import Any

from tunewright_trainer.common.cgroup import memory_limit

Row = dict[str, Any]

LONGEST_ROW = 16 * 2**20  # bytes or characters of one row in its file: a line of JSON Lines, an element of a JSON list
_LONGEST_MESSAGE = 500
SHARE = 2  # divisor: the examples of one set may take this part of the process's memory
_COPIES = 6  # of a text
_ROW_BYTES = 800  # of an example's own objects, and of its place
_MESSAGE_BYTES = 300
_LISTED_BYTES = 80  # of each element of a list, beside its text
_EMPTY = getsizeof("")


@dataclass(frozen=True)
class RowProblem:
    """A problem and its place. `line` counts from 1; for Parquet and JSON lists it is the row; None: the whole file."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        """`chat.jsonl:17: the message`, as compilers write it."""
        place = _printable(self.file if self.line is None else f"{self.file}:{self.line}")
        return f"{place}: {_printable(self.message)}"


@dataclass(frozen=True)
class Located:
    """A row and its place."""

    file: str
    line: int
    row: Row


@dataclass(frozen=True)
class Opaque:
    """A value of a Parquet file of a type that JSON lacks. Only the type's name is kept."""

    kind: str


def _printable(text: str) -> str:
    """Return a text clipped, on one line, and without control characters."""
    clipped = text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in clipped)


class Budget:
    """The remaining memory for one set's examples."""

    def __init__(self) -> None:
        self.bytes = memory_limit() // SHARE
        self._taken = 0

    def take(self, row: Row) -> bool:
        """Count an example. Returns False if there is no memory for it."""
        self._taken += cost(row)
        return self._taken <= self.bytes


def cost(row: Row) -> int:
    """An estimate of the memory that a normalised example takes, in bytes."""
    messages = row.get("messages")
    if messages is None:
        return _ROW_BYTES + sum(_value(value) for column, value in row.items() if column != "source")
    return _ROW_BYTES + sum(_MESSAGE_BYTES + _value(message["content"]) for message in messages)


def _value(value: Any) -> int:
    """A text, a number, or a list of them."""
    if isinstance(value, list):
        return sum(_LISTED_BYTES + _value(each) for each in value)
    return _COPIES * (getsizeof(value) - _EMPTY) if isinstance(value, str) else 0
