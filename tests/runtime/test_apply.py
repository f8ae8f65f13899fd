"""What is done about a child: expected action, what is rendered, what is there."""

import pytest

from tunewright.kube.world import may_suspend
from tunewright_runtime.apply import Action, carry_out, decide
from tunewright_runtime.errors import Rejected

APPLIED = {
    "manager": "tunewright",
    "operation": "Apply",
    "fieldsV1": {"f:data": {"f:config.json": {}}, "f:metadata": {"f:labels": {"f:a": {}}}},
}


def config_map(data="x", *, labels=None, deleting=False, managed=(APPLIED,)):
    meta = {"name": "bot-config", "uid": "1", "labels": labels or {"a": "b"}, "managedFields": list(managed)}
    return {"kind": "ConfigMap", "metadata": meta | ({"deletionTimestamp": "now"} if deleting else {}), "data": {"config.json": data}}


def job(*, suspend=None, condition="", labels=None, managers=(), deleting=False, ended="", noted="", **spec):
    meta = {
        "name": "bot-check",
        "uid": "2",
        "labels": labels or {},
        "annotations": {name: said for name, said in (("ended", ended), ("noted", noted)) if said},
    }
    meta["managedFields"] = [{"manager": name, "operation": "Update", "fieldsV1": {"f:spec": {"f:suspend": {}}}} for name in managers]
    return {
        "kind": "Job",
        "metadata": meta | ({"deletionTimestamp": "now"} if deleting else {}),
        "spec": spec | ({} if suspend is None else {"suspend": suspend}),
        "status": {"conditions": [{"type": condition, "status": "True"}]} if condition else {},
    }


QUEUED = {"kueue.x-k8s.io/queue-name": "gpus"}


@pytest.mark.parametrize(
    ("expected", "rendered", "live"),
    [
        pytest.param(Action.CREATE, config_map(), None, id="nothing is there"),
        pytest.param(Action.KEEP, config_map(), config_map(), id="it is as rendered"),
        pytest.param(Action.APPLY, config_map(), config_map("edited"), id="somebody edited it"),
        pytest.param(Action.APPLY, config_map(), config_map(labels={"c": "d"}), id="somebody took a label off"),
        pytest.param(Action.KEEP, config_map(), config_map(labels={"a": "b", "c": "d"}), id="somebody put a label on"),
        pytest.param(Action.APPLY, config_map(), config_map(managed=()), id="it was not applied by us"),
        pytest.param(Action.KEEP, config_map(), config_map("edited", deleting=True), id="it is being deleted"),
        pytest.param(Action.CREATE, job(suspend=False), None, id="a Job that is not there"),
        pytest.param(Action.KEEP, job(suspend=False), job(suspend=False), id="a Job that runs"),
        pytest.param(Action.KEEP, job(suspend=False), job(), id="a Job whose `suspend` is left out"),
        pytest.param(Action.KEEP, job(suspend=False, template="new"), job(suspend=False, template="old"), id="a template is never changed"),
        pytest.param(Action.LABEL, job(labels={"a": "b"}), job(labels={"c": "d"}), id="a Job whose label was taken off"),
        pytest.param(Action.SUSPEND, job(suspend=True), job(suspend=False), id="a Job to suspend"),
        pytest.param(Action.SUSPEND, job(suspend=False), job(suspend=True, managers=["tunewright"]), id="a Job to resume"),
        pytest.param(
            Action.SUSPEND, job(suspend=False), job(suspend=True, managers=["kubectl-edit"]), id="a Job that a person has stopped"
        ),
        pytest.param(Action.KEEP, job(suspend=False), job(suspend=True), id="a Job that a webhook has stopped when it was made"),
        pytest.param(Action.KEEP, job(), job(suspend=True), id="a queued Job is Kueue's to release"),
        pytest.param(Action.KEEP, job(suspend=False), job(suspend=True, labels=QUEUED), id="a Job that got a queue by somebody's hand"),
        pytest.param(
            Action.KEEP, job(suspend=False), job(suspend=True, managers=["kueue-admission"]), id="a Job that Kueue took without a request"
        ),
        pytest.param(Action.KEEP, job(suspend=True), job(suspend=False, labels=QUEUED), id="a queued Job that Kueue would start again"),
        pytest.param(Action.KEEP, job(suspend=True), job(suspend=False, condition="Failed"), id="an attempt that failed is history"),
        pytest.param(Action.KEEP, job(suspend=True), job(suspend=False, condition="Complete"), id="a Job that is done"),
        pytest.param(Action.KEEP, job(suspend=True), job(suspend=False, deleting=True), id="a Job that is being deleted"),
        pytest.param(Action.END, job(suspend=True, ended="done"), job(suspend=False), id="a Job whose pods an injected container keeps"),
        pytest.param(Action.KEEP, job(suspend=True, ended="done"), job(suspend=True, ended="done"), id="it was ended before"),
        pytest.param(Action.KEEP, job(suspend=True, ended="done"), job(suspend=False, condition="Complete"), id="it ended by itself"),
        pytest.param(Action.NOTE, job(noted="a pod was deleted"), job(), id="a Job whose pod was deleted"),
        pytest.param(Action.KEEP, job(noted="a pod was deleted"), job(noted="a pod was deleted"), id="it was noted before"),
        pytest.param(Action.KEEP, job(noted="a pod was deleted"), job(condition="Failed"), id="the Job has failed"),
        pytest.param(Action.NOTE, job(), job(noted="a pod was deleted"), id="the note is no longer needed"),
        pytest.param(Action.KEEP, job(), job(noted="a pod was deleted", condition="Failed"), id="a Job that has failed keeps its note"),
    ],
)
def test_the_action_for_a_child(expected, rendered, live):
    assert decide(rendered, live, manager="tunewright", may_suspend=may_suspend, ended="ended", noted="noted") is expected


LIVE = {"metadata": {"uid": "1", "resourceVersion": "7"}}


class Clashing:
    """An API server that refuses what applying would make of an object."""

    def __init__(self, reason):
        self.reason, self.merged = reason, None

    async def apply(self, manifest, *, force):
        raise Rejected(f"apply {manifest['kind']}: no", reason=self.reason)

    async def merge(self, kind, namespace, name, patch):
        self.merged = (kind, namespace, name, patch)
        return patch


class Lenient:
    """An API server on which an apply leaves what others have set."""

    def __init__(self, others):
        self.others, self.merged = others, None

    async def apply(self, manifest, *, force):
        assert manifest["metadata"]["resourceVersion"] == "7"
        return {
            **manifest,
            "metadata": {**manifest["metadata"], "resourceVersion": "8", "managedFields": [APPLIED]},
            "spec": {**self.others, **manifest["spec"]},
        }

    async def merge(self, kind, namespace, name, patch):
        assert patch["metadata"]["resourceVersion"] == "8"
        self.merged = patch["spec"]
        return patch


@pytest.mark.parametrize(
    ("expected", "others"),
    [
        pytest.param({"n": 1, "egress": None}, {"egress": [{}]}, id="what opens a way is taken off"),
        pytest.param(None, {"egress": []}, id="what opens nothing stays"),
        pytest.param(None, {"sessionAffinity": "None"}, id="a default stays"),
    ],
)
async def test_an_apply_removes_access_that_others_have_added(expected, others):
    rendered = {"kind": "NetworkPolicy", "metadata": {"name": "bot", "namespace": "demo", "labels": {"a": "b"}}, "spec": {"n": 1}}
    rendered["data"] = {"config.json": ""}  # as in APPLIED
    client = Lenient(others)
    await carry_out(Action.APPLY, client, rendered, LIVE)
    assert client.merged == expected


async def test_lists_with_conflicting_items_are_replaced():
    rendered = {
        "kind": "Service",
        "metadata": {"name": "bot-serve", "namespace": "demo"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
    bound = {**rendered, "metadata": {**rendered["metadata"], **LIVE["metadata"]}}
    client = Clashing("RefusedByCluster")
    assert await carry_out(Action.APPLY, client, rendered, LIVE) == bound
    assert client.merged == ("Service", "demo", "bot-serve", bound)
    client = Clashing("QuotaExceeded")
    with pytest.raises(Rejected):
        await carry_out(Action.APPLY, client, rendered, LIVE)
    assert client.merged is None
