"""Writes the README's list of what is not supported yet from the API room's own table; `--check` only compares."""

import sys
from pathlib import Path

from tunewright.api.supported import NOT_SUPPORTED_YET, NotYet

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- not-supported-yet:begin -->\n", "<!-- not-supported-yet:end -->"
DATASETS = ("spec.data.validation[*]", "spec.data.test[*]")  # the same entries as for train; said once


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


def main() -> int:
    """Rewrite the part between the marks, or say that it is out of date."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = before + BEGIN + table() + END + after
    if "--check" in sys.argv:
        if wanted != text:
            print("README.md does not list what is not supported yet: run `make readme`", file=sys.stderr)
        return int(wanted != text)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
