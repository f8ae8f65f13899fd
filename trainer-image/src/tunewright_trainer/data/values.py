"""One value of a row: its kind in words, texts that are not empty, and JSON in a cell of a CSV file."""

import json
from typing import Any

from tunewright_trainer.data.json_files import parse
from tunewright_trainer.data.rows import Opaque


class BadRow(ValueError):  # noqa: N818 - the name is clear without a suffix
    """Why a row cannot be used."""


def kind(value: Any) -> str:
    """Return what a value is, for a message."""
    if isinstance(value, Opaque):
        return value.kind
    return "nothing" if value is None else type(value).__name__


def text(value: Any, column: str) -> str:
    """Return a text that is not empty. Raises `BadRow`."""
    if not isinstance(value, str):
        raise BadRow(f"{column!r} must be text, not {kind(value)}")
    if not value.strip():
        raise BadRow(f"{column!r} is empty")
    return value


def structure(value: Any, column: str) -> Any:
    """Return a list or an object, which a CSV file holds as JSON. Raises `BadRow` for a text that is not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except json.JSONDecodeError as error:
        raise BadRow(f"{column!r} is not JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise BadRow(f"{column!r} is not usable JSON: {error}") from error
