"""References of a job, looked up in a dictionary as the cluster: missing objects, and the access modes of claims."""

from typing import Any

import pytest

from tunewright.api.v1alpha1.job import parse
from tunewright.kube.references import look_up
from tunewright_runtime.errors import Forbidden


class Holding:
    """A client of a cluster that holds a few objects, some of which may not be read."""

    def __init__(self, *held: dict[str, Any], forbidden: tuple[str, ...] = ()) -> None:
        self.held = {(item["kind"], item["metadata"]["name"]): item for item in held}
        self.forbidden, self.asked = forbidden, []

    async def get(self, kind: str, namespace: str, name: str) -> Any:
        self.asked.append((kind, name))
        if kind in self.forbidden:
            raise Forbidden("lacks this permission")
        return self.held.get((kind, name))


def a_job(**workers):
    return parse(
        {
            "apiVersion": "tunewright.io/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "bot", "namespace": "demo"},
            "spec": {
                "task": "ChatCompletion",
                "model": {"source": {"pvc": {"claimName": "shelf", "path": "base"}}},
                "data": {"train": [{"source": {"pvc": {"claimName": "shelf", "path": "a.jsonl"}}}, {"source": {"configMap": CHAT}}]},
                "workers": workers,
            },
        }
    )


CHAT = {"name": "chat", "key": "train.jsonl"}
SHELF = {"kind": "PersistentVolumeClaim", "metadata": {"name": "shelf"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
TEXTS = {"kind": "ConfigMap", "metadata": {"name": "chat"}, "data": {"train.jsonl": "{}"}}
ACCOUNT = {"kind": "ServiceAccount", "metadata": {"name": "trainer"}}
PULL = {"kind": "Secret", "metadata": {"name": "registry"}, "data": {".dockerconfigjson": "e30="}}
PRIVATE = {"serviceAccountName": "trainer", "imagePullSecrets": ["registry"]}


@pytest.mark.parametrize(
    ("expected", "way_out", "workers", "held"),
    [
        pytest.param([], "", {}, [SHELF, TEXTS], id="all is there"),
        pytest.param([], "", PRIVATE, [SHELF, TEXTS, ACCOUNT, PULL], id="with an account and a pull secret"),
        pytest.param(["spec.model.source.pvc.claimName"], "create it, or name another", {}, [TEXTS], id="a claim named twice is one claim"),
        pytest.param(["spec.data.train[1].source.configMap"], "does not exist", {}, [SHELF], id="a ConfigMap"),
        pytest.param(["spec.data.train[1].source.configMap"], "has no key train.jsonl", {}, [SHELF, TEXTS | {"data": {}}], id="its key"),
        pytest.param(
            ["spec.workers.imagePullSecrets[0]"],
            "kubectl create secret docker-registry",
            PRIVATE,
            [SHELF, TEXTS, ACCOUNT],
            id="a pull secret",
        ),
        pytest.param(
            ["spec.workers.serviceAccountName"], "kubectl create serviceaccount trainer", PRIVATE, [SHELF, TEXTS, PULL], id="an account"
        ),
    ],
)
async def test_missing_references_are_named_with_field_and_way_out(expected, way_out, workers, held):
    found = await look_up(Holding(*held), a_job(**workers))
    assert [missing.field for missing in found.missing] == expected
    assert all(way_out in missing.message for missing in found.missing)


LENT = {"kind": "Secret", "metadata": {"name": "proxy"}, "data": {"user": "eA=="}}
CA = {"kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": "x"}}
SHELF_B = SHELF | {"metadata": {"name": "b"}}


def variable(kind, name, key, **more):
    return {"env": [{"name": "A", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key, **more}}}]}


def volume(**source):
    return {"volumes": [{"name": "a", **source}]}


@pytest.mark.parametrize(
    ("expected", "way_out", "workers"),
    [
        ([], "", variable("secret", "proxy", "user")),
        (["env[0].valueFrom.secretKeyRef"], "has no key password; kubectl create secret generic proxy", variable("secret", "proxy", "password")),
        (["env[0].valueFrom.secretKeyRef"], "does not exist", variable("secret", "other", "user")),
        ([], "", variable("secret", "other", "user", optional=True)),
        (["env[0].valueFrom.configMapKeyRef"], "has no key x", variable("configMap", "ca", "x")),
        ([], "", variable("configMap", "other", "x", optional=True)),
        ([], "", volume(secret={"secretName": "proxy"})),
        (["volumes[0].secret"], "kubectl create secret generic other", volume(secret={"secretName": "other"})),
        ([], "", volume(secret={"secretName": "other", "optional": True})),
        (["volumes[0].secret"], "has no key b", volume(secret={"secretName": "proxy", "items": [{"key": "user", "path": "a"}, {"key": "b", "path": "b"}]})),
        ([], "", volume(configMap={"name": "ca"})),
        (["volumes[0].configMap"], "does not exist", volume(configMap={"name": "other"})),
        ([], "", volume(configMap={"name": "other", "optional": True})),
        ([], "", volume(persistentVolumeClaim={"claimName": "b"})),
        (["volumes[0].persistentVolumeClaim.claimName"], "no such claim", volume(persistentVolumeClaim={"claimName": "c"})),
        ([], "", volume(emptyDir={}) | {"env": [{"name": "A", "value": "1"}]}),
        (["imagePullSecrets[1]"], "kubectl create secret docker-registry gone", {"imagePullSecrets": ["proxy", {"name": "gone"}]}),
    ],
)  # fmt: skip
async def test_what_a_stage_names_in_env_and_volumes_must_exist(expected, way_out, workers):
    found = await look_up(Holding(SHELF, SHELF_B, TEXTS, LENT, CA), a_job(**workers))
    assert [missing.field for missing in found.missing] == [f"spec.workers.{field}" for field in expected]
    assert all(way_out in missing.message for missing in found.missing)


async def test_references_that_may_not_be_read_are_left_to_the_kubelet():
    found = await look_up(Holding(SHELF, TEXTS, forbidden=("Secret", "ServiceAccount")), a_job(**PRIVATE))
    assert found.missing == ()


async def test_each_claim_is_looked_up_once():
    cluster = Holding(SHELF, TEXTS)
    await look_up(cluster, a_job())
    assert cluster.asked == [("PersistentVolumeClaim", "shelf"), ("ConfigMap", "chat")]


@pytest.mark.parametrize(
    ("expected", "claim"),
    [
        (("ReadWriteOnce",), SHELF),
        (("ReadWriteOnce", "ReadOnlyMany"), SHELF | {"status": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}}),
        ((), {"kind": "PersistentVolumeClaim", "metadata": {"name": "shelf"}}),
    ],
)
async def test_access_modes_are_those_of_the_volume_or_else_of_the_claim(expected, claim):
    assert (await look_up(Holding(claim, TEXTS), a_job())).claims == {"shelf": expected}
