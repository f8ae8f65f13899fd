"""An operator on a real API server whose CRD has no bounds, so that it stores objects of an older CRD."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from operator_nursery import ForkedOperator, Nursery
from operator_process import kubeconfig_of_its_own
from poison import loosen
from scene import DEFINITION, Scene, install_definition


@pytest.fixture
def unbounded(control_plane: Any) -> Iterator[Any]:
    """The API server with a definition that takes any spec."""
    if control_plane.plane is None:
        pytest.skip("this would harm a cluster that is not ours")
    install_definition(control_plane.api)
    loosen(control_plane.api)
    yield control_plane
    control_plane.api.delete(*DEFINITION)


@pytest.fixture
def scene(unbounded: Any, namespace: str, nursery: Nursery, tmp_path: Path) -> Scene:
    """A scene whose operator has not started yet."""
    operator = ForkedOperator(nursery, kubeconfig_of_its_own(unbounded, namespace), namespace, tmp_path)
    kubelet = FakeKubelet(unbounded.api, namespace)
    return Scene(api=unbounded.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=unbounded.audit)
