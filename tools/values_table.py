"""The chart's values as a table: each key of values.yaml with its default and the comment above it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]+):(?: (?P<value>.*))?$")
_WIDTH = 2  # spaces of one level


class Value(NamedTuple):
    """One value; `default` is empty for what only holds others."""

    path: str
    default: str
    text: str


def values_table(values: str) -> str:
    """Return the Markdown table."""
    rows = [f"| `{value.path}` | {f'`{value.default}`' if value.default else ''} | {value.text} |\n" for value in read_values(values)]
    return "".join(["| value | default | |\n", "|---|---|---|\n", *rows])


def read_values(values: str) -> Iterator[Value]:
    """Yield the values in their order. What only holds others is yielded when it has a comment of its own."""
    path: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        found = _KEY.match(line)
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# "))
        elif found:
            path = [*path[: len(found["indent"]) // _WIDTH], found["key"]]
            if found["value"] or comment:
                yield Value(".".join(path), found["value"] or "", " ".join(comment).replace("|", "\\|"))
            comment = []
        else:
            comment = []
