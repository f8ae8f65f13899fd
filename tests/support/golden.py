"""Golden files: `pytest --update-golden …` rewrites them; read the difference before you commit it."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

GOLDEN = Path(__file__).parent.parent / "golden"


def compare(request: pytest.FixtureRequest, name: str, rendered: str) -> tuple[str, str]:
    """Return the expected and the rendered text."""
    path = GOLDEN / f"{name}.yaml"
    if request.config.getoption("--update-golden"):
        path.write_text(rendered, encoding="utf-8")
    return path.read_text(encoding="utf-8"), rendered


def as_yaml(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Write manifests as kubectl would read them."""
    yaml = YAML()
    yaml.explicit_start = True
    yaml.width = 160
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda *_: True
    text = StringIO()
    yaml.dump_all([_readable(manifest) for manifest in manifests], text)
    return text.getvalue()


def _readable(value: Any) -> Any:
    match value:
        case dict():
            return {key: _readable(item) for key, item in value.items()}
        case list():
            return [_readable(item) for item in value]
        case str() if "\n" in value:
            return LiteralScalarString(value)
    return value
