"""YAML 1.2 text → plain JSON values with the line and column of every field, exactly as kubectl sends them to the API server.

If YAML 1.1 (kubectl) and 1.2 read a word differently (`no`, `010`), the text is refused;
`2e-4` is a number to both.
Whole numbers written as floats (`1e3`) are integers, as in the JSON that kubectl sends.

The constants below bound memory for any text: parts are counted before a tree is built, and again with repeated aliases.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from tunewright.api.problems import Problem

SYNTAX, AMBIGUOUS = "malformed YAML", "ambiguous value"
LARGEST_TEXT = 2**18  # characters; `kubectl apply` keeps a copy in an annotation, and annotations hold 256 KiB
DEEPEST = 48  # levels; a FineTuneJob needs 12
MOST_NODES = 10_000  # values, also with what aliases repeat
LONGEST_PATH = 1024  # characters; every value's path is kept
LONGEST_NUMBER = 64  # characters; a 64-bit number has 20 digits
MOST_PROBLEMS = 100  # that are listed
LONGEST_SHOWN = 120  # characters of a value in a message

_TAG = "tag:yaml.org,2002:"
_WORD_OF_1_1 = re.compile(r"^(y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$")
_OCTAL_OF_1_1 = re.compile(r"^[-+]?0[0-9_]+$")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What the tags of scalars promise, in YAML 1.2. A tag can be written before anything, and `%YAML 1.1` finds other numbers.
_GRAMMAR = {
    "str": re.compile(r"", re.DOTALL),
    "int": re.compile(r"^[-+]?(0b_*[01][01_]*|0o_*[0-7][0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|0[0_]*|[1-9][0-9_]*)$"),
    "float": re.compile(r"^[-+]?(\.inf|\.nan|([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(e[-+]?[0-9]+)?)$", re.IGNORECASE),
    "bool": re.compile(r"^(true|false)$", re.IGNORECASE),
    "null": re.compile(r"^(~|null|)$", re.IGNORECASE),
    "timestamp": re.compile(r"^[0-9]{4}-[0-9]"),
}
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
    characters: int = 0

    def note(self, problem: Problem) -> None:
        """Add a problem. Raises `NotJson` after the last one that is listed."""
        self.problems.append(problem)
        if len(self.problems) == MOST_PROBLEMS:
            raise NotJson(replace(problem, path="", message="more problems are not listed", way_out="Correct these first."))


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
        _refuse_size(text)
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        way_out = next(
            (way for clue, way in _WAYS_OUT.items() if clue in reason), "Correct the indentation or the brackets around this place."
        )
        raise NotJson(_malformed(reason, way_out, error.problem_mark)) from None
    except ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        reason = f"special characters are not allowed: {error.character!r}"
        way_out = "Remove the character, and save the file as plain text in UTF-8."
        raise NotJson(Problem(code=SYNTAX, path="", message=reason, way_out=way_out, line=line, column=column)) from None
    if root is None:
        raise NotJson(_malformed("there is no document in it", "Write a FineTuneJob; examples/ holds some."))
    return root


def _refuse_size(text: str) -> None:
    """Stop at the first part that is too deep or one too many, before any recursive or quadratic code reads the text."""
    depth = nodes = 0
    mark: StringMark | None = None
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            mark = event.end_mark
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            nodes += isinstance(event, NodeEvent)
            if depth > DEEPEST:
                raise NotJson(_malformed(f"it is nested more than {DEEPEST} levels deep", "Write it with fewer levels.", event.start_mark))
            if nodes > 2 * MOST_NODES:  # names and values
                raise NotJson(_malformed(f"it has more than {MOST_NODES} values", "Write fewer.", event.start_mark))
    except (ValueError, OverflowError) as error:  # of `chr`, for an escape such as "\\UFFFFFFFF"
        raise NotJson(_malformed(f"an escape sequence after this place is no character: {error}", "Correct it.", mark)) from None


def _value(node: Node, path: str, document: Document, *, depth: int) -> Any:
    document.nodes += 1
    document.positions.setdefault(path, _at(node.start_mark))
    if depth > DEEPEST or document.nodes > MOST_NODES or document.characters > LARGEST_TEXT:
        raise NotJson(_malformed("its aliases make it too large, or endless", "Write it without aliases.", node.start_mark))
    if isinstance(node, MappingNode):
        _refuse_other_tag(node, "map", path, document)
        return _mapping(node, path, document, depth)
    if isinstance(node, ScalarNode):
        return _scalar(node, path, document)
    _refuse_other_tag(node, "seq", path, document)
    return [_value(item, f"{path}[{index}]", document, depth=depth + 1) for index, item in enumerate(node.value)]


def _refuse_other_tag(node: Node, kind: str, path: str, document: Document) -> None:
    if str(node.tag) != _TAG + kind:
        document.note(_malformed(f"the tag {_clipped(node.tag)} means nothing here", "Remove the tag.", node.start_mark, path))


def _mapping(node: MappingNode, path: str, document: Document, depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, ScalarNode) or key.value == "<<":
            document.note(_malformed("names must be plain text", "Write every field out; merge keys are not read.", key.start_mark, path))
            continue
        name = _text(key, path, document)
        place = f"{path}.{name}".removeprefix(".")
        if len(place) > LONGEST_PATH:
            reason = f"a name is too long: with the names around it, it has {len(place)} characters; {LONGEST_PATH} are allowed"
            raise NotJson(_malformed(reason, "Shorten it.", key.start_mark, _clipped(place)))
        if ambiguous := _ambiguous(key, place):
            document.note(ambiguous)
        if name in value:
            first = document.positions[place]
            reason = f"{name} is given twice, first in line {first[0]}"
            document.note(_malformed(reason, "Keep one of them.", key.start_mark, place))
            continue
        document.positions[place] = _at(key.start_mark)
        value[name] = _value(item, place, document, depth=depth + 1)
    return value


def _scalar(node: ScalarNode, path: str, document: Document) -> Any:
    text = _text(node, path, document)
    kind = str(node.tag).removeprefix(_TAG)
    if ambiguous := _ambiguous(node, path):
        document.note(ambiguous)
        return text
    if kind not in _GRAMMAR:
        document.note(_malformed(f"the tag {_clipped(node.tag)} means nothing here", "Remove the tag.", node.start_mark, path))
    elif not _GRAMMAR[kind].match(text):
        reason = f"{_clipped(text)!r} is no {kind} in YAML 1.2"
        document.note(_malformed(reason, f"Remove !!{kind} or %YAML, or correct the value.", node.start_mark, path))
    elif kind in {"int", "float"} and len(text) > LONGEST_NUMBER:
        reason = f"the number {_clipped(text)} has {len(text)} characters; {LONGEST_NUMBER} are allowed"
        document.note(_malformed(reason, "Write a smaller number.", node.start_mark, path))
    elif kind == "int":
        return int(text.replace("_", ""), 0)
    elif kind == "float":
        return _number(text.replace("_", "").lower())
    elif kind in {"bool", "null"}:
        return {"true": True, "false": False}.get(text.lower())
    return text


def _text(node: ScalarNode, path: str, document: Document) -> str:
    text = str(node.value)
    document.characters += len(text)
    if not _SURROGATE.search(text):
        return text
    document.note(_malformed("an escape sequence names half a character", "Write the character itself.", node.start_mark, path))
    return _SURROGATE.sub("\ufffd", text)


def _ambiguous(node: ScalarNode, path: str) -> Problem | None:
    """Return what is wrong with a word that YAML 1.1 reads in another way."""
    text, kind = str(node.value), str(node.tag).removeprefix(_TAG)
    if node.style is not None:
        return None
    shown = _clipped(text)
    reason = f"{shown} without quotes is another value to kubectl, which reads YAML 1.1"
    if kind == "str" and _WORD_OF_1_1.match(text):
        return _problem(AMBIGUOUS, path, reason, f'Write "{text}" for the text, or true or false.', node.start_mark)
    if kind == "int" and _OCTAL_OF_1_1.match(text):
        way_out = f'Write "{shown}" for the text, or the number without leading zero.'
        return _problem(AMBIGUOUS, path, reason, way_out, node.start_mark)
    return None


def _clipped(text: object) -> str:
    """Cut a text of any length for a message."""
    whole = str(text)
    return whole if len(whole) <= LONGEST_SHOWN else f"{whole[: LONGEST_SHOWN - 1]}…"


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
