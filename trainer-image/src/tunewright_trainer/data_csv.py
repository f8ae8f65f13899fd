"""Rows of CSV and TSV files, read record by record.

Promises the line on which a record begins when it is broken: a quote that is not closed swallows the lines after it.
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, TextIO

from tunewright_trainer.data_encoding import first_problem
from tunewright_trainer.data_found import LONGEST_ROW, Located, Problem

_MOST_COLUMNS = 4096


def separated(file: BinaryIO, name: str, delimiter: str) -> Iterator[Located | Problem]:
    """The rows. `line` is where a row ends, as it always was."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        source = _Lines(text)
        reader = csv.DictReader(source, delimiter=delimiter, strict=True)
        begin = 1
        try:
            columns = list(reader.fieldnames or [])
            twice = sorted({column for column in columns if columns.count(column) > 1}) if len(columns) <= _MOST_COLUMNS else []
            if len(columns) > _MOST_COLUMNS or twice:
                what = f"the column {twice[0][:80]!r} twice" if twice else f"more than {_MOST_COLUMNS} columns"
                yield Problem(name, 1, f"the header has {what}; name each column once")
                return
            begin = reader.line_num + 1
            for row in reader:
                if None in row or None in row.values():
                    swallowed = f"; it begins in line {begin}: is a quote not closed there?" if begin < reader.line_num else ""
                    yield Problem(name, reader.line_num, f"the row has not as many fields as the header ({len(columns)}){swallowed}")
                else:
                    yield Located(name, reader.line_num, dict(row))
                begin = reader.line_num + 1
                source.begin_record()
        except csv.Error as error:
            way_out = 'close its quotes, double a quote that belongs to a text (""), or use .jsonl'
            yield Problem(name, begin, f"not valid CSV: {error}; the row begins here and was read up to line {reader.line_num}: {way_out}")
        except UnicodeDecodeError:
            yield first_problem(text.buffer, name)  # type: ignore[arg-type] - the file itself, or its buffer


class _Lines:
    """Lines for the csv module, which sets no bound of its own."""

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
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "a zero byte")  # said with its line by `first_problem`
        return line
