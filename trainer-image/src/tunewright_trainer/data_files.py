"""Rows out of files: JSON Lines, JSON, CSV, TSV, Parquet. Each row comes with the line it stands on.

Promises that everything a file can do wrong (missing, empty, not UTF-8, broken syntax) is a `Problem` naming file and line; a bad line
does not hide the ones after it. Reads in bounded memory: no more than one row, and 1 MiB, of a file at a time.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tunewright_trainer.data_csv import separated
from tunewright_trainer.data_encoding import lines
from tunewright_trainer.data_found import Located, Problem, Row
from tunewright_trainer.data_json import parse
from tunewright_trainer.data_list import json_list
from tunewright_trainer.data_parquet import parquet_rows
from tunewright_trainer.own_file import UnusableFileError, open_own

__all__ = ["Located", "Problem", "Row", "read_rows"]


def read_rows(path: Path, name: str, folder: Path | None = None) -> Iterator[Located | Problem]:
    """The rows of one file, in order; `name` is what messages call it. `folder`: what no link may lead out of; else the file's own."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        yield Problem(name, None, f"unknown file type {path.suffix or '(no suffix)'}; known are {', '.join(sorted(_READERS))}")
        return
    try:
        file = open_own(path, folder or path.parent)
    except UnusableFileError as error:
        yield Problem(name, None, str(error))
        return
    with file:
        if os.fstat(file.fileno()).st_size == 0:
            yield Problem(name, None, "the file is empty")
            return
        yield from reader(file, name)


def _json_lines(file: BinaryIO, name: str) -> Iterator[Located | Problem]:
    for item in lines(file, name):
        if isinstance(item, Problem):
            yield item
        elif item[1].strip():
            yield _parse_object(item[1], name, item[0])


def _parse_object(text: str, name: str, line: int) -> Located | Problem:
    try:
        row = parse(text)
    except json.JSONDecodeError as error:
        return Problem(name, line, f"not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return Problem(name, line, f"not usable JSON: {error}")
    return Located(name, line, row) if isinstance(row, dict) else Problem(name, line, "the line is not a JSON object")


_READERS: dict[str, Callable[[BinaryIO, str], Iterator[Located | Problem]]] = {
    ".jsonl": _json_lines,
    ".json": json_list,
    ".csv": lambda file, name: separated(file, name, ","),
    ".tsv": lambda file, name: separated(file, name, "\t"),
    ".parquet": parquet_rows,
}
