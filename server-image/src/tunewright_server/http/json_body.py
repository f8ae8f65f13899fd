"""A request's body as JSON: bounded before it is read, since reading it holds the interpreter and one value can need much memory."""

import json
import re
from collections import Counter
from typing import Any

from tunewright_server.http.errors import invalid

VALUES_LIMIT = 250_000  # brackets, commas and colons outside strings, beside what the longest prompt of token ids needs
_STRUCTURE = (b"[", b"{", b",", b":")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class _RepeatedKeyError(Exception):
    """An object that has one key twice; which value counts differs between readers."""


def read_object(body: bytes, *, longest_prompt: int) -> dict[str, Any]:
    """Read a JSON object. `longest_prompt` is in tokens. Raises `ApiError` 400."""
    limit = VALUES_LIMIT + longest_prompt
    if _count(body) > limit and _count(_STRING.sub(b"", body)) > limit:
        raise invalid(f"the body has more than {limit} values; send them in several requests", code="request_too_large")
    try:
        fields = _load(body.decode())
    except _RepeatedKeyError as error:
        raise invalid(f"{error} is given twice; give it once", param=str(error)) from error
    except RecursionError as error:
        raise invalid("the body is nested too deeply; no parameter needs more than 5 levels", code="invalid_json") from error
    except ValueError as error:
        raise invalid(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(fields, dict):
        raise invalid("the body must be a JSON object", code="invalid_json")
    return fields


def _count(text: bytes) -> int:
    return sum(text.count(mark) for mark in _STRUCTURE)


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repetition, parse_int=_whole_number)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _RepeatedKeyError(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return fields


def _whole_number(digits: str) -> int | float:
    """No parameter has 20 digits: such a number becomes a float, and its parameter is refused by name."""
    return int(digits) if len(digits) <= 20 else float(digits)
