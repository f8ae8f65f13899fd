"""A real API server accepts all rendered objects, in a namespace that enforces the restricted standard."""

import copy
from dataclasses import replace

import pytest
from api_jobs import raw_job
from plan_builders import GANG, every_stage, exporting, hub_plan, quickstart_plan, serving

from tunewright.plan.names import names_of
from tunewright.plan.plan_types import ClaimSource, DataVolume, Scheduling
from tunewright.render import render

LONG = "x" * 63
CLAIMED = {
    "model_source": ClaimSource(claim="models", path="phi"),
    "data_volumes": (DataVolume(name="data-9f86d081", source=ClaimSource(claim="corpora")),),
}
PLANS = {
    "quickstart-cpu": quickstart_plan(**CLAIMED),
    "gpu-zero3-hub": hub_plan(),
    "serving": serving(quickstart_plan(**CLAIMED), replicas=2, max_length=2048),
    "suspended": quickstart_plan(**CLAIMED, suspend=True),
    "second-attempt": quickstart_plan(**CLAIMED, train=replace(GANG, attempt=1)),
    "exporting-hub": exporting(hub_plan()),
    "name of 63 characters": serving(quickstart_plan(**CLAIMED, name=LONG, names=names_of(LONG)), replicas=2),
    "scheduling wishes": quickstart_plan(
        **CLAIMED,
        pods=every_stage(
            labels={"example.com/cost-center": "42"},
            annotations={"sidecar.istio.io/inject": "false"},
            env={"OMP_NUM_THREADS": "1"},
            scheduling=Scheduling(
            node_selector={"pool": "a"},
            tolerations=({"key": "gpu", "operator": "Exists"},),
            affinity={"nodeAffinity": {}},
            scheduler_name="kai-scheduler",
            image_pull_secrets=("registry",),
        )),
    ),
}  # fmt: skip


def placed(plan, namespace, **owner):
    return render(replace(plan, owner=replace(plan.owner, namespace=namespace, **owner))).children


def pods_of(manifests):
    for item in manifests:
        if "template" in item.get("spec", {}):
            template = copy.deepcopy(item["spec"]["template"])
            yield {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "pod"}}


@pytest.mark.parametrize("name", PLANS)
def test_children_are_accepted(server, shared_namespace, name):
    refused = {
        item["metadata"]["name"]: said.message for item in placed(PLANS[name], shared_namespace) if (said := server.apply(item)).message
    }

    assert refused == {}


@pytest.mark.parametrize("name", PLANS)
def test_their_pods_meet_the_restricted_standard(server, shared_namespace, name):
    """The standard is enforced on pods, and only warned of on what makes them."""
    pods = list(pods_of(placed(PLANS[name], shared_namespace)))

    assert pods
    assert [server.create(pod, shared_namespace).message for pod in pods] == [""] * len(pods)


def test_a_folder_of_one_machine_is_for_that_machine_only(server, shared_namespace):
    said = [server.create(pod, shared_namespace) for pod in pods_of(placed(quickstart_plan(), shared_namespace))]

    assert {verdict.code for verdict in said} == {403}
    assert all("restricted volume types" in verdict.message and "hostPath" in verdict.message for verdict in said)


# No controller writes to these, so that every new version of them is a write of ours.
OURS_ALONE = {"ConfigMap", "Service", "NetworkPolicy"}


def as_applied(stored):
    """Return the parts that an apply without a change does not touch. Controllers write the status of the others meanwhile."""
    if stored["kind"] in OURS_ALONE:
        return stored["metadata"]["resourceVersion"]
    (mine,) = [entry["fieldsV1"] for entry in stored["metadata"]["managedFields"] if entry["manager"] == "tunewright"]
    return stored["metadata"].get("generation"), mine, stored["spec"]


@pytest.mark.parametrize("name", PLANS)
def test_applying_the_same_again_changes_nothing(server, namespace, name):
    """What the server fills in must not look like a difference at the next reconcile."""
    plan = PLANS[name]
    owner = server.create({**raw_job(), "metadata": {"name": plan.owner.name}}, namespace, keep=True).object
    manifests = placed(plan, namespace, uid=owner["metadata"]["uid"])  # children without an owner would be garbage-collected
    first, again = ([server.apply(item, keep=True).object for item in manifests] for _ in range(2))

    for before, after in zip(first, again, strict=True):
        assert as_applied(before) == as_applied(after), (before["kind"], before["metadata"]["name"])
