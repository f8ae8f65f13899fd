"""Collecting the tests imports nothing that takes long to import, for each worker collects all of them."""

import pytest
from lazily import IMPORTED, lazily


def test_collecting_imports_no_training_stack(pytestconfig: pytest.Config) -> None:
    """Holds for what this session has collected. Way out, in the named file or in the conftest.py beside it: `torch = lazily("torch")` instead of `import torch` (tests/support/lazily.py)."""
    assert pytestconfig.stash[IMPORTED] == {}


def test_a_lazy_module_has_the_attributes_of_the_module_and_is_not_written_to() -> None:
    lazy = lazily("string")

    assert lazy.capwords("a b") == "A B"
    with pytest.raises(AttributeError):
        lazy.digits = "01"
