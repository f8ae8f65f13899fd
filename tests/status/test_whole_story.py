"""A job from its first reconcile to its server, through the real pure rooms: plan, render, observe, summarise. Only the pods are made up."""

from typing import Any

import pytest
from child_builders import COMPLETE
from status_builders import CHECKED, EXPORTED, NOON, TRAINED, a_job

from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.observe import observe
from tunewright.plan.inputs import Defaults, Missing, References
from tunewright.plan.names import revision_of
from tunewright.plan.plan import plan
from tunewright.plan.rollout import PublishedModel
from tunewright.render import render
from tunewright.status import summarise
from tunewright_contract.reports import Failure, dump

FOLDERS = {"/home/ada/base-model": "/home/ada/base-model", "/home/ada/data/train.jsonl": "/home/ada/data/train.jsonl"}


class Machine:
    """Stores rendered objects, as an API server would, and lets a test end Jobs."""

    def __init__(self, job) -> None:
        self.job = job
        self.children: dict[tuple[str, str], dict[str, Any]] = {}
        self.status: dict[str, Any] | None = None
        self.served: PublishedModel | Missing | None = None  # what is found of `serving.modelRef`

    def reconcile(self) -> str:
        seen = observe(list(self.children.values()), revision=revision_of(self.job))
        decided = plan(self.job, References(folders=FOLDERS, host_paths=True, served=self.served), seen.past, Defaults())
        rendered = {(item["kind"], item["metadata"]["name"]): item for item in render(decided).children}
        pods = {key: child for key, child in self.children.items() if key[0] == "Pod"}
        self.children = {key: item | {"status": self.children.get(key, {}).get("status", {})} for key, item in rendered.items()} | pods
        self.status = summarise(
            self.job, decided, seen, serving=render(decided).serving, progress=None, now=NOON, previous=self.status
        ).wire()
        return f"{self.status['phase']}: {self.status['reason']}"

    def end(self, name: str, code: int, message: str) -> None:
        """End a Job with one pod that has this report."""
        job = self.children["Job", name]
        template = job["spec"]["template"]
        terminated = {"exitCode": code, "message": message, "finishedAt": "2026-01-01T12:00:00Z"}
        container = {"name": template["spec"]["containers"][0]["name"], "state": {"terminated": terminated}}
        phase = "Failed" if code else "Succeeded"
        self.children["Pod", f"{name}-0"] = {
            "kind": "Pod",
            "metadata": {"name": f"{name}-0", "labels": template["metadata"]["labels"]},
            "status": {"phase": phase, "containerStatuses": [container]},
        }
        job["status"] = {"conditions": [{"type": "Failed" if code else "Complete", "status": "True"}]}

    def serve(self) -> None:
        status = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
        self.children["Deployment", "support-bot-serve"]["status"] = status | {"conditions": [COMPLETE]}

    def refuse(self, failure: Failure) -> None:
        """Let a new server beside the one that serves answer wrongly."""
        deployment = self.children["Deployment", "support-bot-serve"]
        deployment["status"] = {"replicas": 2, "updatedReplicas": 1, "readyReplicas": 1, "conditions": [COMPLETE]}
        ended = {"terminated": {"exitCode": 65, "message": dump(failure)}}
        self.children["Pod", "new"] = {
            "kind": "Pod",
            "metadata": deployment["spec"]["template"]["metadata"] | {"name": "new"},
            "status": {"phase": "Running", "containerStatuses": [{"name": "server", "state": {"running": {}}, "lastState": ended}]},
        }

    def ask(self, **serving: Any) -> None:
        """Change the job's `spec.serving`."""
        spec = self.job.spec.model_copy(update={"serving": ServingSpec(**serving)})
        self.job = self.job.model_copy(update={"spec": spec})

    def image(self) -> str:
        return self.children["Deployment", "support-bot-serve"]["spec"]["template"]["spec"]["containers"][0]["image"]

    def jobs(self) -> list[str]:
        return sorted(name for kind, name in self.children if kind == "Job")


@pytest.fixture
def machine() -> Machine:
    return Machine(a_job())


def failure(reason: str) -> str:
    return dump(Failure(reason=reason, message="it happened", suggestion="Do this."))


def test_every_stage_succeeds(machine):
    told = [machine.reconcile()]
    machine.end("support-bot-check", 0, dump(CHECKED))
    told += [machine.reconcile(), machine.reconcile()]
    machine.end("support-bot-train-0", 0, dump(TRAINED))
    told.append(machine.reconcile())
    machine.end("support-bot-export", 0, dump(EXPORTED))
    told.append(machine.reconcile())
    machine.serve()
    told.append(machine.reconcile())
    assert told == [
        "Checking: Pending",
        "Training: Pending",
        "Training: Pending",
        "Exporting: Pending",
        "Deploying: Pending",
        "Serving: Serving",
    ]
    assert machine.status["serving"]["url"] == "http://support-bot-serve.default.svc"


def test_a_serving_job_does_not_change(machine):
    test_every_stage_succeeds(machine)
    status, children = machine.status, dict(machine.children)
    machine.reconcile()
    assert (machine.status, machine.children) == (status, children)


def test_unusable_data_fails_the_job_before_training(machine):
    machine.reconcile()
    machine.end("support-bot-check", 65, failure("DataInvalid"))
    assert machine.reconcile() == "Failed: DataInvalid"
    assert machine.jobs() == ["support-bot-check"]
    assert machine.status["failure"]["suggestion"].startswith("Do this. A retry alone does not help")


def test_a_gang_with_a_temporary_failure_is_retried(machine):
    machine.reconcile()
    machine.end("support-bot-check", 0, dump(CHECKED))
    machine.reconcile()
    machine.end("support-bot-train-0", 75, failure("DiskFull"))
    assert machine.reconcile() == "Training: Retrying"
    assert machine.reconcile() == "Training: Pending"
    assert machine.jobs() == ["support-bot-check", "support-bot-train-0", "support-bot-train-1"]
    assert machine.status["attempts"] == 2


def test_retries_of_a_gang_are_limited(machine):
    machine.reconcile()
    machine.end("support-bot-check", 0, dump(CHECKED))
    told = []
    for attempt in range(4):
        machine.reconcile()
        machine.end(f"support-bot-train-{attempt}", 75, failure("DiskFull"))
        told.append(machine.reconcile())
    assert told == ["Training: Retrying"] * 3 + ["Failed: DiskFull"]  # backoffLimit is 3


def test_stops_after_saving_are_not_limited(machine):
    machine.reconcile()
    machine.end("support-bot-check", 0, dump(CHECKED))
    for attempt in range(8):
        machine.reconcile()
        machine.end(f"support-bot-train-{attempt}", 143, failure("Stopped"))
        assert machine.reconcile() == "Training: Retrying"


def test_a_suspended_job_is_checked_and_then_suspended(machine):
    machine.job = machine.job.model_copy(update={"spec": machine.job.spec.model_copy(update={"suspend": True})})
    assert machine.reconcile() == "Checking: Pending"
    machine.end("support-bot-check", 0, dump(CHECKED))
    assert [machine.reconcile(), machine.reconcile()] == ["Suspended: Suspended", "Training: Suspending"]
    gang = machine.children["Job", "support-bot-train-0"]
    assert gang["spec"]["suspend"] is True
    gang["status"] = {"conditions": [{"type": "Suspended", "status": "True"}]}  # as its controller does, once no pod is left
    assert machine.reconcile() == "Suspended: Suspended"


@pytest.fixture
def serving(machine) -> Machine:
    machine.reconcile()
    for name, report in (("check", CHECKED), ("train-0", TRAINED), ("export", EXPORTED)):
        machine.end(f"support-bot-{name}", 0, dump(report))
        machine.reconcile()
    machine.serve()
    assert machine.reconcile() == "Serving: Serving"
    return machine


WRONG = Failure(reason="SmokeTestFailed", message="the model answered nothing", suggestion="Train it.")


def test_an_update_is_rolled_out_and_the_previous_revision_is_kept(serving):
    first, image = serving.status["serving"]["revision"], serving.image()
    serving.ask(image="server:2")
    assert serving.reconcile() == "Deploying: Pending"  # not the wanted revision yet, although all servers are ready
    assert serving.image() == "server:2"
    serving.children["Deployment", "support-bot-serve"]["status"] |= {"replicas": 2}
    assert serving.reconcile() == "Deploying: Pending"
    assert serving.status["serving"]["revision"] == first
    serving.serve()
    assert serving.reconcile() == "Serving: Serving"
    found = serving.status["serving"]
    assert found["revision"] != first
    assert (found["previousRevision"], found["url"]) == (first, "http://support-bot-serve.default.svc")
    serving.ask(image=image)
    serving.reconcile()
    serving.serve()
    serving.reconcile()
    assert (serving.status["serving"]["revision"], serving.status["serving"]["previousRevision"]) == (first, found["revision"])


def test_a_failed_update_is_rolled_back_until_another_revision_is_requested(serving):
    first, image = serving.status["serving"]["revision"], serving.image()
    serving.ask(image="server:broken")
    serving.reconcile()
    serving.refuse(WRONG)
    assert serving.reconcile() == "Deploying: SmokeTestFailed"
    assert serving.image() == image
    assert serving.status["failure"]["reason"] == "SmokeTestFailed"
    del serving.children["Pod", "new"]
    serving.serve()
    told = [serving.reconcile() for _ in range(3)]  # the same for every caller, however often it reconciles
    assert told == ["Serving: RolledBack"] * 3
    assert serving.image() == image
    found = serving.status
    assert found["serving"]["revision"] == first
    assert found["serving"]["rolledBackRevision"] not in (None, first)
    assert found["failure"]["reason"] == "SmokeTestFailed"
    assert {item["type"]: (item["status"], item["reason"]) for item in found["conditions"][:2]} == {
        "Ready": ("False", "RolledBack"),
        "Stalled": ("True", "RolledBack"),
    }
    for said in (found["serving"]["rolledBackRevision"], "the model answered nothing", "Train it."):
        assert said in found["message"]
    serving.children["Deployment", "support-bot-serve"]["status"] |= {"readyReplicas": 0}
    assert serving.reconcile() == "Failed: SmokeTestFailed"  # nothing answers any more

    serving.ask(image="server:mended")
    assert serving.reconcile() == "Deploying: Pending"
    assert serving.image() == "server:mended"
    serving.serve()
    assert serving.reconcile() == "Serving: Serving"
    assert "rolledBackRevision" not in serving.status["serving"]
    assert serving.status["serving"]["previousRevision"] == first


def test_a_first_server_that_answers_wrongly_fails_the_job(machine):
    machine.reconcile()
    for name, report in (("check", CHECKED), ("train-0", TRAINED), ("export", EXPORTED)):
        machine.end(f"support-bot-{name}", 0, dump(report))
        machine.reconcile()
    machine.refuse(WRONG)
    machine.children["Deployment", "support-bot-serve"]["status"] = {"replicas": 1, "updatedReplicas": 1}
    assert machine.reconcile() == "Failed: SmokeTestFailed"
    assert "serving" not in machine.status or "revision" not in machine.status["serving"]


NEXT = PublishedModel(job="next", revision="2", claim="next-output", path="models")
NOT_YET = Missing(field="spec.serving.modelRef.name", kind="FineTuneJob", name="next", message="it has not exported its model yet")


def test_the_model_of_another_job_is_served_once_it_is_exported(serving):
    first, before = serving.status["serving"]["revision"], serving.children["Deployment", "support-bot-serve"]
    serving.served = NOT_YET
    serving.ask(modelRef={"name": "next"})
    assert serving.reconcile() == "Deploying: ReferenceMissing"
    assert serving.children["Deployment", "support-bot-serve"] == before
    assert "FineTuneJob next: it has not exported its model yet" in serving.status["message"]
    assert serving.status["serving"]["revision"] == first  # it answers as before

    serving.served = NEXT
    assert serving.reconcile() == "Deploying: Pending"
    serving.serve()
    assert serving.reconcile() == "Serving: Serving"
    assert serving.status["serving"]["revision"].startswith("2-")
    assert serving.status["serving"]["previousRevision"] == first

    serving.served = NOT_YET  # created again, or gone: the served model continues and follows other settings
    serving.ask(modelRef={"name": "next"}, image="server:2")
    serving.reconcile()
    serving.serve()
    assert serving.reconcile() == "Serving: Serving"
    assert (serving.status["serving"]["revision"][:2], serving.image()) == ("2-", "server:2")


def test_a_failing_model_of_another_job_is_rolled_back(serving):
    first = serving.status["serving"]["revision"]
    serving.served = NEXT
    serving.ask(modelRef={"name": "next"})
    serving.reconcile()
    serving.refuse(WRONG)
    serving.reconcile()
    assert "tunewright.io/model" not in serving.children["Deployment", "support-bot-serve"]["metadata"]["annotations"]
    serving.serve()
    assert serving.reconcile() == "Serving: RolledBack"
    assert (serving.status["serving"]["revision"], serving.status["serving"]["rolledBackRevision"][:2]) == (first, "2-")


def test_without_a_server_the_job_waits_for_another_jobs_model(machine):
    machine.ask(modelRef={"name": "next"})
    machine.served = NOT_YET
    machine.reconcile()
    for name, report in (("check", CHECKED), ("train-0", TRAINED), ("export", EXPORTED)):
        machine.end(f"support-bot-{name}", 0, dump(report))
        told = machine.reconcile()
    assert (told, machine.reconcile()) == ("Deploying: ReferenceMissing",) * 2
    assert ("Deployment", "support-bot-serve") not in machine.children
    machine.served = NEXT
    machine.reconcile()
    machine.serve()
    assert machine.reconcile() == "Serving: Serving"
