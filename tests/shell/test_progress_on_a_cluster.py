"""Progress reports with a real pod's token: TokenReview, audience and the pod's owner, all checked with a real API server."""

from typing import Any

import pytest
from pod_reports import mounted_audience, post, token_of, url_of
from status_builders import CHECKED
from waiting import until


@pytest.fixture
def gang(scene: Any) -> Any:
    """A job in training."""
    scene.create_job()
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2)
    return scene


def test_progress_of_a_gangs_pod_is_in_status(gang):
    pod = gang.kubelet.wait_for("trainer", 2)[0]
    assert post(url_of(pod), token_of(gang, pod, mounted_audience(pod))) == 200
    until(lambda: (gang.status().get("progress") or {}).get("progressPercentage") == 40, "the status has it")


def test_progress_of_other_pods_is_refused(gang):
    pod = gang.kubelet.wait_for("trainer", 2)[0]
    url, audience = url_of(pod), mounted_audience(pod)
    gang.create_job("other")
    (stranger,) = gang.kubelet.wait_for("checker")
    assert post(url, "made up") == 403
    assert post(url, token_of(gang, pod, "https://kubernetes.default.svc")) == 403
    assert post(url, token_of(gang, stranger, audience)) == 403  # the right audience in a pod of another job
    assert post(url.replace("/bot/", "/nobody/"), token_of(gang, pod, audience)) == 404
    assert not gang.status().get("progress")
