"""Golden manifests: `pytest tests/render --update-golden` writes them anew; read the difference before you commit it."""

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from tunewright.render import Manifest

GOLDEN = Path(__file__).parent.parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Sequence[Manifest]], tuple[str, str]]:
    """Return the expected and the rendered text of a golden file."""

    def compare(name: str, manifests: Sequence[Manifest]) -> tuple[str, str]:
        path = GOLDEN / f"{name}.yaml"
        rendered = as_yaml(manifests)
        if request.config.getoption("--update-golden", default=False):
            path.write_text(rendered, encoding="utf-8")
        return path.read_text(encoding="utf-8"), rendered

    return compare


def as_yaml(manifests: Sequence[Manifest]) -> str:
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
