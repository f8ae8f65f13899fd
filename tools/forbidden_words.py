"""Words that plain English does not need, each with what to write instead, and where they stand.

Checked are Markdown, comments, docstrings and messages. Text in backticks and in code blocks is exempt: it quotes names.
Of tests and examples, only comments and docstrings count, because their strings are data.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

INSTEAD = {
    r"nobody": "name what does not act: no client, no pod",
    r"somebody": "name the person: a user, an administrator",
    r"who(?:so)?ever": "anyone who, or name the person",
    r"whom": "split the sentence",
    r"mend(?:s|ed|ing)?": "repair, revert or correct",
    r"anew": "again",
    r"unasked": "without a request",
    r"doomed": "cannot succeed",
    r"hindrances?": "blocker, or name the cause",
    r"standstills?": "no progress, or blocked",
    r"told": "say which signal, call or field",
    r"(?:is|are|was|were|be|been) asked": "query, call or request, with its subject",
    r"in vain": "without success",
    r"look(?:s|ed|ing)? after": "manage",
    r"put(?:s|ting)? up with": "tolerate",
    r"spine": "reconciler",
    r"for ever": "without end, or endless",
    r"any ?body|every ?body": "name the person: any user, all users",
    r"strangers?": "another user, another process",
    r"namesakes?": "an object of the same name",
    r"hear(?:s|d)?": "receive, read or observe",
    r"speak(?:s|ing)?": "implement a protocol, or be about a subject",
    r"(?:is|are|was|were|be|been) said": "report, record or print, with its subject",
    r"held against|stands? against": "compare with, check",
    r"(?:is|are|stands?|stood|get|gets) in the way": "block, or name the cause",
    r"outliv(?:e|es|ed|ing)": "stay after, or continue after",
    r"last words?": "termination message",
    r"walk(?:s|ed|ing)?": "visit, or iterate over",
    r"twins?": "counterpart, or copy",
    r"hopeless": "permanent",
    r"politely|in a hurry": "with SIGTERM, or at once",
    r"nought": "0",
    r"thrice|hitherto|henceforth|thereof|therein|wherein|whereof|lest|amid|upon": "a common word",
}
TREES = ("operator", "trainer-image", "server-image", "tests", "tools", "benchmarks", "examples", "charts", "Makefile")
_PATTERNS = [(re.compile(rf"\b(?:{word})\b", re.IGNORECASE), instead) for word, instead in INSTEAD.items()]
_QUOTED = re.compile(r"`[^`\n]*`")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#(.*)")
_WITH_HASH_COMMENTS = {".yaml", ".yml", ".toml"}
_STRINGS_ARE_DATA = {"tests", "examples"}
_EXEMPT = {"forbidden_words.py", "test_prose.py", "crd.yaml"}  # the list itself, its test, and what is generated


class Finding(NamedTuple):
    """A word at a line of a file; `instead` is what to write."""

    path: Path
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: plain English does without “{self.word}”. Way out: {self.instead}"


def findings(root: Path) -> list[str]:
    """Return one line for each word in Markdown and in the sources."""
    pages = {path.relative_to(root): prose_of_markdown(path.read_text("utf-8")) for path in markdown(root)}
    in_pages = [finding for name, text in pages.items() for finding in in_text(name, text)]
    return [str(finding) for finding in (*in_pages, *(finding for tree in TREES for finding in in_tree(root, tree)))]


def markdown(root: Path) -> list[Path]:
    """Return the Markdown files of the repository."""
    trees = ("docs", "examples", "tests", "charts", "benchmarks", "operator", "trainer-image", "server-image")
    return sorted([*root.glob("*.md"), *(path for tree in trees for path in (root / tree).rglob("*.md"))])


def in_tree(root: Path, tree: str) -> Iterator[Finding]:
    """Yield the findings in the sources of one tree, which may be a single file."""
    for path in sorted((root / tree).rglob("*")) if (root / tree).is_dir() else [root / tree]:
        if not path.is_file() or path.name in _EXEMPT:
            continue
        name = path.relative_to(root)
        if path.suffix == ".py":
            yield from in_python(name, path.read_text("utf-8"), strings=tree not in _STRINGS_ARE_DATA)
        elif path.suffix in _WITH_HASH_COMMENTS or path.name in {"Makefile", "Dockerfile"}:
            lines = path.read_text("utf-8").splitlines()
            yield from in_text(name, "\n".join(" ".join(_COMMENT.findall(line)) for line in lines))


def in_python(name: Path, source: str, *, strings: bool) -> Iterator[Finding]:
    """Yield the findings in comments and docstrings, and in all texts of several words where `strings` is set."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from in_text(name, token.string, token.start[0])
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (strings or id(node) in docstrings) and " " in node.value:
            yield from in_text(name, node.value, node.lineno)


def in_text(name: Path, text: str, first: int = 1) -> Iterator[Finding]:
    """Yield the findings in a text whose first line has the number `first`."""
    for number, line in enumerate(_QUOTED.sub("", text).split("\n"), first):
        for pattern, instead in _PATTERNS:
            yield from (Finding(name, number, match[0], instead) for match in pattern.finditer(line))


def prose_of_markdown(text: str) -> str:
    """Return the text with its code blocks emptied, so that line numbers stay."""
    return _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
