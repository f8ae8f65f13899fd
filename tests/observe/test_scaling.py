"""Who has set the number of servers, and when servers that are only scaled stay ready."""

import pytest
from child_builders import REVISION, SERVING, a_deployment, a_pod, running, waiting

from tunewright.observe import observe
from tunewright.observe.other_controllers import UNRECORDED, read_scaling
from tunewright.plan.inputs import StageState

COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def entry(manager, subresource="", field="f:replicas"):
    return {"manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": {"f:spec": {field: {}}}}


HPA = ("kube-controller-manager", "scale")


@pytest.mark.parametrize(
    ("scaler", "set_by", "entries"),
    [
        ("", "", []),
        ("", "", [entry("tunewright")]),
        ("a HorizontalPodAutoscaler (field manager kube-controller-manager)", "kube-controller-manager", [entry(*HPA)]),
        ("a HorizontalPodAutoscaler (field manager kube-controller-manager)", "", [entry("tunewright"), entry(*HPA)]),
        ("", "kube-controller-manager", [entry("kube-controller-manager")]),
        ("", "", [entry("kube-controller-manager", "scale", "f:paused")]),
        ("KEDA (field manager keda-operator)", "keda-operator", [entry("keda-operator", "scale")]),
        ("KEDA (field manager keda)", "keda", [entry("keda")]),
        ("", "kubectl", [entry("kubectl", "scale")]),
        ("", "", [entry("kubectl", "scale"), entry("tunewright")]),
    ],
    ids=[
        "no manager",
        "the operator",
        "an autoscaler",
        "both",
        "its manager without the subresource",
        "another field",
        "keda",
        "keda by another name",
        "a person",
        "a person who has set the same number",
    ],
)
def test_the_field_manager_shows_who_has_set_the_number(scaler, set_by, entries):
    deployment = a_deployment()
    deployment["metadata"]["managedFields"] = entries
    assert read_scaling(deployment) == (2, scaler, set_by)


@pytest.mark.parametrize(
    ("expected", "entries"),
    [
        (UNRECORDED, [entry("tunewright", field="f:template")]),
        ("", [entry("tunewright")]),
        ("", []),
        ("", [entry("kubectl"), entry("tunewright", field="f:template")]),
    ],
    ids=["no manager's", "the operator's", "without field managers, as on one machine", "an edit's"],
)
def test_a_number_that_no_manager_has_was_set_through_the_subresource(expected, entries):
    deployment = a_deployment()
    deployment["spec"]["replicas"] = 0
    deployment["metadata"]["managedFields"] = entries
    assert read_scaling(deployment).scaler == expected


def served(ready, *, phase="Serving", revision=SERVING):
    """The stored status at the last look."""
    return {"revision": REVISION, "phase": phase, "serving": {"revision": revision, "readyReplicas": ready}}


def status(total, ready, *, observed=4, conditions=(COMPLETE,)):
    counts = {"replicas": total, "updatedReplicas": total, "readyReplicas": ready, "availableReplicas": ready}
    return {**counts, "observedGeneration": observed, "conditions": list(conditions)}


READY, PENDING, FAILED = StageState.SUCCEEDED, StageState.PENDING, StageState.FAILED


@pytest.mark.parametrize(
    ("expected", "wanted", "now", "before"),
    [
        (READY, 4, status(4, 2), served(2)),
        (READY, 4, status(2, 2, observed=3), served(2)),
        (READY, 1, status(0, 0, observed=3), served(0)),
        (READY, 1, status(1, 0), served(0)),
        (READY, 2, status(4, 4, observed=3), served(4)),
        (PENDING, 4, status(4, 2), None),
        (PENDING, 4, status(4, 2), served(2, phase="Deploying")),
        (PENDING, 4, status(4, 2), served(2, revision="older")),
        (PENDING, 4, status(4, 1), served(2)),
        (PENDING, 1, status(1, 0), served(1)),
        (PENDING, 4, status(4, 2, conditions=[]), served(2)),
        (PENDING, 4, status(4, 2) | {"updatedReplicas": 3}, served(2)),
    ],
    ids=[
        "more start",
        "the number is not observed yet",
        "from zero, not observed yet",
        "from zero",
        "fewer",
        "at the first look",
        "a rollout",
        "another revision",
        "one of the ready servers was lost",
        "the only server was lost",
        "the revision was never complete",
        "an old server is still there",
    ],
)
def test_servers_that_are_only_scaled_stay_ready(expected, wanted, now, before):
    deployment = a_deployment(**now)
    deployment["spec"]["replicas"] = wanted
    assert observe([deployment], revision=REVISION, status=before).past.serve.state is expected


def test_a_new_server_that_cannot_start_is_reported():
    deployment = a_deployment(**status(2, 1))
    pods = [a_pod("server", **running("server")), a_pod("server", **waiting("ErrImagePull", "not found", component="server"))]
    found = observe([deployment, *pods], revision=REVISION, status=served(1)).past.serve
    assert (found.state, found.failure.reason) == (StageState.RUNNING, "ImagePullBackOff")
