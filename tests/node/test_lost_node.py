"""A gang across two nodes that fail in all ways, and a server whose node is lost: the advice in status is followed, and the work goes on.

The second node joins the session's cluster for this file only. Both enforce NetworkPolicies meanwhile, so ranks meet through them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from on_pods import QUICKSTART_JOB, Desk, is_served, kill_ranks, move_server, nodes, of, quickstart, short, steps_since_resumed
from ruamel.yaml import YAML
from second_node import NAME
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.two_nodes, pytest.mark.timeout(1800)]

PAGE = Path(__file__).parents[2] / "docs" / "pod-settings.md"
FIRST = "node-1"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
GRACE_SECONDS = 300  # of a rank that waits for the lost one


@pytest.fixture(scope="module", autouse=True)
def operators(tunewright, desk, served, second) -> Iterator[None]:
    """The operators, whose policy admits the port of this cluster's API server."""
    port = second.first.kubectl("get", "endpoints", "kubernetes", "-o", "jsonpath={.subsets[0].ports[0].port}").stdout
    tunewright.install("--set=replicas=2", f"--set=networkPolicy.apiServerPorts={{{port}}}")
    yield
    tunewright.install("--set=replicas=2")


def spread(steps: int) -> dict[str, Any]:
    """Return a job with one rank on each node, by the constraint that the documentation advises."""
    spec = short(quickstart()) | {"backoffLimit": 1}
    spec["training"] |= {"maxSteps": steps}
    spec["output"]["storage"] = {"retain": False, "accessModes": ["ReadWriteMany"]}
    advised = YAML(typ="safe").load(PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])
    spec["workers"] |= advised["workers"]
    return spec


def ranks(desk: Desk, job: str) -> dict[str, Any]:
    """Return the running ranks by their nodes."""
    return {pod["spec"]["nodeName"]: pod for pod in desk.all("pods", of(job, "trainer")) if pod["status"]["phase"] == "Running"}


def begins_apart(desk: Desk, job: str) -> None:
    """Wait until ranks on both nodes have saved a checkpoint."""
    desk.until(job, lambda status: status.get("checkpoint", {}).get("step"), "a checkpoint")
    assert ranks(desk, job).keys() == {FIRST, NAME}


def goes_on(desk: Desk, job: str, *, attempt: int) -> None:
    """Wait until the gang has made steps in this attempt, from the last checkpoint on."""
    desk.until(job, lambda status: status.get("attempts") == attempt and steps_since_resumed(status) > 0, f"steps of attempt {attempt}")


def test_a_gang_across_two_nodes_survives_kill_9_and_a_cut_network(desk, second):
    desk.apply("apart", spread(steps=150))
    begins_apart(desk, "apart")
    kill_ranks(desk, ranks(desk, "apart")[NAME])
    goes_on(desk, "apart", attempt=2)
    assert ranks(desk, "apart").keys() == {FIRST, NAME}

    second.cut_link()
    status = desk.until("apart", lambda status: status.get("reason") == "NodeNotReady" and status, "status names the node")
    assert f"node {NAME}" in status["failure"]["message"]
    assert status["failure"]["suggestion"].startswith("Repair the node or start it again")
    second.restore_link()

    done = desk.until_phase("apart", "Complete")
    assert (done["progress"]["step"], done["attempts"]) == (150, 2), "a cut of the network is no failure"
    desk.kubectl("delete", "finetunejob", "apart", "--timeout=120s")


def test_a_gang_and_a_server_continue_elsewhere_when_their_node_is_off_and_the_advice_is_followed(desk, second):
    move_server(desk, NAME)
    desk.apply("lost", spread(steps=150))
    begins_apart(desk, "lost")

    second.power_off()
    for job in ("lost", QUICKSTART_JOB):
        status = desk.until(job, lambda status: status.get("reason") == "NodeNotReady" and status, "status names the node")
        assert f"node {NAME}" in status["failure"]["message"]
        assert OUT_OF_SERVICE in status["failure"]["suggestion"]
    desk.kubectl("taint", "node", NAME, OUT_OF_SERVICE)

    desk.until("lost", lambda status: status.get("reason") == "Disrupted" and status, "status names why the gang ends")
    until(lambda: server_moves(desk), "its server is on the other node", patience=GRACE_SECONDS)
    goes_on(desk, "lost", attempt=2)
    assert ranks(desk, "lost").keys() == {FIRST}
    done = desk.until_phase("lost", "Complete")
    assert (done["progress"]["step"], done["attempts"]) == (150, 2)

    desk.kubectl("taint", "node", NAME, OUT_OF_SERVICE + "-")
    second.power_on()
    second.wait_until_ready()
    desk.kubectl("delete", "finetunejob", "lost", "--timeout=120s")


def server_moves(desk: Desk) -> bool:
    """Return whether the quickstart's server answers on the first node. Its claim is ReadWriteOnce: a pod that waits is deleted, as advised."""
    pods = [pod for pod in desk.all("pods", of(QUICKSTART_JOB, "server")) if "deletionTimestamp" not in pod["metadata"]]
    for pod in pods:
        if pod["spec"].get("nodeName") is None and desk.status(QUICKSTART_JOB)["reason"] == "Unschedulable":
            desk.kubectl("delete", "pod", pod["metadata"]["name"])
    return nodes(desk, of(QUICKSTART_JOB, "server")) == {FIRST} and is_served(desk)
