"""Reads rows of JSON Lines, JSON, CSV, TSV, Parquet and CoNLL files, each with its line.

Promises that every error of a file (missing, empty, not UTF-8, broken syntax) is a `RowProblem` with file and line, and that a bad line
does not hide later ones. A broken CSV record is reported at its first line, because an open quote continues over later lines.
Memory is bounded: at most one row, and 1 MiB, of a file at a time.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from tunewright_trainer.common.own_file import UnusableFileError, open_own
from tunewright_trainer.data.json_files import json_list, parse
from tunewright_trainer.data.parquet_files import parquet_rows
from tunewright_trainer.data.rows import LONGEST_ROW, Located, RowProblem
from tunewright_trainer.data.tagged import conll_rows
from tunewright_trainer.data.utf8 import first_problem, lines

_MOST_COLUMNS = 4096


def read_rows(path: Path, name: str, folder: Path | None = None) -> Iterator[Located | RowProblem]:
    """Yield the rows of one file, in order; `name` is its name in messages. `folder`: no link may lead out of it; default: its own."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        yield RowProblem(name, None, f"unknown file type {path.suffix or '(no suffix)'}; known are {', '.join(sorted(_READERS))}")
        return
    try:
        file = open_own(path, folder or path.parent)
    except UnusableFileError as error:
        yield RowProblem(name, None, str(error))
        return
    with file:
        if os.fstat(file.fileno()).st_size == 0:
            yield RowProblem(name, None, "the file is empty")
            return
        yield from reader(file, name)


def _json_lines(file: BinaryIO, name: str) -> Iterator[Located | RowProblem]:
    for item in lines(file, name):
        if isinstance(item, RowProblem):
            yield item
        elif item[1].strip():
            yield _parse_object(item[1], name, item[0])


def _parse_object(text: str, name: str, line: int) -> Located | RowProblem:
    try:
        row = parse(text)
    except json.JSONDecodeError as error:
        return RowProblem(name, line, f"not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return RowProblem(name, line, f"not usable JSON: {error}")
    return Located(name, line, row) if isinstance(row, dict) else RowProblem(name, line, "the line is not a JSON object")


def separated(file: BinaryIO, name: str, delimiter: str) -> Iterator[Located | RowProblem]:
    """Yield the rows of CSV or TSV. `line` is the last line of a row."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        source = _Lines(text)
        reader = csv.DictReader(source, delimiter=delimiter, strict=True)
        begin = 1
        try:
            columns = list(reader.fieldnames or [])
            twice = sorted({column for column in columns if columns.count(column) > 1}) if len(columns) <= _MOST_COLUMNS else []
            if len(columns) > _MOST_COLUMNS or twice:
                what = f"the column {twice[0][:80]!r} twice" if twice else f"more than {_MOST_COLUMNS} columns"
                yield RowProblem(name, 1, f"the header has {what}; name each column once")
                return
            begin = reader.line_num + 1
            for row in reader:
                if None in row or None in row.values():
                    swallowed = f"; it begins in line {begin}: is a quote not closed there?" if begin < reader.line_num else ""
                    yield RowProblem(name, reader.line_num, f"the row has more or fewer fields than the header ({len(columns)}){swallowed}")
                else:
                    yield Located(name, reader.line_num, dict(row))
                begin = reader.line_num + 1
                source.begin_record()
        except csv.Error as error:
            way_out = 'close its quotes, write a quote within a text twice (""), or use .jsonl'
            yield RowProblem(
                name, begin, f"not valid CSV: {error}; the row begins here and was read up to line {reader.line_num}: {way_out}"
            )
        except UnicodeDecodeError:
            yield first_problem(text.buffer, name)  # the file itself, or its buffer


class _Lines:
    """Lines for the csv module, which has no bound of its own."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._record = 0  # characters of the record so far

    def begin_record(self) -> None:
        self._record = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_ROW + 1)
        if not line:
            raise StopIteration
        self._record += len(line) if line.strip("\r\n") else 0  # the csv module passes over blank lines between records
        if self._record > LONGEST_ROW:
            raise csv.Error(f"the row is longer than {LONGEST_ROW} characters")
        if "\0" in line:
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "a zero byte")  # `first_problem` reports its line
        return line


_READERS: dict[str, Callable[[BinaryIO, str], Iterator[Located | RowProblem]]] = {
    ".jsonl": _json_lines,
    ".json": json_list,
    ".csv": lambda file, name: separated(file, name, ","),
    ".tsv": lambda file, name: separated(file, name, "\t"),
    ".parquet": parquet_rows,
    ".conll": conll_rows,
}
