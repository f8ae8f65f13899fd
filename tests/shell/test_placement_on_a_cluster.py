"""A gang with a ReadWriteOnce claim and the real scheduler: all pods are on one node, or wait with a reason in status."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from binaries import NoProgramsError, find
from levels import lacking
from pretended_nodes import SCHEDULER, PretendedNodes
from scene import SPEC
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

WORKERS = SPEC["workers"] | {"schedulerName": SCHEDULER}
ONE_NODE = "only one node at a time mounts claim {}-output (ReadWriteOnce)"


@pytest.fixture
def nodes(control_plane: Any, tmp_path: Path) -> Iterator[PretendedNodes]:
    """Two nodes with room for three processors each."""
    if control_plane.plane is None:
        pytest.skip("another cluster's nodes are not ours to make")
    try:
        program = find(["kube-scheduler"]).scheduler
    except NoProgramsError as reason:
        lacking(str(reason))
    assert program is not None
    with PretendedNodes(control_plane.plane, control_plane.api, program, tmp_path, ("test-node-a", "test-node-b")) as nodes:
        yield nodes


@pytest.fixture
def volumes(scene: Any) -> Iterator[Any]:
    """Give claims volumes, for there is no provisioner."""
    made = []

    def make(claim: str, mode: str) -> None:
        name = f"{scene.namespace}-{claim}"
        spec = {
            "capacity": {"storage": "1Ti"},
            "accessModes": [mode],
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": scene.namespace, "name": claim},
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        assert scene.api.create(volume, keep=True).accepted
        made.append(name)

    yield make
    for name in made:
        scene.api.delete("v1", "PersistentVolume", name)


def bound(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the nodes that pods are bound to."""
    return [pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")]


def test_a_gang_on_a_read_write_once_claim_is_placed_on_its_node_or_reports_why_not(scene, nodes, volumes):
    for claim in ("base", "corpora", "wide-output"):
        volumes(claim, "ReadWriteMany")
    for claim in ("bot-output", "crowded-output"):
        volumes(claim, "ReadWriteOnce")

    def placed(job: str, count: int) -> list[str]:
        def all_of_them() -> Any:
            nodes.beat()
            return len(found := bound(scene.kubelet.pods("trainer", job=job))) == count and found

        return until(all_of_them, f"{count} of {job}'s pods are bound to nodes")

    def finish(job: str) -> None:
        """End a job's pods to free the nodes: no kubelet does."""
        scene.kubelet.end("trainer", TRAINED, count=2, job=job)
        scene.kubelet.end("exporter", EXPORTED, job=job)
        scene.reaches("Complete", job)

    scene.create_job("wide", workers=WORKERS, output={"storage": {"accessModes": ["ReadWriteMany"]}})
    scene.kubelet.end("checker", CHECKED, job="wide")
    assert sorted(placed("wide", 2)) == list(nodes.names), "left to itself the scheduler spreads a gang"
    assert "ReadWriteOnce" not in str(scene.status("wide")["plan"].get("why"))
    finish("wide")

    scene.create_job("bot", workers=WORKERS)
    scene.kubelet.end("checker", CHECKED, job="bot")
    assert len(set(placed("bot", 2))) == 1
    assert ONE_NODE.format("bot") in str(scene.status("bot")["plan"]["why"])
    finish("bot")

    scene.create_job("crowded", workers=WORKERS | {"resources": {"limits": {"cpu": "2", "memory": "2Gi"}}})
    scene.kubelet.end("checker", CHECKED, job="crowded")
    scene.kubelet.wait_for("trainer", 2, job="crowded")
    placed("crowded", 1)
    until(lambda: (scene.status("crowded").get("failure") or {}).get("reason") == "Unschedulable", "the status says why it waits")
    status = scene.status("crowded")
    assert (status["phase"], status["failure"]["rank"] in (0, 1)) == ("Training", True)
    assert "didn't match pod affinity rules" in status["failure"]["message"]
    assert "Insufficient cpu" in status["failure"]["message"]
    assert "status.plan.why" in status["failure"]["suggestion"]
    assert ONE_NODE.format("crowded") in str(status["plan"]["why"])
    placed("crowded", 1)
    finish("crowded")
