"""YAML 1.2 text → plain JSON values, with the line and column of every field, exactly as kubectl would hand them to the API server.

Where YAML 1.1 (kubectl) and 1.2 read a word differently (`no`, `010`), the text is refused rather than read one way;
`2e-4` is a number to both.
Whole numbers written as floats (`1e3`) are integers, as they are once kubectl has made JSON of them.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from tunewright.api.problems import Problem

SYNTAX, AMBIGUOUS = "malformed YAML", "ambiguous value"
LARGEST_TEXT = 1_000_000  # characters; the API server takes objects of about 1.5 MB
DEEPEST = 48  # levels; a FineTuneJob needs 12
MOST_NODES = 100_000  # a few aliases can name a large part very often

_TAG = "tag:yaml.org,2002:"
_WORD_OF_1_1 = re.compile(r"^(y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$")
_OCTAL_OF_1_1 = re.compile(r"^[-+]?0[0-9_]+$")
_WAYS_OUT = {
    "'\\t'": "Indent with spaces.",
    "another document": "Keep one FineTuneJob per file.",
    "mapping values are not allowed": "Put text that holds a colon in quotes, and indent fields of one part alike.",
    "undefined alias": "Put text that begins with * in quotes.",
}


class NotJson(Exception):  # noqa: N818 - carries a problem, raised and caught in this file
    """A part that has no meaning as JSON."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


@dataclass
class Document:
    """One document: its value, and where each path stands (line, column, both from 1)."""

    value: Any = None
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0


def read_document(text: str) -> Document:
    """Read the only document of a text. Never raises: what is wrong with its form is listed in the document."""
    document = Document()
    try:
        root = _compose(text)
        document.value = _value(root, "", document, depth=0)
    except NotJson as stop:
        document.problems.append(stop.problem)
    return document


def _compose(text: str) -> Node:
    if len(text) > LARGEST_TEXT:
        raise NotJson(
            _malformed(f"the text has {len(text)} characters; {LARGEST_TEXT} are allowed", "Take large texts out of the manifest.")
        )
    try:
        _refuse_depth(text)
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        way_out = next(
            (way for clue, way in _WAYS_OUT.items() if clue in reason), "Correct the indentation or the brackets around this place."
        )
        raise NotJson(_malformed(reason, way_out, error.problem_mark)) from None
    except YAMLError as error:
        raise NotJson(_malformed(" ".join(str(error).split()), "Save the file as plain text in UTF-8.")) from None
    if root is None:
        raise NotJson(_malformed("there is no document in it", "Write a FineTuneJob; examples/ holds some."))
    return root


def _refuse_depth(text: str) -> None:
    """Stop at the first part that lies too deep, before anything recursive or quadratic sees the text."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise NotJson(_malformed(f"it is nested more than {DEEPEST} levels deep", "Write it with fewer levels.", event.start_mark))


def _value(node: Node, path: str, document: Document, *, depth: int) -> Any:
    document.nodes += 1
    document.positions.setdefault(path, _at(node.start_mark))
    if depth > DEEPEST or document.nodes > MOST_NODES:
        raise NotJson(_malformed("its aliases make it too large, or endless", "Write it without aliases.", node.start_mark))
    if isinstance(node, MappingNode):
        return _mapping(node, path, document, depth)
    if isinstance(node, ScalarNode):
        return _scalar(node, path, document)
    return [_value(item, f"{path}[{index}]", document, depth=depth + 1) for index, item in enumerate(node.value)]


def _mapping(node: MappingNode, path: str, document: Document, depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, ScalarNode) or key.value == "<<":
            document.problems.append(
                _malformed("names must be plain text", "Write every field out; merge keys are not read.", key.start_mark, path)
            )
            continue
        name = str(key.value)
        place = f"{path}.{name}".removeprefix(".")
        if name in value:
            first = document.positions[place]
            reason = f"{name} is given twice, first in line {first[0]}"
            document.problems.append(_malformed(reason, "Keep one of them.", key.start_mark, place))
            continue
        document.positions[place] = _at(key.start_mark)
        value[name] = _value(item, place, document, depth=depth + 1)
    return value


def _scalar(node: ScalarNode, path: str, document: Document) -> Any:
    text = str(node.value)
    kind = str(node.tag).removeprefix(_TAG)
    plain = node.style is None
    if plain and ((kind == "str" and _WORD_OF_1_1.match(text)) or (kind == "int" and _OCTAL_OF_1_1.match(text))):
        reason = f"{text} without quotes is another value to kubectl, which reads YAML 1.1"
        way_out = (
            f'Write "{text}" for the text, or true or false.'
            if kind == "str"
            else f'Write "{text}" for the text, or the number without leading zero.'
        )
        document.problems.append(_problem(AMBIGUOUS, path, reason, way_out, node.start_mark))
        return text
    if kind == "int":
        return int(text.replace("_", ""), 0)
    if kind == "float":
        return _number(text.replace("_", "").lower())
    if kind in {"bool", "null"}:
        return {"true": True, "false": False}.get(text.lower())
    if kind not in {"str", "timestamp"}:
        document.problems.append(_malformed(f"the tag {node.tag} means nothing here", "Remove the tag.", node.start_mark, path))
    return text


def _number(text: str) -> float | int:
    value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _at(mark: StringMark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _malformed(reason: str, way_out: str, mark: StringMark | None = None, path: str = "") -> Problem:
    return _problem(SYNTAX, path, reason, way_out, mark)


def _problem(code: str, path: str, reason: str, way_out: str, mark: StringMark | None) -> Problem:
    line, column = _at(mark) if mark is not None else (1, 1)
    return Problem(code=code, path=path, message=reason, way_out=way_out, line=line, column=column)
