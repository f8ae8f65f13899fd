"""Stages that a real API server would refuse are reported before training takes accelerators, by dry-run creates of their pods."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operator_nursery import ForkedOperator, Nursery
from operator_process import kubeconfig_of_its_own
from scene import JOB
from status_builders import CHECKED
from waiting import until


class Trying(ForkedOperator):
    """As the chart runs it with `rbac.tryPods`."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_TRY_PODS": "true"}


@pytest.fixture
def scene(make_scene: Any, control_plane: Any, namespace: str, nursery: Nursery, tmp_path: Path) -> Iterator[Any]:
    with Trying(nursery, kubeconfig_of_its_own(control_plane, namespace), namespace, tmp_path) as operator:
        yield make_scene(operator)


def test_an_export_above_the_limit_range_is_reported_during_check_and_stops_the_job_before_training(scene):
    most = {"limits": [{"type": "Container", "max": {"memory": "20Gi"}}]}
    made = scene.api.create(
        {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "most"}, "spec": most}, scene.namespace, keep=True
    )
    assert made.accepted, made.message
    scene.create_job(export={"resources": {"limits": {"memory": "43Gi"}, "requests": {"memory": "1Gi"}}})
    scene.reaches("Checking")
    until(lambda: scene.status().get("warnings"), "Check runs, and status has a warning")
    (warning,) = scene.status()["warnings"]
    words = ("export cannot start", "maximum memory usage per Container is 20Gi, but limit is 43Gi", "spec.export.resources")
    assert [word for word in words if word not in warning] == []

    scene.kubelet.end("checker", CHECKED)
    until(lambda: scene.status().get("reason") == "PodOutsideLimits", "the job has stopped")
    assert scene.status()["phase"] == "Failed"
    assert scene.names("batch/v1", "Job") == ["bot-check"]

    jobs = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    change = {"spec": {"export": {"resources": {"limits": {"memory": "4Gi"}}}}}  # what the message advises
    jobs.patch(name="bot", namespace=scene.namespace, body=change, content_type="application/merge-patch+json")
    scene.kubelet.wait_for("trainer", 2)
    assert "cannot start" not in str(scene.reaches("Training")["warnings"])  # those that are left are Check's
    assert [name for name in scene.names("v1", "Pod") if "trial" in name] == [], "nothing was created"
