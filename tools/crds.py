"""Writes the CustomResourceDefinition to `crds/`, and the policy of immutable inputs to `deploy/`. With `--check`, it only compares."""

import sys
from pathlib import Path

from tunewright.api.crdgen import FILENAME, crd_yaml
from tunewright.api.policygen import POLICY_FILENAME, policy_yaml

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Return the exit status: 1 when `--check` finds another file than the generated one."""
    stale = 0
    for name, text in ((f"crds/{FILENAME}", crd_yaml()), (f"deploy/{POLICY_FILENAME}", policy_yaml())):
        target = ROOT / name
        if "--check" not in sys.argv[1:]:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(name)
        elif not target.is_file() or target.read_text(encoding="utf-8") != text:
            print(f"{name} differs from the API's models. Way out: make crds", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
