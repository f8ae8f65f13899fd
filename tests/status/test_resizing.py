"""A job whose `workers.replicas` is changed while it trains, through the real pure rooms: what is rendered, and what its status says."""

from typing import Any

import pytest
from status_builders import CHECKED, EXPORTED, NOON, TRAINED, a_job

from tunewright.observe import observe
from tunewright.plan.inputs import Defaults, References
from tunewright.plan.names import revision_of
from tunewright.plan.plan import plan
from tunewright.plan.plan_types import Rejection
from tunewright.render import render
from tunewright.status import summarise
from tunewright_contract.reports import Failure, Report, dump

FOLDERS = {"/home/ada/base-model": "/home/ada/base-model", "/home/ada/data/train.jsonl": "/home/ada/data/train.jsonl"}
QUEUED = {"kueue.x-k8s.io/queue-name": "gpus"}
STOPPED = Failure(reason="Stopped", message="checkpoint-7 is saved")


class Cluster:
    """Holds Jobs as a cluster does: made once, and of those that are there only `suspend` follows what is rendered."""

    def __init__(self) -> None:
        self.job = a_job(serving=False)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.status: dict[str, Any] | None = None

    def ask(self, **changes: Any) -> None:
        """Change the job: `suspend`, or `replicas` of its workers."""
        if "replicas" in changes:
            changes["workers"] = self.job.spec.workers.model_copy(update={"replicas": changes.pop("replicas")})
        self.job = self.job.model_copy(update={"spec": self.job.spec.model_copy(update=changes)})

    def reconcile(self) -> str:
        seen = observe([*self.jobs.values(), *self.pods.values()], revision=revision_of(self.job))
        decided = plan(self.job, References(folders=FOLDERS, host_paths=True), seen.past, Defaults())
        if isinstance(decided, Rejection):
            return str(decided)
        for manifest in render(decided).children:
            if manifest["kind"] == "Job":
                there = self.jobs.setdefault(manifest["metadata"]["name"].removeprefix("support-bot-"), manifest | {"status": {}})
                there["spec"] = there["spec"] | {"suspend": manifest["spec"].get("suspend", there["spec"].get("suspend"))}
        self.status = summarise(
            self.job, decided, seen, serving=render(decided).serving, progress=None, now=NOON, previous=self.status
        ).wire()
        return f"{self.status['phase']}: {self.status['reason']}"

    def end(self, name: str, code: int, said: Report) -> None:
        """End a Job, with one pod that says this."""
        container = self.jobs[name]["spec"]["template"]["spec"]["containers"][0]["name"]
        ended = {"terminated": {"exitCode": code, "message": dump(said), "finishedAt": "2026-01-01T12:00:00Z"}}
        self.pods[name] = {
            "kind": "Pod",
            "metadata": {"name": f"{name}-0", "labels": self.jobs[name]["spec"]["template"]["metadata"]["labels"]},
            "status": {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": container, "state": ended}]},
        }
        self.jobs[name]["status"] = {"conditions": [{"type": "Failed" if code else "Complete", "status": "True"}]}

    def gangs(self) -> dict[str, tuple[int, bool]]:
        """Attempt -> number of pods, and whether they are being deleted."""
        gangs = {name: job["spec"] for name, job in self.jobs.items() if name.startswith("train")}
        return {name: (spec["completions"], spec["suspend"]) for name, spec in gangs.items()}


@pytest.fixture
def cluster() -> Cluster:
    """Two workers are training."""
    cluster = Cluster()
    cluster.ask(replicas=2)
    cluster.reconcile()
    cluster.end("check", 0, CHECKED)
    cluster.reconcile()
    cluster.jobs["train-0"]["status"] = {"active": 2}
    assert cluster.gangs() == {"train-0": (2, False)}
    return cluster


def test_a_gang_of_another_size_saves_stops_and_resumes(cluster):
    cluster.ask(replicas=1)

    assert cluster.reconcile() == "Training: Resizing"
    assert cluster.status["message"] == "train saves, stops, and resumes with 1 worker instead of 2"
    assert cluster.gangs() == {"train-0": (2, True)}
    assert cluster.reconcile() == "Training: Resizing", "its pods are saving"

    cluster.end("train-0", 143, STOPPED)
    assert cluster.reconcile() == "Training: Resizing"
    assert cluster.gangs() == {"train-0": (2, True), "train-1": (1, False)}
    assert cluster.reconcile() == "Training: Pending"
    assert {job["metadata"]["annotations"]["tunewright.io/global-batch-size"] for name, job in cluster.jobs.items() if "train" in name} == {
        "2"
    }

    cluster.end("train-1", 0, TRAINED)
    assert cluster.reconcile() == "Exporting: Pending"


def test_a_suspended_job_resumes_with_the_new_size(cluster):
    cluster.ask(suspend=True)
    cluster.reconcile()
    cluster.jobs["train-0"]["status"] = {"conditions": [{"type": "Suspended", "status": "True"}]}  # the pods have saved and are gone
    cluster.ask(replicas=1)

    assert cluster.reconcile() == "Suspended: Suspended"
    assert cluster.gangs() == {"train-0": (2, True), "train-1": (1, True)}
    cluster.ask(suspend=False)
    cluster.reconcile()
    assert cluster.gangs() == {"train-0": (2, True), "train-1": (1, False)}


def test_a_failed_job_retries_with_another_size(cluster):
    cluster.end("train-0", 64, Failure(reason="OutOfRoom", message="too big for two"))
    assert cluster.reconcile() == "Failed: OutOfRoom"
    cluster.ask(replicas=1)
    cluster.reconcile()
    assert cluster.gangs() == {"train-0": (2, True), "train-1": (1, False)}


def test_a_resize_reverted_before_the_stop_stops_no_other_gang(cluster):
    cluster.ask(replicas=1)
    cluster.reconcile()
    cluster.ask(replicas=2)
    cluster.reconcile()
    assert cluster.gangs() == {"train-0": (2, False)}


def conditions(cluster):
    return {found["type"]: (found["status"], found["reason"]) for found in cluster.status["conditions"]}


def test_a_size_that_does_not_divide_the_batch_is_refused_and_the_gang_continues(cluster):
    cluster.ask(replicas=3)
    assert cluster.reconcile() == "Training: BatchNotDivisible"
    assert cluster.gangs() == {"train-0": (2, False)}
    assert {"Stalled"}.isdisjoint(conditions(cluster))
    assert conditions(cluster)["Reconciling"] == ("True", "BatchNotDivisible")
    assert conditions(cluster)["ChangeRefused"] == ("True", "BatchNotDivisible")
    assert conditions(cluster)["Trained"] == ("Unknown", "Pending")
    assert cluster.status["message"].startswith("train is pending, unchanged: spec.workers.replicas: 3 workers cannot share the 2 examples")
    assert "use one of 1, 2" in cluster.status["message"]
    assert "failure" not in cluster.status

    cluster.ask(suspend=True)
    assert cluster.reconcile() == "Training: Suspending"
    assert conditions(cluster)["ChangeRefused"] == ("True", "BatchNotDivisible")
    cluster.ask(suspend=False)

    cluster.end("train-0", 0, TRAINED)
    assert cluster.reconcile() == "Exporting: Pending", "the number means nothing any more"
    assert "ChangeRefused" not in conditions(cluster)


@pytest.mark.parametrize("code", [75, 143], ids=["it failed", "it was stopped"])
def test_no_gang_starts_with_a_refused_or_outdated_size(cluster, code):
    cluster.ask(replicas=3)
    cluster.reconcile()
    cluster.end("train-0", code, STOPPED)
    assert "use one of 1, 2" in cluster.reconcile()
    cluster.ask(replicas=1)
    cluster.reconcile()
    assert cluster.gangs()["train-1"] == (1, False)


def test_a_gang_in_a_queue_is_not_stopped_for_a_resize(cluster):
    cluster.job = cluster.job.model_copy(update={"metadata": cluster.job.metadata.model_copy(update={"labels": QUEUED})})
    cluster.ask(replicas=1, suspend=True)
    assert cluster.reconcile() == "Training: HeldByQueue"
    assert cluster.gangs() == {"train-0": (2, False)}
    assert conditions(cluster)["ChangeRefused"] == ("True", "HeldByQueue")
    assert {"Stalled", "Suspended"}.isdisjoint(conditions(cluster))
    assert cluster.status["message"].startswith("train is pending, unchanged: spec.workers.replicas: Kueue would restart")
    assert "; spec.suspend: true would stop Jobs that Kueue restarts; leave it false" in cluster.status["message"]

    cluster.ask(replicas=2)
    assert cluster.reconcile() == "Training: HeldByQueue"
    assert cluster.status["message"].startswith("train is pending, unchanged: spec.suspend: true would stop")

    cluster.end("train-0", 143, STOPPED)
    assert cluster.reconcile() == "Training: Retrying"
    assert list(cluster.gangs()) == ["train-0", "train-1"]
    cluster.end("train-1", 0, TRAINED)
    assert cluster.reconcile() == "Exporting: HeldByQueue"
    cluster.end("export", 0, EXPORTED)
    assert cluster.reconcile() == "Complete: Complete"
    assert "ChangeRefused" not in conditions(cluster)


def test_after_training_a_resize_starts_no_gang(cluster):
    cluster.end("train-0", 0, TRAINED)
    cluster.reconcile()
    cluster.ask(replicas=3)
    assert cluster.reconcile() == "Exporting: Pending"
    assert list(cluster.gangs()) == ["train-0"]
