"""The elements of a `.json` file, one after the other: the file is never in memory as a whole.

Promises each element as strictly as a line of JSON Lines is read, and syntax errors with line and column of the file.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tunewright_trainer.data_encoding import first_problem
from tunewright_trainer.data_found import LONGEST_ROW, Located, Problem
from tunewright_trainer.data_json import parse_at

_CHUNK = 2**20  # bytes
_BLANK = re.compile(r"[ \t\r\n]*")
_LONGEST_WORD = 16  # characters of JSON that mean nothing when cut: -Infinity, two escapes


def json_list(file: BinaryIO, name: str) -> Iterator[Located | Problem]:
    """The rows, counted from 1."""
    try:
        for number, row in enumerate(_Text(file).elements(), start=1):
            yield Located(name, number, row) if isinstance(row, dict) else Problem(name, number, "this element is not a JSON object")
    except _SyntaxError as error:
        yield Problem(name, error.line, str(error))
    except UnicodeDecodeError:
        yield first_problem(file, name)


class _SyntaxError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Text:
    """The part of the text that has been read and is not used up yet."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0  # of _text: where reading goes on
        self._ended = False
        self._lines, self._columns = 0, 0  # lines before _text; characters of its first line before it

    def elements(self) -> Iterator[Any]:
        if self._next() != "[":
            self._value()
            raise self._error("a .json file must hold one list of objects; for one object per line name it .jsonl", at=0)
        self._at += 1
        if self._next() == "]":
            self._at += 1
        else:
            while True:
                yield self._value()
                if self._next() not in {",", "]"}:
                    raise self._error("not JSON: Expecting ',' delimiter" if self._text else "not JSON: the list is not closed")
                self._at += 1
                if self._text[self._at - 1] == "]":
                    break
                self._next()
        if self._next():
            raise self._error("not JSON: Extra data")

    def _next(self) -> str:
        """The next character that is not blank; empty at the end. It stays."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr] - it matches nothing, too
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(_CHUNK):
                return ""

    def _value(self) -> Any:
        wanted = _CHUNK
        while True:
            try:
                value, end = parse_at(self._text, self._at)
                if end < len(self._text) or self._ended:  # else it may be the first half of a number
                    if end - self._at > LONGEST_ROW:
                        raise self._error(f"an element is longer than {LONGEST_ROW} characters; shorten it")
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if self._ended or not self._may_be_cut(error):
                    raise self._error(f"not JSON: {error.msg}", at=error.pos) from None
            except ValueError as error:
                raise self._error(f"not usable JSON: {error}") from None
            if len(self._text) - self._at > LONGEST_ROW:
                raise self._error(f"an element is longer than {LONGEST_ROW} characters; shorten it, or close its brackets and quotes")
            self._fill(wanted)
            wanted *= 2  # so that a long element is begun again a few times only

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the error is where the text ends for now, so that it may be none."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_WORD

    def _fill(self, size: int) -> bool:
        """Read on, and forget what is used up. Says whether there was more."""
        used = self._text[: self._at]
        self._lines += used.count("\n")
        self._columns = len(used) - used.rfind("\n") - 1 if "\n" in used else self._columns + len(used)
        raw = self._file.read(size)
        self._ended = not raw
        more = self._decoder.decode(raw, final=self._ended)
        if "\0" in more:
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "a zero byte")  # said with its line by `first_problem`
        self._text, self._at = self._text[self._at :] + more, 0
        return not self._ended

    def _error(self, message: str, *, at: int | None = None) -> _SyntaxError:
        before = self._text[: self._at if at is None else at]
        column = len(before) - before.rfind("\n") if "\n" in before else self._columns + len(before) + 1
        return _SyntaxError(self._lines + before.count("\n") + 1, f"{message} at column {column}")
