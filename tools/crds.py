"""Writes the CustomResourceDefinition to `crds/`. With `--check`, it only compares."""

import sys
from pathlib import Path

from tunewright.api.crdgen import FILENAME, crd_yaml

TARGET = Path(__file__).parent.parent / "crds" / FILENAME


def main() -> int:
    """Return the exit status: 1 when `--check` finds another file than the generated one."""
    text = crd_yaml()
    if "--check" in sys.argv[1:]:
        if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
            return 0
        print(f"crds/{FILENAME} differs from the API's models. Way out: make crds", file=sys.stderr)
        return 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(f"crds/{FILENAME}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
