"""A request's body as JSON. It is bounded before parsing, because parsing blocks the interpreter and one value can need much memory."""

import json
import re
from collections import Counter
from itertools import islice
from typing import Any

from tunewright_server.http.errors import invalid

VALUES_LIMIT = 250_000  # brackets, commas and colons outside strings, besides those of the longest prompt of token ids
_STRUCTURE = (b"[", b"{", b",", b":")
# A string, to its end or the body's. The pattern is possessive and matches any text after a quote, so it reads no byte twice.
_STRING = rb'"[^"\\]*+(?:\\.?+[^"\\]*+)*+(?:"|\Z)'
_TO_NEXT_MARK = re.compile(rb'(?:[^"\[{,:]++|' + _STRING + rb")*+(?:[\[{,:]|\Z)", re.DOTALL)
_STRING_OR_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_DEEP = 32  # levels up to which an error names the parameter of a body that is nested too deeply


class _RepeatedKeyError(Exception):
    """An object that has one key twice; which value counts differs between readers."""


def read_object(body: bytes, *, longest_prompt: int) -> dict[str, Any]:
    """Read a JSON object. `longest_prompt` is in tokens. Raises `ApiError` 400."""
    limit = VALUES_LIMIT + longest_prompt
    if _more_values(body, limit):
        raise invalid(f"the body has more than {limit} values; send them in several requests", code="request_too_large")
    try:
        fields = _load(body.decode())
    except _RepeatedKeyError as error:
        raise invalid(f"{error} is given twice; give it once", param=str(error)) from error
    except RecursionError as error:
        param = _deep_parameter(body)
        raise invalid(
            f"{param or 'the body'} is nested too deeply; no parameter needs more than 5 levels", param=param, code="invalid_json"
        ) from error
    except ValueError as error:
        raise invalid(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(fields, dict):
        raise invalid("the body must be a JSON object", code="invalid_json")
    return fields


def _more_values(body: bytes, limit: int) -> bool:
    """Whether there are more marks outside strings than the limit. Stops counting there."""
    if sum(body.count(mark) for mark in _STRUCTURE) <= limit:
        return False
    beyond = next(islice(_TO_NEXT_MARK.finditer(body), limit, None), None)
    return beyond is not None and beyond[0].endswith(_STRUCTURE)


def _deep_parameter(body: bytes) -> str | None:
    """Return the parameter that is nested too deeply, by the part of the body that could be parsed; None if the body is not an object."""
    depth, name = 0, b""
    for token in _STRING_OR_BRACKET.finditer(body):
        if token[0] in (b"[", b"{"):
            depth += 1
        elif token[0] in (b"]", b"}"):
            depth -= 1
        elif depth == 1:
            name = token[0]  # of the value that follows, if that is a list or an object
        if depth > _DEEP:
            break
    return str(json.loads(name)) if body.lstrip().startswith(b"{") else None


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repetition, parse_int=_whole_number)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _RepeatedKeyError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return fields


def _whole_number(digits: str) -> int | float:
    """Convert a number of 20 or more digits to a float, because no parameter has so many. Its parameter is then refused by name."""
    return int(digits) if len(digits) <= 20 else float(digits)
