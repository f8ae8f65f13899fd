"""Reads JSON of a data file strictly: JSON that parsers read differently, or not at all, is refused with a reason.

A `.json` file is read element by element, and is never in memory as a whole. The same rules apply to an element as to a line of JSON Lines.
Syntax errors have line and column of the file.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tunewright_trainer.data.rows import LONGEST_ROW, Located, RowProblem
from tunewright_trainer.data.utf8 import first_problem

DEEPEST = 100  # lists and objects within each other; a conversation has 3

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CHUNK = 2**20  # bytes
_BLANK = re.compile(r"[ \t\r\n]*")
_LONGEST_WORD = 16  # characters of the longest JSON token that is invalid when cut: -Infinity, two escapes


def parse(text: str) -> Any:
    """Return the document. Raises ValueError (json.JSONDecodeError if the place is known) with a message for the user."""
    document, end = parse_at(text, len(text) - len(text.lstrip(" \t\r\n")))
    rest = text[end:]
    if rest.strip(" \t\r\n"):
        raise json.JSONDecodeError("Extra data", text, end + len(rest) - len(rest.lstrip(" \t\r\n")))
    return document


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at `start`, and its end. Raises as `parse` does."""
    try:
        document, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("a whole number has too many digits; write it as a text") from None
        raise
    if text.count("[", start, end) + text.count("{", start, end) > DEEPEST:
        require_shallow(document)
    if _SURROGATE.search(text, start, end):
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError(r"half of a surrogate pair (\ud800 to \udfff) is no character") from None
    return document, end


def require_shallow(document: Any) -> None:
    """Raise ValueError for more than DEEPEST levels, because other code visits the values recursively."""
    level = [document]
    for _ in range(DEEPEST):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    if any(isinstance(value, (list, dict)) for value in level):
        raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"nested too deeply (more than {DEEPEST} levels of lists and objects)"


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} occurs twice in one object")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)


def json_list(file: BinaryIO, name: str) -> Iterator[Located | RowProblem]:
    """The rows, counted from 1."""
    try:
        for number, row in enumerate(_Text(file).elements(), start=1):
            yield Located(name, number, row) if isinstance(row, dict) else RowProblem(name, number, "this element is not a JSON object")
    except _SyntaxError as error:
        yield RowProblem(name, error.line, str(error))
    except UnicodeDecodeError:
        yield first_problem(file, name)


class _SyntaxError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Text:
    """The part of the text that was read and is not consumed yet."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0  # of _text: where reading continues
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
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing, too
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
            wanted *= 2  # so that the parser restarts on a long element only a few times

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Return whether the error is at the end of the text read so far, so that more text can resolve it."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_WORD

    def _fill(self, size: int) -> bool:
        """Read more, and drop the consumed part. Returns whether there was more."""
        used = self._text[: self._at]
        self._lines += used.count("\n")
        self._columns = len(used) - used.rfind("\n") - 1 if "\n" in used else self._columns + len(used)
        raw = self._file.read(size)
        self._ended = not raw
        more = self._decoder.decode(raw, final=self._ended)
        if "\0" in more:
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "a zero byte")  # `first_problem` reports its line
        self._text, self._at = self._text[self._at :] + more, 0
        return not self._ended

    def _error(self, message: str, *, at: int | None = None) -> _SyntaxError:
        before = self._text[: self._at if at is None else at]
        column = len(before) - before.rfind("\n") if "\n" in before else self._columns + len(before) + 1
        return _SyntaxError(self._lines + before.count("\n") + 1, f"{message} at column {column}")
