"""JSON of a data file, strictly: what parsers read differently, or not at all, is refused with its reason."""

import json
import re
from typing import Any

DEEPEST = 100  # lists and objects within each other; a conversation has 3

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse(text: str) -> Any:
    """The document. Raises ValueError (json.JSONDecodeError where the place is known) in words for the user."""
    document, end = parse_at(text, len(text) - len(text.lstrip(" \t\r\n")))
    rest = text[end:]
    if rest.strip(" \t\r\n"):
        raise json.JSONDecodeError("Extra data", text, end + len(rest) - len(rest.lstrip(" \t\r\n")))
    return document


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start`, and where it ends. Raises as `parse` does."""
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
    """Raises ValueError for more than DEEPEST levels: what is read here is walked by others, who recurse."""
    level = [document]
    for _ in range(DEEPEST):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    if any(isinstance(value, (list, dict)) for value in level):
        raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"nested too deeply (more than {DEEPEST} lists and objects within each other)"


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands twice in one object")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
