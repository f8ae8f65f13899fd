"""What reading a data file yields: rows with their place, and problems with theirs. And the bounds on one row."""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

LONGEST_ROW = 16 * 2**20  # bytes or characters of one row as it stands in its file: a line of JSON Lines, an element of a JSON list
_LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where. `line` counts from 1; for Parquet and JSON lists it is the row; None: the whole file."""

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
    """A value of a Parquet file that JSON does not have. Only its kind is known."""

    kind: str


def _printable(text: str) -> str:
    """Clipped, on one line, and without what a terminal would obey."""
    clipped = text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in clipped)
