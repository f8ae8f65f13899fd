"""The operator and an API server that is away, or that refuses it: it waits, and continues by itself.

Needs a control plane of our own: the operator's rights are taken away.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cuttable_line import CuttableLine
from operator_nursery import ForkedOperator, Nursery
from waiting import until

# How many attempts of the watches shall fail in all; TUNEWRIGHT_OUTAGE_TRIES=130 makes an outage of three minutes.
TRIES = int(os.environ.get("TUNEWRIGHT_OUTAGE_TRIES", "4"))
RBAC = "rbac.authorization.k8s.io/v1"


class Outage(NamedTuple):
    """An operator whose line to the API server and whose rights are in a test's hand."""

    scene: Any
    line: CuttableLine

    def failed_tries(self) -> int:
        return self.scene.operator.log.read_text().count("will retry")

    def lasts(self) -> None:
        until(lambda: self.scene.operator.ended() or self.failed_tries() >= TRIES, "the watches have tried in vain")
        assert not self.scene.operator.ended(), self.scene.operator.log.read_text()[-3000:]

    def is_over(self) -> None:
        """A job that was created meanwhile is worked on, by the very same process, and so is one created now."""
        self.scene.reaches("Checking", "meanwhile")
        self.scene.create_job("afterwards")
        self.scene.reaches("Checking", "afterwards")
        assert not self.scene.operator.ended()
        assert self.scene.operator.get("/livez") == 200


@pytest.fixture
def outage(control_plane: Any, make_scene: Any, nursery: Nursery, tmp_path: Path, namespace: str) -> Iterator[Outage]:
    if control_plane.plane is None:
        pytest.skip("this would harm a cluster that is not ours")
    user = f"operator-of-{namespace}"
    kubeconfig = control_plane.plane.kubeconfig_for(user)
    allow(control_plane.api, user)
    with (
        CuttableLine(control_plane.plane.port) as line,
        ForkedOperator(nursery, line.kubeconfig(kubeconfig), namespace, tmp_path) as operator,
    ):
        scene = make_scene(operator)
        scene.create_job("before")
        scene.reaches("Checking", "before")
        yield Outage(scene, line)
    if control_plane.api.get(RBAC, "ClusterRoleBinding", user) is not None:
        forbid(control_plane.api, user)


def allow(api: Any, user: str) -> None:
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    made = api.create(
        {"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": user}, "subjects": [subject], "roleRef": role}, keep=True
    )
    assert made.accepted, made.message


def forbid(api: Any, user: str) -> None:
    api.delete(RBAC, "ClusterRoleBinding", user)


def test_the_api_server_is_unreachable(outage):
    outage.line.cut()
    outage.scene.create_job("meanwhile")
    outage.lasts()
    outage.line.mend()
    outage.is_over()


def test_rights_are_removed_while_the_operator_runs(outage):
    user = f"operator-of-{outage.scene.namespace}"
    forbid(outage.scene.api, user)
    outage.line.break_open_connections()  # a watch that is open continues without rights; a new one does not
    outage.scene.create_job("meanwhile")
    outage.lasts()
    assert "403" in outage.scene.operator.log.read_text() or "forbidden" in outage.scene.operator.log.read_text()
    allow(outage.scene.api, user)
    outage.is_over()
