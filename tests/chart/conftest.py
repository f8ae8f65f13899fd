"""The chart under the real helm."""

from pathlib import Path

import helm as real_helm
import pytest


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """helm itself."""
    return real_helm.helm_program()


@pytest.fixture(scope="session")
def helm(helm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> real_helm.Helm:
    """helm without a cluster."""
    return real_helm.Helm(helm_program, tmp_path_factory.mktemp("helm"))
