"""Writes the README's list of what is not supported yet, and docs/capabilities.md, from their tables; `--check` only compares."""

import sys
from pathlib import Path

import capabilities

from tunewright.api.supported import NOT_SUPPORTED_YET, NotYet

ROOT = Path(__file__).resolve().parent.parent
README, CAPABILITIES = ROOT / "README.md", ROOT / "docs" / "capabilities.md"
BEGIN, END = "<!-- not-supported-yet:begin -->\n", "<!-- not-supported-yet:end -->"
DATASETS = ("spec.data.validation[*]", "spec.data.test[*]")  # the same entries as for train; listed once


def line(entry: NotYet) -> str:
    """Write one entry as a row."""
    values = f": {', '.join(entry.values)}" if entry.values else ""
    path = entry.path.replace("spec.data.train[*]", "spec.data.{train,validation,test}[*]")
    return f"| `{path}`{values} | {entry.instead} |"


def table() -> str:
    """Write the whole table, folded away because it is long."""
    entries = [entry for entry in NOT_SUPPORTED_YET if not entry.path.startswith(DATASETS)]
    head = f"<details><summary>{len(entries)} fields and values</summary>\n\n| not yet | instead |\n|---|---|\n"
    return head + "\n".join(map(line, entries)) + "\n\n</details>\n"


def readme() -> str:
    """Return the README with its list as it should be."""
    before, rest = README.read_text().split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


def main() -> int:
    """Write each file that is out of date, or report it."""
    wanted = {README: readme(), CAPABILITIES: capabilities.page()}
    outdated = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
    for file in outdated:
        if "--check" in sys.argv:
            print(f"{file.relative_to(ROOT)} differs from the tables that it is generated from: run `make readme`", file=sys.stderr)
        else:
            file.write_text(wanted[file])
    return int("--check" in sys.argv and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
