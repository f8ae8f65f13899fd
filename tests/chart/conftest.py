"""The chart under the real helm."""

from pathlib import Path

import pytest
from helm import Helm, find_helm
from levels import lacking


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """helm itself. It is never built here, since a build takes longer than a test may."""
    return find_helm() or lacking("there is no helm: put it on PATH, name it in HELM, or build it with `make test-cluster`")


@pytest.fixture(scope="session")
def helm(helm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """helm without a cluster."""
    return Helm(helm_program, tmp_path_factory.mktemp("helm"))
