"""Injected containers, mutating policies and autoscalers, on a real API server. The kubelet is played."""

from typing import Any

from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright_contract.reports import Failure

BATCH = "batch/v1"
LOST = Failure(reason="PeerLost", message="rank 1 did not answer")


def test_a_stage_is_done_and_its_pods_end_although_a_sidecar_runs(scene: Any) -> None:
    scene.create_job()
    scene.kubelet.keep("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2, attempt=0)
    until(lambda: scene.kubelet.pods("checker") == [], "the check's pod is gone")
    scene.kubelet.keep("trainer", LOST, count=2, code=75, attempt=0)
    scene.kubelet.wait_for("trainer", 2, attempt=1)
    until(lambda: scene.kubelet.pods("trainer", attempt=0) == [], "the pods of the failed attempt are gone")
    scene.kubelet.keep("trainer", TRAINED, count=2, attempt=1)
    scene.kubelet.keep("exporter", EXPORTED)
    status = scene.reaches("Complete")
    until(lambda: scene.kubelet.pods("trainer") == scene.kubelet.pods("exporter") == [], "no pod holds an accelerator")
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-export", "bot-train-0", "bot-train-1"]  # no stage ran twice
    ends = {name: scene.get(BATCH, "Job", name) for name in scene.names(BATCH, "Job")}
    assert [name for name, job in ends.items() if job["status"].get("failed")] == ["bot-train-0"]
    assert status["progress"]["progressPercentage"] == 100
    assert any("container proxy still ran in pod" in warning for warning in status["warnings"])

    assert scene.operator.stop() == 0  # the records on the Jobs suffice
    settled = scene.audit.end()
    scene.operator.start()
    until(lambda: scene.operator.reconciles() >= 1, "the job has been looked at")
    assert (scene.writes(settled), scene.status()["phase"]) == ([], "Complete")
