"""Turns pydantic's errors into problems that a user can correct: field, value, reason, way out, and similar names."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic_core import ErrorDetails

from tunewright.api.field_names import GONE, RENAMED, Step, as_camel, model_at, names_in, places_of
from tunewright.api.problems import Problem, as_written
from tunewright.api.v1alpha1.common import FORMS

UNKNOWN, MISSING, INVALID = "unknown field", "missing field", "invalid value"
LONGEST_VALUE = 80
MOST_PLACES = 100  # that are listed
_UNQUOTED = re.compile(r"^([-+]?[0-9.]+([eE][-+]?[0-9]+)?|true|false)$")  # a number or a Boolean without quotes


def explain(errors: Iterable[ErrorDetails], raw: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return one problem per place. A value that fits none of several types fails once for each, and is reported once."""
    by_place: dict[tuple[Step, ...], list[ErrorDetails]] = {}
    for error in errors:
        by_place.setdefault(_place(error, raw), []).append(error)
    listed = [
        _problem(steps, found, raw)
        for steps, found in islice(by_place.items(), MOST_PLACES)
        if not (all(error["type"] == "too_short" for error in found) and _has_wrong_entries(steps, by_place))
    ]
    if len(by_place) > MOST_PLACES:
        more = f"{len(by_place) - MOST_PLACES} more places are wrong"
        listed.append(Problem(code=INVALID, path="", message=more, way_out="Correct the others first."))
    return tuple(listed)


def _has_wrong_entries(steps: tuple[Step, ...], places: Iterable[tuple[Step, ...]]) -> bool:
    """Return whether entries of this list are wrong: then it is too short only because of them."""
    return any(place != steps and place[: len(steps)] == steps for place in places)


def written(steps: Sequence[Step]) -> str:
    """Write a place as a path: spec.data.train[0].format."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _place(error: ErrorDetails, raw: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return the place of the error in the raw job, without the type names that pydantic adds."""
    here: Any = raw
    steps: list[Step] = []
    for step in error["loc"]:
        if _holds(here, step):
            here = here[step]
        elif error["type"] != "missing" or step != error["loc"][-1]:
            continue
        steps.append(step)
    return tuple(steps)


def _holds(here: Any, step: Step) -> bool:
    if isinstance(here, Mapping):
        return step in here
    return isinstance(here, list) and isinstance(step, int) and step < len(here)


def _problem(steps: tuple[Step, ...], errors: list[ErrorDetails], raw: Mapping[str, Any]) -> Problem:
    path, first = written(steps), errors[0]
    if first["type"] == "extra_forbidden":
        return Problem(code=UNKNOWN, path=path, message="there is no such field", way_out=_instead(steps))
    if first["type"] == "missing":
        return Problem(code=MISSING, path=path, message="is required", way_out="Add it.")
    reason = " or ".join(dict.fromkeys(_reason(error) for error in errors))
    return Problem(code=INVALID, path=path, message=f"{_shown(_value(raw, steps))} {reason}", way_out=_way_out(first, _value(raw, steps)))


def _value(raw: Any, steps: Sequence[Step]) -> Any:
    for step in steps:
        raw = raw[step]
    return raw


def _shown(value: Any) -> str:
    """Write a value in short form, with quotes around text."""
    text = "a map" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else as_written(value)
    text = repr(value) if isinstance(value, str) else text
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        return "is not well formed"
    message = error["msg"].removeprefix("Input ").removeprefix("String ").removeprefix("Value error, ").replace(" tuple", " list")
    message = message.replace("Tuple ", "").replace("dictionary", "map").replace("Dictionary", "map").replace(" after validation", "")
    if error["type"] == "model_type":
        message = "should be a map"
    return message[0].lower() + message[1:]


def _way_out(error: ErrorDetails, value: Any) -> str:
    kind = error["type"]
    if kind == "string_pattern_mismatch":
        return FORMS.get(str(error.get("ctx", {}).get("pattern")), "Correct the value.")
    if kind in {"int_type", "float_type", "bool_type", "literal_error"} and isinstance(value, str) and _UNQUOTED.match(value):
        return "Write it without quotes."
    if kind == "literal_error" and isinstance(value, str):
        allowed = [word.strip("'") for word in str(error.get("ctx", {}).get("expected", "")).replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(value.lower(), [word.lower() for word in allowed], n=1, cutoff=0.6)
        return f"Did you mean {next(word for word in allowed if word.lower() == near[0])}?" if near else "Choose one of these."
    if kind == "string_type" and isinstance(value, int | float):
        return "Write it in quotes."
    return "Correct the value."


def _instead(steps: Sequence[Step]) -> str:
    """Return what an unknown field was probably meant to be."""
    name = str(steps[-1])
    camel = as_camel(name)
    model = model_at(steps[:-1])
    known = names_in(model) if model is not None else ()
    if camel in known:
        return f"Write {camel}: names are in camelCase."
    if camel in RENAMED:
        gone = RENAMED[camel].removeprefix(f"{GONE}: ")
        return f"Remove it: {gone}." if gone != RENAMED[camel] else f"It is replaced by {RENAMED[camel]}."
    elsewhere = places_of(camel)
    if elsewhere:
        return f"It belongs to {elsewhere[0]}."
    near = difflib.get_close_matches(camel, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else f"Remove it. Known here: {', '.join(known)}."
