"""Decodes all JSON of the API server, so that one unreadable object never hides the others.

Python's parser is recursive, and so are copies, comparisons and hashes. An object with a thousand levels is valid for the API server, but
crashes such code. It is decoded partially, as is an object with numbers or text that cannot be stored: metadata without managed fields, and
each other field that can be read. The scheme's `unreadable_field` then gives the reason.

A text without such a thing is read at once, by pydantic's parser. For the others, this module does not recurse, and needs memory for only
a few copies of the text. It scans text in C, many characters at a time: a megabyte of brackets takes a tenth of a second.
"""

import json
import logging
import re
from collections.abc import Iterator
from itertools import accumulate
from math import isfinite
from typing import Any, NamedTuple

from pydantic_core import from_json

from tunewright_runtime.objects import Scheme

LEVELS = 64  # of one object. Pods and their managed fields have about twenty
MARKS = (
    100_000  # brackets and commas of one object. A pod has some hundreds; a value takes about a hundred bytes: 1.4 MB of `[],[]` take 60
)
_WAY_OUT = "Delete it, or replace its spec with one that this release's CRD accepts"
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
_BRACKET = re.compile(rb"[{}\[\]]")
_SCALAR = re.compile(rb"[^,\]}\s]*")
_SPACE = re.compile(rb"[\s,:]*")
_HUGE = re.compile(rb"[eE]\+?\d{3}")  # of a number that may not be finite
_NO_MARKS = bytes(set(range(256)) - set(b"{}[],"))
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_SQUARE = bytes.maketrans(b"{}", b"[]")
_CHUNK = 8192  # characters that are scanned together

log = logging.getLogger(__name__)


class _Text(NamedTuple):
    """JSON, and a copy of it with blanked strings, in which each bracket is a real one. Both have the same indexes."""

    data: bytes
    blank: bytes

    def part(self, start: int, end: int) -> "_Text":
        return _Text(self.data[start:end], self.blank[start:end])


class JsonDecoder:
    """Decodes the JSON that one operator reads."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme

    def decode_object(self, data: bytes) -> dict[str, Any]:
        """Return one object, or its readable part. Raises ValueError if the text is not a JSON object."""
        try:
            return _whole(data, LEVELS)
        except ValueError:
            return self._object(_text(data))

    def decode_list(self, data: bytes) -> dict[str, Any]:
        """Return a list of objects, each as `decode_object` does. An object without a readable name is left out, and logged."""
        try:
            found = _whole(data, LEVELS + 2)
        except ValueError:
            found = self._list_by_item(_text(data))
        if found.get("kind") == f"{self._scheme.primary}List":
            for item in found.get("items") or ():
                item["metadata"].pop("managedFields", None)  # as large as the spec, and not read
        return found

    def decode_event(self, line: bytes) -> dict[str, Any]:
        """Return an event of a watch, with its object as `decode_object` returns it. Raises ValueError if the line is no event."""
        try:
            return _whole(line, LEVELS + 1)
        except ValueError:
            fields = dict(_members(_text(line)))
            return {name: self._object(part) if name == "object" else json.loads(part.data) for name, part in fields.items()}

    def _object(self, text: _Text) -> dict[str, Any]:
        if not text.data.lstrip().startswith(b"{"):
            raise ValueError("it is not a JSON object")
        try:
            found: dict[str, Any] = _strict(text, LEVELS)
        except (ValueError, RecursionError) as error:
            why = str(error) if not isinstance(error, RecursionError) else "it nests too deeply"
            reason = f"the object as it is stored cannot be read: {why}. {_WAY_OUT}"
            return _partial(text, why) | {self._scheme.unreadable_field: reason}
        return found

    def _list_by_item(self, text: _Text) -> dict[str, Any]:
        found: dict[str, Any] = {"items": []}
        for key, value in _members(text):
            if key != "items":
                found[key] = _strict(value, LEVELS)
                continue
            for element in _elements(value):
                item = self._object(element)
                if all(isinstance(item.get("metadata", {}).get(field), str) for field in _IDENTITY):
                    found["items"].append(item)
                else:
                    log.error("an object in a list has no readable name: %.200r", element.data)
        return found


def _whole(data: bytes, levels: int) -> dict[str, Any]:
    """Parse a text that is a JSON object and needs no closer look. Raises ValueError for any other."""
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])  # of strings
    if not _objection(outside, levels) and not _HUGE.search(outside):
        found = from_json(data, allow_inf_nan=False)
        if isinstance(found, dict):
            return found
    raise ValueError("it needs a closer look")


def _text(data: bytes) -> _Text:
    parts = data.replace(b"\\\\", b"..").replace(b'\\"', b"..").split(b'"')
    parts[1::2] = map(bytes, map(len, parts[1::2]))
    return _Text(data, b'"'.join(parts))


def _strict(text: _Text, levels: int) -> Any:
    """Parse strictly. Raises ValueError, and RecursionError if the stack is nearly full already."""
    if objection := _objection(text.blank, levels):
        raise ValueError(objection)
    found = json.loads(text.data, parse_float=_finite, parse_constant=_finite)
    if b"\\ud" in text.data.lower():
        json.dumps(found, ensure_ascii=False).encode()  # raises for half of a surrogate pair
    return found


def _finite(number: str) -> float:
    found = float(number)
    if not isfinite(found):
        raise ValueError(f"it holds the number {number[:20]}, which is not finite")
    return found


def _objection(blank: bytes, levels: int) -> str:
    """Return why a text is not decoded as a whole, by its brackets and commas. Each pass removes the innermost pairs."""
    marks = blank.translate(None, _NO_MARKS)
    if len(marks) > MARKS:
        return f"it has more than {MARKS} brackets and commas"
    brackets = marks.replace(b",", b"")
    for _ in range(levels):
        if not brackets:
            return ""
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return f"it nests deeper than {LEVELS} levels" if brackets else ""


def _partial(text: _Text, why: str) -> dict[str, Any]:
    """Return the readable part of an object, and log the object with the reason."""
    found: dict[str, Any] = {}
    for key, part in _members(text):
        if key == "metadata":
            inner = {name: _or_none(value) for name, value in _members(part) if name != "managedFields"}
            found[key] = {name: value for name, value in inner.items() if value is not None}
        elif (value := _or_none(part)) is not None:
            found[key] = value
    place = found.get("metadata", {})
    log.warning("%s %s/%s cannot be read: %s", found.get("kind", "an object"), place.get("namespace"), place.get("name"), why)
    return found


def _or_none(text: _Text) -> Any:
    try:
        return _strict(text, LEVELS)
    except (ValueError, RecursionError):
        return None


def _members(text: _Text) -> Iterator[tuple[str, _Text]]:
    """Yield the fields of a JSON object, undecoded. Raises ValueError for another value."""
    blank = text.blank
    at = _after_space(blank, 0)
    if blank[at : at + 1] != b"{":
        raise ValueError("it is not a JSON object")
    at = _after_space(blank, at + 1)
    while blank[at : at + 1] != b"}":
        end = _end(blank, at)
        start = _after_space(blank, end)
        stop = _end(blank, start)
        yield json.loads(text.data[at:end]), text.part(start, stop)
        at = _after_space(blank, stop)


def _elements(text: _Text) -> Iterator[_Text]:
    """Yield the elements of a JSON array, undecoded. `null` has none."""
    blank = text.blank
    if blank[:1] != b"[":
        return
    at = _after_space(blank, 1)
    while blank[at : at + 1] != b"]":
        end = _end(blank, at)
        yield text.part(at, end)
        at = _after_space(blank, end)


def _after_space(blank: bytes, at: int) -> int:
    found = _SPACE.match(blank, at)
    return found.end() if found else at


def _end(blank: bytes, start: int) -> int:
    """Return the end of the value at `start`. Raises ValueError if it has none."""
    first = blank[start : start + 1]
    if first == b'"':
        return blank.index(b'"', start + 1) + 1
    if first in (b"{", b"["):
        return _end_of_container(blank, start + 1)
    found = _SCALAR.match(blank, start)
    if not first or not found or found.end() == start:
        raise ValueError("it is not JSON")
    return found.end()


def _end_of_container(blank: bytes, at: int) -> int:
    """Return where a container ends that has begun just before `at`."""
    depth = 1
    while at < len(blank):
        brackets = blank[at : at + _CHUNK].translate(_SQUARE, _NO_BRACKETS)
        rest = brackets.replace(b"[]", b"").replace(b"[]", b"").replace(b"[]", b"")  # the greatest depth stays the same
        steps = [0, *accumulate(1 if bracket == 0x5B else -1 for bracket in rest)]
        if depth + min(steps) <= 0:
            return _end_in_chunk(blank, at, depth)
        depth, at = depth + steps[-1], at + _CHUNK
    raise ValueError("it is cut off")


def _end_in_chunk(blank: bytes, at: int, depth: int) -> int:
    for mark in _BRACKET.finditer(blank, at):
        depth += 1 if mark[0] in b"{[" else -1
        if depth == 0:
            return mark.end()
    raise ValueError("it is cut off")
