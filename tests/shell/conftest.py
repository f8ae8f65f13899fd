"""An operator at work on a real API server, in a namespace of the test's own. There is no node: `kubelet` plays it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from operator_nursery import ForkedOperator, Nursery
from operator_process import OperatorProcess, kubeconfig_of_its_own
from scene import DEFINITION, Scene, install_definition


@pytest.fixture(scope="session")
def definition(control_plane: Any) -> Iterator[None]:
    """FineTuneJobs' definition on the API server."""
    install_definition(control_plane.api)
    yield
    if control_plane.api.get(*DEFINITION) is not None:
        control_plane.api.delete(*DEFINITION)


@pytest.fixture
def make_scene(control_plane: Any, definition: None, namespace: str) -> Callable[[OperatorProcess], Scene]:
    """Build a scene around an operator."""
    kubelet = FakeKubelet(control_plane.api, namespace)
    return lambda operator: Scene(api=control_plane.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=control_plane.audit)


@pytest.fixture
def scene(make_scene: Any, control_plane: Any, namespace: str, nursery: Nursery, tmp_path: Path) -> Iterator[Scene]:
    """An operator at work, as administrator."""
    with ForkedOperator(nursery, kubeconfig_of_its_own(control_plane, namespace), namespace, tmp_path) as operator:
        yield make_scene(operator)
