"""Golden manifests: `pytest tests/render --update-golden` rewrites them; read the difference before you commit it."""

from collections.abc import Callable, Sequence

import pytest
from golden import as_yaml, compare

from tunewright.render import JsonObject


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Sequence[JsonObject]], tuple[str, str]]:
    """Return the expected and the rendered text of a golden file."""
    return lambda name, manifests: compare(request, name, as_yaml(manifests))
