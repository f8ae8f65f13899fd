"""Rows out of files: JSON Lines, JSON, CSV, TSV, Parquet. Each row comes with the line it stands on.

Promises that everything a file can do wrong (missing, empty, not UTF-8, broken syntax) is a `Problem` naming file and line; a bad line
does not hide the ones after it.
"""

import csv
import errno
import io
import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright_trainer.data_json import likely_encoding, parse

Row = dict[str, Any]

LONGEST_LINE = 64 * 2**20  # bytes of one line of JSON Lines
_LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where. `line` counts from 1; for Parquet it is the row; None: the whole file."""

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


def read_rows(path: Path, name: str) -> Iterator[Located | Problem]:
    """The rows of one file, in order; `name` is what messages call it."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        yield Problem(name, None, f"unknown file type {path.suffix or '(no suffix)'}; known are {', '.join(sorted(_READERS))}")
        return
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            yield Problem(name, None, "is not a regular file (a pipe, a socket or a device)")
            return
        if found.st_size == 0:
            yield Problem(name, None, "the file is empty")
            return
        yield from reader(path, name)
    except FileNotFoundError:
        beside = sorted(entry.name for entry in path.parent.iterdir())[:8] if path.parent.is_dir() else []
        yield Problem(name, None, "the file does not exist" + (f"; beside it are {', '.join(beside)}" if beside else ""))
    except IsADirectoryError:
        yield Problem(name, None, "is a folder, not a file")
    except PermissionError:
        yield Problem(name, None, "may not be read by this process")
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        yield Problem(name, None, "is a link that leads back to itself")


def _json_lines(path: Path, name: str) -> Iterator[Located | Problem]:
    with path.open("rb") as file:
        for line, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), start=1):
            if len(raw) > LONGEST_LINE:
                yield Problem(name, line, f"the line is longer than {LONGEST_LINE} bytes")
                return
            text = _decode(raw, name, line)
            if isinstance(text, Problem):
                yield text
            elif text.strip():
                yield _parse_object(text, name, line)


def _json(path: Path, name: str) -> Iterator[Located | Problem]:
    text = _read_text(path, name)
    if isinstance(text, Problem):
        yield text
        return
    try:
        rows = parse(text)
    except json.JSONDecodeError as error:
        yield Problem(name, error.lineno, f"not JSON: {error.msg} at column {error.colno}")
        return
    except ValueError as error:
        yield Problem(name, None, f"not usable JSON: {error}")
        return
    if not isinstance(rows, list):
        yield Problem(name, 1, "a .json file must hold one list of objects; for one object per line name it .jsonl")
        return
    for number, row in enumerate(rows, start=1):
        yield Located(name, number, row) if isinstance(row, dict) else Problem(name, number, "this element is not a JSON object")


def _separated(delimiter: str) -> Callable[[Path, str], Iterator[Located | Problem]]:
    def read(path: Path, name: str) -> Iterator[Located | Problem]:
        text = _read_text(path, name)
        if isinstance(text, Problem):
            yield text
            return
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    columns = len(reader.fieldnames or [])
                    yield Problem(name, reader.line_num, f"the row has not as many fields as the header ({columns})")
                else:
                    yield Located(name, reader.line_num, dict(row))
        except csv.Error as error:
            yield Problem(name, reader.line_num, f"not valid CSV: {error}")

    return read


def _parquet(path: Path, name: str) -> Iterator[Located | Problem]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield Located(name, number, row)
    except pa.ArrowException as error:
        yield Problem(name, None, f"not a readable Parquet file: {error}")


_READERS: dict[str, Callable[[Path, str], Iterator[Located | Problem]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
}


def _read_text(path: Path, name: str) -> str | Problem:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _not_utf8(name, raw[: error.start].count(b"\n") + 1, error)


def _decode(raw: bytes, name: str, line: int) -> str | Problem:
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(name, line, error)


def _not_utf8(name: str, line: int, error: UnicodeDecodeError) -> Problem:
    byte = error.object[error.start]
    encoding = likely_encoding(error.object[:4])
    return Problem(name, line, f"not UTF-8 (byte 0x{byte:02x}); convert it, for example with `iconv -f {encoding} -t UTF-8`")


def _parse_object(text: str, name: str, line: int) -> Located | Problem:
    try:
        row = parse(text)
    except json.JSONDecodeError as error:
        return Problem(name, line, f"not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return Problem(name, line, f"not usable JSON: {error}")
    return Located(name, line, row) if isinstance(row, dict) else Problem(name, line, "the line is not a JSON object")


def _printable(text: str) -> str:
    """Clipped, on one line, and without what a terminal would obey."""
    clipped = text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in clipped)
