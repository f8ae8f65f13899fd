"""Several operators at once, of which one is elected. (Two without an election: tests/faults.)"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cuttable_line import CuttableLine
from fault_proxy import FaultProxy
from life import made
from operator_nursery import ForkedOperator, Nursery
from operator_process import kubeconfig_of_its_own
from status_builders import CHECKED
from waiting import until

LEASE = ("coordination.k8s.io/v1", "Lease", "tunewright-operator")
KINDS = ("configmaps", "persistentvolumeclaims", "networkpolicies", "poddisruptionbudgets", "services", "jobs")


class Contender(ForkedOperator):
    """An operator that stands for election in the namespace it works in."""

    def __init__(self, name: str, nursery: Nursery, kubeconfig: Path, namespace: str, folder: Path) -> None:
        super().__init__(nursery, kubeconfig, namespace, folder)
        self.log = folder / f"{name}.log"
        self._name = name

    def environment(self) -> dict[str, str]:
        election = {"LEADER_ELECTION": "true", "POD_NAME": self._name, "POD_NAMESPACE": self.namespace}
        return super().environment() | {f"TUNEWRIGHT_{name}": value for name, value in election.items()}


@pytest.fixture
def contend(control_plane: Any, nursery: Nursery, namespace: str, tmp_path: Path) -> Iterator[Callable[..., Contender]]:
    """Start a contender."""
    with ExitStack() as stack:
        yield lambda name, kubeconfig=None: stack.enter_context(
            Contender(name, nursery, kubeconfig or control_plane.kubeconfig, namespace, tmp_path)
        )


def holder(scene: Any) -> str:
    lease = scene.get(*LEASE)
    return str(lease["spec"].get("holderIdentity") or "") if lease else ""


def each_child_was_made_once(scene: Any) -> bool:
    return all(len(names) == len(set(names)) for names in (made(scene, kind) for kind in KINDS))


def test_the_standby_takes_over_from_the_leader(contend, make_scene):
    one = contend("one")
    scene = make_scene(one)
    scene.create_job("first")
    scene.reaches("Checking", "first")
    two = contend("two")
    assert two.get("/readyz") == two.get("/livez") == 200  # ready to take over
    assert holder(scene).startswith("one_")

    one.kill()
    scene.create_job("second")
    scene.reaches("Checking", "second")
    assert holder(scene).startswith("two_")

    idle = contend("idle")
    assert idle.stop() == 0  # while it waits
    three = contend("three")
    before = three.reconciles()
    assert two.stop() == 0
    until(lambda: three.reconciles() > before, "what was let go is taken on")
    scene.create_job("third")
    scene.reaches("Checking", "third")
    assert holder(scene).startswith("three_")
    assert scene.get(*LEASE)["spec"]["leaseTransitions"] >= 2
    assert three.stop() == 0
    assert holder(scene) == ""
    assert made(scene) == ["first-check", "second-check", "third-check"]
    assert each_child_was_made_once(scene)


def test_a_leader_that_cannot_renew_stops_writing_and_the_other_continues(contend, make_scene, control_plane):
    """Until it learns of another holder: then it ends, and would restart as a standby."""
    if control_plane.plane is None:
        pytest.skip("the line to a cluster that is not ours cannot be cut")
    with CuttableLine(control_plane.plane.port) as line:
        cut_off = contend("cut-off", line.kubeconfig(control_plane.kubeconfig))
        other = contend("other")
        scene = make_scene(other)
        scene.create_job()
        scene.reaches("Checking")
        line.cut()
        scene.kubelet.end("checker", CHECKED)
        scene.kubelet.wait_for("trainer", 2)
        until(lambda: "cannot be renewed: writes stop" in cut_off.log.read_text(), "it has stopped writing")
        assert not cut_off.ended()
        line.mend()
        until(cut_off.ended, "it stops by itself")
        assert cut_off._process.wait() == 1
        assert "LeaseLostError" in cut_off.log.read_text()
    assert holder(scene).startswith("other_")
    assert made(scene) == ["bot-check", "bot-train-0"]


def test_an_operator_leads_if_each_answer_takes_four_seconds_and_reports_longer_ones(contend, make_scene, control_plane, namespace):
    if control_plane.plane is None:
        pytest.skip("the proxy needs a kubeconfig with a client certificate")
    with FaultProxy(kubeconfig_of_its_own(control_plane, namespace)) as proxy:
        proxy.delay_seconds = 4.0
        slow = contend("slow", proxy.kubeconfig)
        scene = make_scene(slow)
        scene.create_job()
        until(lambda: scene.status().get("phase") == "Checking", "it works", patience=180)
        assert holder(scene).startswith("slow_")
        proxy.delay_seconds = 30.0
        words = f"slow waits for the Lease {namespace}/tunewright-operator for ", "read timeout=6"
        until(lambda: all(word in slow.text("/readyz") for word in words), "/readyz has the reason")
        assert slow.get("/readyz") == 200  # it is still ready to take over
