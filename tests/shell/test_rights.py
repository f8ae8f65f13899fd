"""A right that the operator lacks: the job's status names it, other jobs continue, and the job continues when the right is granted."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from operator_nursery import ForkedOperator, Nursery
from status_builders import CHECKED
from waiting import until

RBAC = "rbac.authorization.k8s.io/v1"
READ = ("get", "list", "watch")
ALL = (*READ, "create", "patch", "update", "delete")
# Everything the operator needs, but for what a test takes away.
RIGHTS: Mapping[tuple[str, str], Sequence[str]] = {
    **{
        ("", resource): ALL
        for resource in ("configmaps", "persistentvolumeclaims", "services", "pods", "events", "secrets", "serviceaccounts")
    },
    **{(group, "*"): ALL for group in ("tunewright.io", "batch", "apps", "networking.k8s.io", "policy", "authentication.k8s.io")},
}


class Rights:
    """What one user may do in the whole cluster."""

    def __init__(self, api: Any, user: str) -> None:
        self._api, self.user = api, user
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}
        self._apply({"kind": "ClusterRoleBinding", "subjects": [subject], "roleRef": role})

    def are(self, rights: Mapping[tuple[str, str], Sequence[str]]) -> None:
        rules = [{"apiGroups": [group], "resources": [kind], "verbs": list(verbs)} for (group, kind), verbs in rights.items() if verbs]
        self._apply({"kind": "ClusterRole", "rules": rules})

    def end(self) -> None:
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            if self._api.get(RBAC, kind, self.user) is not None:
                self._api.delete(RBAC, kind, self.user)

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        made = self._api.apply({"apiVersion": RBAC, "metadata": {"name": self.user}, **manifest}, keep=True)
        assert made.accepted, made.message


@pytest.fixture
def rights(control_plane: Any, namespace: str) -> Iterator[Rights]:
    if control_plane.plane is None:
        pytest.skip("a user with rights of its own needs a control plane of ours")
    rights = Rights(control_plane.api, f"operator-of-{namespace}")
    yield rights
    rights.end()


@pytest.fixture
def operator(control_plane: Any, rights: Rights, namespace: str, nursery: Nursery, tmp_path: Path) -> ForkedOperator:
    return ForkedOperator(nursery, control_plane.plane.kubeconfig_for(rights.user), namespace, tmp_path)


def says(scene: Any, name: str, *words: str) -> None:
    status = until(lambda: (told := scene.status(name)).get("reason") == "OperatorForbidden" and told, f"{name} says what is lacking")
    assert all(word in status["message"] for word in (*words, "check its ClusterRole")), status["message"]


def test_a_missing_right_to_create_a_child_is_in_status(operator, rights, make_scene):
    rights.are({**RIGHTS, ("", "services"): READ})
    with operator:
        scene = make_scene(operator)
        scene.create_job()
        scene.kubelet.end("checker", CHECKED)
        says(scene, "bot", "patch", "services")
        assert operator.get("/livez") == 200
        scene.create_job("other")
        scene.reaches("Checking", "other")
        rights.are(RIGHTS)
        scene.reaches("Training")


def test_a_missing_right_to_read_children_is_in_status(operator, rights, make_scene):
    rights.are({**RIGHTS, ("policy", "*"): ()})
    with operator:
        scene = make_scene(operator)
        scene.create_job()
        says(scene, "bot", "list", "poddisruptionbudgets")
        assert scene.names("batch/v1", "Job") == []  # nothing is decided in the dark
        rights.are(RIGHTS)
        scene.reaches("Checking")
