"""Finds names of the capability tables that stand as literals elsewhere: there, code compares names instead of reading a row's facts.

A literal is a text that is a name, or a quoted name within a text such as a CEL rule. Names that are also common words count only where
they are compared with a field that holds them, are its type or default, or are listed with others of it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunewright_contract.capabilities.data_formats import DATA_FORMATS
from tunewright_contract.capabilities.execution_providers import EXECUTION_PROVIDERS
from tunewright_contract.capabilities.methods import METHODS
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS, QUANTIZATIONS, TRAINING_PRECISIONS
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import LORA_STARTS, TUNERS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("operator/src", "trainer-image/src", "server-image/src")
TABLES = "operator/src/tunewright_contract/capabilities"

# Field -> the names it can hold.
FIELDS = {
    "task": frozenset(TASKS),
    "tuner": frozenset(TUNERS),
    "type": frozenset(METHODS) | frozenset(QUANTIZATIONS),
    "format": frozenset(DATA_FORMATS),
    "format_": frozenset(DATA_FORMATS),
    "execution_providers": frozenset(EXECUTION_PROVIDERS),
    "optim": frozenset(OPTIMIZERS),
    "precision": frozenset(TRAINING_PRECISIONS) | frozenset(EXPORT_PRECISIONS),
    "init_lora_weights": frozenset(LORA_STARTS),
}
NAMES = frozenset().union(*FIELDS.values())
# Also words of libraries, columns, keys and plain English.
COMMON = frozenset(
    {
        *("text", "messages", "preference", "none", "full", "freeze", "reward", "sft", "CPU", "lora", "ia3", "oft", "gaussian", "eva"),
        *("bf16", "fp16", "fp32", "int8", "int4", "sgd", "adagrad", "rmsprop"),
    }
)
# (file, name) -> why a library's own word is meant.
ALLOWED: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Literal:
    """A name that stands outside the tables."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: the name {self.name!r} stands outside {TABLES}; read a fact of its row"


def literals() -> list[Literal]:
    """Return the literals of all sources that are not allowed, and allowances that nothing needs any more as literals of line 0."""
    paths = [path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py"))]
    names = {str(path.relative_to(ROOT)): path for path in paths}
    all_found = [one for file, path in names.items() if not file.startswith(TABLES) for one in literals_in(path.read_text(), file)]
    unused = ALLOWED.keys() - {(one.file, one.name) for one in all_found}
    return [one for one in all_found if (one.file, one.name) not in ALLOWED] + [Literal(file, 0, name) for file, name in sorted(unused)]


def literals_in(source: str, file: str) -> list[Literal]:
    """Return the names in a Python source."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = {
        (constant.lineno, name)
        for constant in ast.walk(tree)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str) and id(constant) not in prose
        for name in _names_of(constant.value)
    }
    found |= {(constant.lineno, constant.value) for names, constant in _held(tree) if constant.value in names}
    return [Literal(file, line, name) for line, name in sorted(found)]


def _names_of(text: str) -> set[str]:
    """Return a text if it is a name, and the names that it compares or lists in quotes, as CEL does."""
    quoted = {name for group in re.findall(r"(?:==|!=|\bin \[)\s*((?:'[^']*'[, ]*)+)", text) for name in re.findall(r"'([^']*)'", group)}
    return ({text} & NAMES - COMMON) | (quoted & NAMES - {"none"}) | ({"none"} & quoted if "uantization" in text else set())


def _held(tree: ast.Module) -> Iterator[tuple[frozenset[str], ast.Constant]]:
    """Yield (names of a field, text) for texts that are compared with the field, are its type or default, or make a list of its names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            fields = [_field(part) for part in (node.left, *node.comparators)]
            values: list[ast.expr] = [node.left, *node.comparators]
        elif isinstance(node, ast.AnnAssign):
            fields = [_field(node.target)]
            values = [part for part in (node.annotation, node.value) if part is not None]
        else:
            yield from _listed(node)
            continue
        names = frozenset[str]().union(*(FIELDS.get(field, frozenset()) for field in fields))
        for value in values:
            yield from ((names, part) for part in ast.walk(value) if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _listed(node: ast.AST) -> Iterator[tuple[frozenset[str], ast.Constant]]:
    """Yield the entries of a list, and the keys of a map, that are all names of one field: a table of one's own."""
    parts = node.keys if isinstance(node, ast.Dict) else node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else []
    texts = [part for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    for names in FIELDS.values():
        if len(texts) == len(parts) > 1 and all(text.value in names for text in texts):
            yield from ((names, text) for text in texts)


def _field(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


if __name__ == "__main__":
    found = literals()
    print("\n".join(map(str, found)) or "each capability's name stands once")
    sys.exit(bool(found))
