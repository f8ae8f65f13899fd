"""Fixtures of the trainer's tests: one tiny base model and one warm gang for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gang import WarmGang, Workspace


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-3 of about 100,000 random parameters, with a byte tokenizer and a chat template."""
    import tiny

    return tiny.save_base(tiny.phi3(), tmp_path_factory.mktemp("base") / "phi3")


@pytest.fixture
def space(tmp_path: Path, base_model: Path) -> Workspace:
    return Workspace(tmp_path, base_model)


@pytest.fixture(scope="session")
def gang() -> Iterator[WarmGang]:
    warm = WarmGang()
    yield warm
    warm.close()
