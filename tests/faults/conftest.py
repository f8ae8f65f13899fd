"""Jobs under operators that are killed, on the tests' own control planes, because these tests would harm other clusters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from fault_proxy import FaultProxy
from life import ATTEMPTS, ATTEMPTS_OF_A_HARD_LIFE, have_ended, left, live, live_hard, made, settle
from namespaces import new_namespace
from operator_nursery import MortalOperator, Nursery
from operator_process import kubeconfig_of_its_own
from scene import DEFINITION, Scene, install_definition
from waiting import until


@dataclass(frozen=True, kw_only=True)
class Mortal:
    """A scene whose operator can die and is then restarted. All of its requests go through the proxy."""

    scene: Scene
    operator: MortalOperator
    proxy: FaultProxy
    second: MortalOperator | None = None


@pytest.fixture(scope="session")
def our_plane(control_plane: Any) -> Iterator[Any]:
    """A control plane with FineTuneJobs' definition."""
    if control_plane.plane is None:
        pytest.skip("this would harm a cluster that is not ours")
    install_definition(control_plane.api)
    yield control_plane
    if control_plane.api.get(*DEFINITION) is not None:
        control_plane.api.delete(*DEFINITION)


@pytest.fixture(scope="session")
def open_mortal(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Mortal]]:
    """Open a scene on a control plane, in a namespace of its own; its operator can watch further namespaces."""

    @contextmanager
    def open_one(plane: Any, *others: str, second: bool = False, kind: type[MortalOperator] = MortalOperator) -> Iterator[Mortal]:
        with ExitStack() as stack:
            namespace = stack.enter_context(contextmanager(new_namespace)(plane.api))
            kubeconfig = kubeconfig_of_its_own(plane, namespace)
            proxy = stack.enter_context(FaultProxy(kubeconfig))
            folder = tmp_path_factory.mktemp(namespace)
            spaces = ",".join((namespace, *others))
            operator = stack.enter_context(kind(nursery, proxy.kubeconfig, spaces, folder))
            other = stack.enter_context(MortalOperator(nursery, kubeconfig, spaces, tmp_path_factory.mktemp(namespace))) if second else None
            kubelet = FakeKubelet(plane.api, namespace)
            scene = Scene(api=plane.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=plane.audit)
            yield Mortal(scene=scene, operator=operator, proxy=proxy, second=other)

    return open_one


@pytest.fixture(scope="session")
def mortal(our_plane: Any, open_mortal: Any) -> Callable[..., AbstractContextManager[Mortal]]:
    """The same on the control plane of all tests; several at a time from several threads."""
    return lambda **how: open_mortal(our_plane, **how)


@pytest.fixture(scope="module")
def faultless(mortal: Any) -> Any:
    """What is left of a life without faults."""
    return end_of(mortal, live, ATTEMPTS)


@pytest.fixture(scope="module")
def faultless_hard(mortal: Any) -> Any:
    """What is left of a hard life without faults of ours."""
    return end_of(mortal, live_hard, ATTEMPTS_OF_A_HARD_LIFE)


def end_of(mortal: Any, story: Callable[[Scene], None], attempts: Sequence[str]) -> Mapping[str, Any]:
    with mortal() as undisturbed:
        story(undisturbed.scene)
        until(lambda: have_ended(undisturbed.scene), "all Jobs have ended")
        settle(undisturbed.scene)
        assert undisturbed.operator.starts == 1
        assert made(undisturbed.scene) == sorted(attempts)
        return left(undisturbed.scene)
