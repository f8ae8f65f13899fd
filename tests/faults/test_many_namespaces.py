"""An operator of sixty namespaces with the rights that the chart grants: one watch for each kind, and no access to other namespaces."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from granted import Granted, granted
from helm import Helm, helm_program, kind_of
from namespaces import new_namespace
from operator_nursery import ForkedOperator, Nursery
from scene import JOB, SPEC, Scene

from tunewright.kube.kinds import RESOURCES, WATCHED

MANY = 60


class Reading(ForkedOperator):
    """It reads the whole cluster, and compares its watches with lists every few seconds."""

    user = ""  # by which the audit log knows it

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_READ_CLUSTER": "true", "TUNEWRIGHT_RESYNC_SECONDS": "5"}


@pytest.fixture
def others(our_plane: Any, namespace: str) -> Iterator[list[str]]:
    names = [f"{namespace}-{number}" for number in range(MANY - 1)]
    for name in names:
        assert our_plane.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, keep=True).accepted
    yield names
    for name in names:
        our_plane.api.delete("v1", "Namespace", name)


@pytest.fixture
def rights(our_plane: Any, namespace: str, others: list[str], tmp_path: Path) -> Iterator[Granted]:
    rbac = {"readCluster": True, "aggregate": False}
    with granted(our_plane.api, Helm(helm_program(), tmp_path), namespace, watchNamespaces=[namespace, *others], rbac=rbac) as rights:
        yield rights


@pytest.fixture
def operator(our_plane: Any, nursery: Nursery, rights: Granted, tmp_path: Path) -> Reading:
    roles = [manifest["metadata"] for manifest in kind_of(rights.manifests, "Role")]
    watched = [role["namespace"] for role in roles if role["name"] == rights.account]
    operator = Reading(nursery, rights.kubeconfig(our_plane.plane), ",".join(watched), tmp_path)
    operator.user = rights.user
    return operator


@pytest.fixture
def scene(our_plane: Any, namespace: str, operator: Reading) -> Iterator[Scene]:
    with operator:
        kubelet = FakeKubelet(our_plane.api, namespace)
        yield Scene(api=our_plane.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=our_plane.audit)


@pytest.fixture
def unwatched(our_plane: Any) -> Iterator[str]:
    yield from new_namespace(our_plane.api)


def test_one_watch_for_each_kind_and_only_watched_namespaces(our_plane, scene, rights, unwatched):
    (role,) = [item for item in kind_of(rights.manifests, "ClusterRole") if item["metadata"]["name"].endswith(":read")]
    kinds = {(group, resource) for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list", "watch"}
    assert kinds == {(RESOURCES[kind].api_version.rpartition("/")[0], RESOURCES[kind].plural) for kind in WATCHED}

    job = {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "bot"}, "spec": SPEC}
    assert our_plane.api.create(job, unwatched, keep=True).accepted
    scene.create_job()  # its event follows the other's in the same watch
    scene.reaches("Checking")
    scene.resyncs(2, jobs=1)

    asked = scene.asked(0)
    begun = Counter(event["objectRef"]["resource"] for event in asked if event["verb"] == "watch" and event["stage"] == "ResponseStarted")
    # The API server ends the watch of a definition that was installed just now, once.
    assert begun | {"finetunejobs": 1} == {RESOURCES[kind].plural: 1 for kind in WATCHED}
    assert begun["finetunejobs"] in {1, 2}
    assert [event["requestURI"] for event in asked if event.get("responseStatus", {}).get("code") == 403] == []
    assert [event["requestURI"] for event in asked if f"/namespaces/{unwatched}" in event["requestURI"]] == []
    assert our_plane.api.get(*JOB, "bot", unwatched)["status"] == {"observedGeneration": -1}  # as the definition sets it
    assert our_plane.api.list("batch/v1", "Job", unwatched) == []
