"""The chart under the real helm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm as real_helm
import pytest
from api_server import ApiServer
from control_plane import ControlPlane


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """helm itself."""
    return real_helm.helm_program()


@pytest.fixture(scope="session")
def helm(helm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> real_helm.Helm:
    """helm without a cluster."""
    return real_helm.Helm(helm_program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def plane(control_plane: Any, helm_program: Path) -> Iterator[ControlPlane]:
    """A control plane of the file's own."""
    if control_plane.plane is None:
        pytest.skip("these tests remove FineTuneJobs' definition: never on a cluster that exists")
    with ControlPlane(control_plane.plane.programs) as own:
        yield own


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> ApiServer:
    """Its API server."""
    return ApiServer(plane.kubeconfig)
