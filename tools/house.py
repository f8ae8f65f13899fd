"""Promises that no linter checks: short files, a docstring for each module, names of stages only in their table, and so on."""

import ast
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tunewright_contract.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("operator/src", "trainer-image/src", "server-image/src")
LONGEST = 400  # lines; a longer file holds more than one concept
PURE_ROOMS = ("api", "plan", "render", "observe", "status")
# Types that rooms once defined for themselves, and where each is defined now.
HOMES = dict.fromkeys(("Key", "Manifest", "ObjectRef"), "operator/src/tunewright_runtime/objects.py")
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "uuid4", "uuid1"}  # import-linter sees imports, not calls
# The words of the stage table (tunewright_contract/stages.py), less those that mean something else elsewhere: a part of the data, a field
# of TrainerConfig, a row of a table for people, a package.
STAGE_WORDS = {word for stage in STAGES for word in (stage.name, stage.component, stage.phase, stage.condition, stage.command[-1])}
STAGE_WORDS -= {"train", "export", "server", "tunewright_server"}


def broken_promises() -> list[str]:
    """Return one line for each broken promise."""
    found = []
    trees: dict[str, ast.Module] = {}
    if (ROOT / "operator" / "__init__.py").exists():
        found.append("operator/__init__.py exists: it shadows the standard library's operator")
    for path in sorted(file for source in SOURCES for file in (ROOT / source).rglob("*.py")):
        name = path.relative_to(ROOT)
        text = path.read_text()
        if len(text.splitlines()) > LONGEST:
            found.append(f"{name}: {len(text.splitlines())} lines, more than {LONGEST}")
        tree = trees[str(name)] = ast.parse(text)
        found += [f"{name}:{line}: {kind} is defined in {HOMES[kind]}; import it" for kind, line in second_homes(str(name), tree)]
        if tree.body and ast.get_docstring(tree) is None:
            found.append(f"{name}: the module has no docstring")
        if "tunewright_runtime" in path.parts:
            found += [f"{name}:{line}: the runtime names a FineTuneJob" for line in lines_that_name_a_job(text)]
        if "tunewright_contract" not in path.parts:
            found += [f"{name}:{line}: {word!r} is in the stage table; read it from there" for word, line in stage_literals(tree)]
        if "tunewright" in path.parts and any(room in path.parts for room in PURE_ROOMS):
            found += [f"{name}:{line}: a pure room calls {call}()" for call, line in impure_calls(tree)]
    return [*found, *repeated_names(trees)]


def repeated_names(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return one line for each class that another file has under the same name.

    Names that begin with an underscore are a file's own.
    """
    files: dict[str, list[str]] = defaultdict(list)
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(f"{file}:{node.lineno}")
    repeated = {name: places for name, places in files.items() if len(places) > 1}
    return [f"{places[-1]}: a second class {name}; the first is {places[0]}" for name, places in repeated.items()]


def second_homes(file: str, tree: ast.Module) -> list[tuple[str, int]]:
    """Return (name, line) of the types in `HOMES` that a file defines as its own, as a class or as an alias."""
    defined = [(node.name, node.lineno) for node in tree.body if isinstance(node, ast.ClassDef)]
    assigned = [(target, node.lineno) for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    defined += [(target.id, line) for target, line in assigned if isinstance(target, ast.Name)]
    return [(name, line) for name, line in defined if HOMES.get(name, file) != file]


def lines_that_name_a_job(text: str) -> list[int]:
    """Return the numbers of the lines that name our resource or its group: the runtime takes both as parameters."""
    return [number for number, line in enumerate(text.splitlines(), start=1) if "finetunejob" in line.lower() or "tunewright.io" in line]


def impure_calls(tree: ast.Module) -> list[tuple[str, int]]:
    """Return (name, line) of calls that read the clock, the disk or chance."""
    calls = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in IMPURE_CALLS:
                calls.append((name, node.lineno))
    return calls


def stage_literals(tree: ast.Module) -> list[tuple[str, int]]:
    """Return (word, line) of literals that are words of the stage table."""
    literals = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [(node.value, node.lineno) for node in literals if node.value in STAGE_WORDS]


if __name__ == "__main__":
    lines = broken_promises()
    print("\n".join(lines) or "the house stands")
    sys.exit(bool(lines))
