"""A second node: a server that moves there, a kubelet that freezes and goes on, and a ReadWriteOnce claim that keeps a gang together.

The second node joins the session's cluster for this file only. Both enforce NetworkPolicies meanwhile.
"""

import json
from collections.abc import Iterator

import pytest
from on_pods import QUICKSTART_JOB, is_served, move_server, nodes, of, quickstart, short
from provisioner import ONE_NODE_CLASS
from second_node import NAME
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.two_nodes, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", autouse=True)
def server(desk, second, served) -> Iterator[None]:
    """The server of the quickstart, on the second node."""
    desk.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(ONE_NODE_CLASS))
    move_server(desk, NAME)
    yield
    move_server(desk, "node-1")


def test_a_frozen_kubelet_that_confirms_no_end_is_named_until_it_goes_on(desk, second):
    (server,) = desk.all("pods", of(QUICKSTART_JOB, "server"))
    second.freeze_kubelet()
    desk.kubectl("delete", "pod", server["metadata"]["name"], "--grace-period=1", "--wait=false")

    status = desk.until(QUICKSTART_JOB, lambda status: status.get("reason") == "NodeLost" and status, "status names the node")
    assert f"node {NAME} does not confirm" in status["failure"]["message"]
    assert "powered off or gone" in status["failure"]["suggestion"]

    second.thaw_kubelet()
    until(lambda: desk.get("pod", server["metadata"]["name"]) is None and is_served(desk), "another server", patience=300)
    assert nodes(desk, of(QUICKSTART_JOB, "server")) == {NAME}  # its claim is ReadWriteOnce


def test_a_read_write_once_claim_keeps_its_gang_on_one_node(desk, second):
    spec = short(quickstart())
    spec["output"]["storage"] = {"retain": False, "accessModes": ["ReadWriteOnce"], "storageClassName": ONE_NODE_CLASS["metadata"]["name"]}
    desk.apply("together", spec)
    gang = of("together", "trainer")
    desk.until("together", lambda _: len(desk.all("pods", gang)) == 2 and "" not in nodes(desk, gang), "a gang on nodes")

    (only,) = nodes(desk, gang)
    claim = desk.get("persistentvolumeclaim", "together-output")
    assert claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == only
    desk.kubectl("delete", "finetunejob", "together", "--timeout=120s")
