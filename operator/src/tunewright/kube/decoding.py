"""All JSON of the API server passes here, so that one object which cannot be read never hides the others.

Python's reader recurses, and so do copies, comparisons and hashes after it: an object that nests a thousand levels is valid for the API
server and ends whatever reads it. Such an object, and one with numbers or text that cannot be kept, is decoded as far as it goes: metadata
without managed fields, and each other field that can be read by itself. `UNREADABLE` (observe/raw.py) then gives the reason.

Nothing here recurses, and none of it takes more than a few copies of the text.
"""

import json
import logging
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.observe.raw import UNREADABLE

LEVELS = 64  # of one object. Pods and their managed fields have about twenty
MARKS = (
    100_000  # brackets and commas of one object. A pod has some hundreds; a value takes about a hundred bytes: 1.4 MB of `[],[]` take 60
)
_WAY_OUT = "Delete it, or replace its spec with one that this release's CRD accepts"
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
_STRING = re.compile(rb'"[^"]*"')
_MARK = re.compile(rb'["{}\[\]]')
_SCALAR = re.compile(rb"[^,\]}\s]*")
_SPACE = re.compile(rb"[\s,:]*")
_DIGITS = re.compile(rb"\d{300}")
_NO_MARKS = bytes(set(range(256)) - set(b"{}[],"))

Object = dict[str, Any]
Span = tuple[int, int]

log = logging.getLogger(__name__)


def decode_object(data: bytes) -> Object:
    """Return one object, or as much of it as can be read. Raises ValueError for what is no JSON object."""
    if not data.lstrip().startswith(b"{"):
        raise ValueError("it is no JSON object")
    try:
        found: Object = _strict(data, LEVELS)
    except (ValueError, RecursionError) as error:
        return _partial(data, error)
    return found


def decode_list(data: bytes) -> Object:
    """Return a list of objects, each as `decode_object` does. What cannot even be named is left out, and logged."""
    try:
        found = _strict(data, LEVELS + 2)
    except (ValueError, RecursionError):
        found = _list_by_item(data)
    if found.get("kind") == f"{FINE_TUNE_JOB}List":
        for item in found.get("items") or ():
            item["metadata"].pop("managedFields", None)  # as large as the spec, and not read
    return found


def readable_event(line: bytes) -> bytes:
    """Return a line of a watch such that any JSON reader can read it: as it came, but for an object that cannot be read."""
    if not (_objection(line, LEVELS + 1) or _DIGITS.search(line) or b"\\ud" in line.lower()):
        return line
    spans = dict(_members(line))
    start, end = spans["object"]
    event = {"type": json.loads(line[slice(*spans["type"])]), "object": decode_object(line[start:end])}
    return json.dumps(event).encode()


def _strict(data: bytes, levels: int) -> Any:
    """Raises ValueError, and RecursionError where the stack is nearly full already."""
    if objection := _objection(data, levels):
        raise ValueError(objection)
    found = json.loads(data, parse_float=_finite, parse_constant=_finite)
    if b"\\ud" in data.lower():
        json.dumps(found, ensure_ascii=False).encode()  # raises for half of a surrogate pair
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"it holds the number {text[:20]}, which is not finite")
    return number


def _objection(data: bytes, levels: int) -> str:
    """Return why a text is not decoded as a whole, seen from its brackets and commas: each pass takes the innermost pairs away."""
    marks = _STRING.sub(b"", data.replace(b"\\\\", b"").replace(b'\\"', b"")).translate(None, _NO_MARKS)
    if len(marks) > MARKS:
        return f"it has more than {MARKS} brackets and commas"
    brackets = marks.replace(b",", b"")
    for _ in range(levels):
        if not brackets:
            return ""
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return f"it nests deeper than {LEVELS} levels" if brackets else ""


def _list_by_item(data: bytes) -> Object:
    found: Object = {"items": []}
    for key, (start, end) in _members(data):
        if key != "items":
            found[key] = _strict(data[start:end], LEVELS)
            continue
        for first, last in _elements(data, start):
            item = decode_object(data[first:last])
            if all(isinstance(item.get("metadata", {}).get(field), str) for field in _IDENTITY):
                found["items"].append(item)
            else:
                log.error("an object in a list cannot be read, nor named: %.200r", data[first:last])
    return found


def _partial(data: bytes, error: Exception) -> Object:
    why = str(error) if not isinstance(error, RecursionError) else "it nests too deeply"
    found: Object = {}
    for key, (start, end) in _members(data):
        text = data[start:end]
        if key == "metadata":
            inner = {name: _or_none(text[first:last]) for name, (first, last) in _members(text) if name != "managedFields"}
            found[key] = {name: value for name, value in inner.items() if value is not None}
        elif (value := _or_none(text)) is not None:
            found[key] = value
    place = found.get("metadata", {})
    log.warning("%s %s/%s cannot be read: %s", found.get("kind", "an object"), place.get("namespace"), place.get("name"), why)
    return found | {UNREADABLE: f"the object as it is stored cannot be read: {why}. {_WAY_OUT}"}


def _or_none(data: bytes) -> Any:
    try:
        return _strict(data, LEVELS)
    except (ValueError, RecursionError):
        return None


def _members(data: bytes) -> Iterator[tuple[str, Span]]:
    """Yield the fields of a JSON object and where their values are. Raises ValueError for what is none."""
    at = _after_space(data, 0)
    if data[at : at + 1] != b"{":
        raise ValueError("it is no JSON object")
    at = _after_space(data, at + 1)
    while data[at : at + 1] != b"}":
        end = _end(data, at)
        start = _after_space(data, end)
        stop = _end(data, start)
        yield json.loads(data[at:end]), (start, stop)
        at = _after_space(data, stop)


def _elements(data: bytes, start: int) -> Iterator[Span]:
    """Yield where the elements of the array at `start` are. `null` has none."""
    if data[start : start + 1] != b"[":
        return
    at = _after_space(data, start + 1)
    while data[at : at + 1] != b"]":
        end = _end(data, at)
        yield at, end
        at = _after_space(data, end)


def _after_space(data: bytes, at: int) -> int:
    found = _SPACE.match(data, at)
    return found.end() if found else at


def _end(data: bytes, start: int) -> int:
    """Return where the value at `start` ends. Raises ValueError where it does not."""
    first = data[start : start + 1]
    if first == b'"':
        return _end_of_string(data, start)
    if first not in (b"{", b"["):
        found = _SCALAR.match(data, start)
        if not first or not found or found.end() == start:
            raise ValueError("it is not JSON")
        return found.end()
    depth, at = 0, start
    while mark := _MARK.search(data, at):
        if mark[0] == b'"':
            at = _end_of_string(data, mark.start())
            continue
        depth, at = depth + (1 if mark[0] in b"{[" else -1), mark.end()
        if depth == 0:
            return at
    raise ValueError("it is cut off")


def _end_of_string(data: bytes, start: int) -> int:
    at = start
    while True:
        at = data.index(b'"', at + 1)
        escapes = at
        while data[escapes - 1] == 0x5C:
            escapes -= 1
        if (at - escapes) % 2 == 0:
            return at + 1
