"""What a pod shows of a node that does not answer, or that it is removed from."""

from datetime import UTC, datetime

import pytest
from child_builders import COMPLETE, REVISION, a_deployment, a_job, a_pod, ended, running, waiting

from tunewright.observe import observe
from tunewright.observe.disruptions import with_node
from tunewright.observe.pods import read_pod
from tunewright.plan.inputs import StageState

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
GATE = {"readinessGates": [{"conditionType": "example.com/load-balancer"}]}
TAINT = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "deleting due to NoExecute taint"}


def ready(pod, containers):
    return [{"type": kind, "status": value} for kind, value in (("Ready", pod), ("ContainersReady", containers))]


def on_a_node(status, *, until=None, node="gpu-7", component="trainer", **spec):
    raw = a_pod(component, index=1, attempt=0, **status) | {"spec": {"nodeName": node} | spec}
    raw["metadata"] |= {"deletionTimestamp": until} if until else {}
    return raw


LEFT = "2026-01-01T11:59:39Z"  # 21 seconds ago
LEAVING = "2026-01-01T11:59:41Z"


@pytest.mark.parametrize(
    ("reason", "pod"),
    [
        ("NodeNotReady", on_a_node(running() | {"conditions": ready("False", "True")})),
        ("NodeNotReady", on_a_node(running() | {"conditions": [*ready("False", "True"), TAINT]})),
        ("NodeNotReady", on_a_node(running() | {"conditions": [*ready("False", "True"), TAINT]}, until=LEAVING)),
        ("NodeLost", on_a_node(running() | {"conditions": [*ready("False", "True"), TAINT]}, until=LEFT)),
        ("NodeLost", on_a_node(running(), until=LEFT)),
        ("NodeLost", on_a_node(waiting("ContainerCreating"), until=LEFT)),
        ("Disrupted", on_a_node(running() | {"conditions": [*ready("True", "True"), TAINT]}, until=LEAVING)),
        ("Disrupted", on_a_node(running() | {"conditions": [{"type": "DisruptionTarget", "status": "True"}]})),
    ],
)
def test_a_pod_whose_node_has_a_problem_names_the_node(reason, pod):
    found = with_node(read_pod(pod), pod, NOW)
    assert (found.failure.reason, found.failure.rank, found.disposition) == (reason, 1, None)
    assert "node gpu-7" in found.failure.message
    assert "pod trainer-1" in found.failure.message


@pytest.mark.parametrize(
    ("reason", "pod"),
    [
        (None, on_a_node(running() | {"conditions": ready("True", "True")})),
        (None, on_a_node(running() | {"conditions": ready("False", "False")})),
        (None, on_a_node(running() | {"conditions": ready("False", "True")}, **GATE)),
        (None, on_a_node(running(), until=LEAVING)),
        (None, on_a_node({"phase": "Pending"}, until=LEFT, node="")),
        (None, on_a_node(ended(0) | {"conditions": ready("False", "True")}, until=LEFT)),
        ("Disrupted", on_a_node({"phase": "Failed", "conditions": [TAINT]}, until=LEFT)),
        ("ImagePullBackOff", on_a_node(waiting("ErrImagePull"), until=LEFT)),
    ],
)
def test_any_other_pod_keeps_its_state(reason, pod):
    state = read_pod(pod)
    assert with_node(state, pod, NOW) == state
    assert (state.failure and state.failure.reason) == reason


def test_no_deadline_passes_without_a_time():
    pod = on_a_node(running(), until=LEFT)
    assert with_node(read_pod(pod), pod, None).failure is None


def test_a_gang_with_a_rank_on_such_a_node_still_runs():
    pods = [a_pod("trainer", index=0, attempt=0, **running()), on_a_node(running() | {"conditions": ready("False", "True")})]
    train = observe([a_job("trainer", attempt=0), *pods], revision=REVISION, now=NOW).past.train
    assert (train.state, train.failure.reason, train.disposition) == (StageState.RUNNING, "NodeNotReady", None)


@pytest.mark.parametrize(("ready_replicas", "reason"), [(1, "NodeNotReady"), (2, None)])
def test_a_server_on_such_a_node_is_a_problem_until_it_is_replaced(ready_replicas, reason):
    counts = dict.fromkeys(("readyReplicas", "availableReplicas"), ready_replicas) | {"updatedReplicas": 2, "replicas": 2}
    lost = on_a_node(running("server") | {"conditions": ready("False", "True")}, component="server")
    failure = observe([a_deployment(**counts, conditions=[COMPLETE]), lost], revision=REVISION, now=NOW).past.serve.failure
    assert (failure and failure.reason) == reason


def test_a_servers_lost_node_is_named_before_the_pod_that_waits_for_it():
    waits = a_pod("server", phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])
    lost = on_a_node(running("server"), until=LEFT, component="server")
    failure = observe([a_deployment(), waits, lost], revision=REVISION, now=NOW).past.serve.failure
    assert failure.reason == "NodeLost"
