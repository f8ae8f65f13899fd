"""A stage fails or hangs on a real API server, its suggestion in status is followed, and the job reaches its next stage.

The table has a row for each reason and way out. Only a kubelet reports how pods end, so `FakeKubelet` writes their statuses.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from operator_process import OperatorProcess
from pod_reports import mounted_audience, post, token_of, url_of
from scene import Scene
from stage_scenes import change, patch, to_export, to_training
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.plan.label_names import RETRY
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure
from tunewright_trainer.common.exits import failure, stage_error

FULL = failure(stage_error(OSError(errno.ENOSPC, "No space left on device")))
BROKEN = Failure(reason="DataInvalid", message="train.jsonl line 3: no role", suggestion="Correct the line.")
BIG = {"limits": {"cpu": "1", "memory": "8Gi"}}
ANNOTATION = "set another value of the annotation tunewright.io/retry"
PODS = {"checker": (1, 3), "trainer": (2, 1), "exporter": (1, 3)}  # of a stage: at once, and one after the other until it has failed
REPORTS = {"checker": CHECKED, "trainer": TRAINED, "exporter": EXPORTED}
NEXT = {"checker": "Training", "trainer": "Exporting", "exporter": "Complete"}
Step = Callable[[Scene, str], None]


@pytest.fixture(scope="module")
def scene(control_plane: Any, definition: None, shared_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One operator for the jobs of all rows."""
    with OperatorProcess(control_plane.kubeconfig, shared_namespace, tmp_path_factory.mktemp("advice")) as operator:
        kubelet = FakeKubelet(control_plane.api, shared_namespace)
        yield Scene(api=control_plane.api, namespace=shared_namespace, operator=operator, kubelet=kubelet, audit=control_plane.audit)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault, and what its suggestion tells the user to do."""

    reason: str
    at: str  # the component of the stage
    fault: Callable[[Scene, str, str], None]  # of one set of pods of the stage: (scene, job, component)
    words: str  # in the suggestion
    step: Step | None  # None: nothing to do
    spec: dict[str, Any]
    once: bool = False  # the first set of pods with the fault ends the stage


def ends(**how: Any) -> Callable[[Scene, str, str], None]:
    """Return the fault of pods that end without a report."""
    return lambda scene, job, component: scene.kubelet.fail(component, count=PODS[component][0], job=job, **how)


def reports(report: Any, code: int) -> Callable[[Scene, str, str], None]:
    """Return the fault of pods that end with a report."""
    return lambda scene, job, component: scene.kubelet.end(component, report, code=code, count=PODS[component][0], job=job)


def outlasts(_scene: Scene, _job: str, _component: str) -> None:
    """The pods do nothing, until the Job controller ends their Job."""


def loses_its_pods(scene: Scene, job: str, component: str) -> None:
    """The pods fail for good, and are then deleted, as by a garbage collector."""
    reports(BROKEN, ExitCode.DATA)(scene, job, component)
    scene.reaches("Failed", job)
    selector = f"tunewright.io/component={component},tunewright.io/job-name={job}"
    for pod in scene.api.list("v1", "Pod", scene.namespace, selector=selector):
        scene.api.delete("v1", "Pod", pod["metadata"]["name"], scene.namespace)


def sets(**spec: Any) -> Step:
    return lambda scene, job: change(scene, job, spec)


def annotates(scene: Scene, job: str) -> None:
    patch(scene, job, {"metadata": {"annotations": {RETRY: "the cause is removed"}}})


def row(reason: str, at: str, fault: Any, words: str, step: Step | None, *, once: bool = False, **spec: Any) -> Any:
    found = Row(reason=reason, at=at, fault=fault, words=words, step=step, spec={"backoffLimit": 0} | spec, once=once)
    return pytest.param(found, id=f"{reason} of the {at}: {words}")


KILLED = ends(code=137, reason="OOMKilled")
FILLED = reports(FULL, ExitCode.RETRY)
EVICTED = ends(evicted="The node was low on resource: ephemeral-storage")
NO_TIME = {"activeDeadlineSeconds": 1}

ROWS = [
    row("OutOfMemory", "checker", KILLED, "resources.limits.memory", sets(check={"resources": BIG})),
    row("OutOfMemory", "trainer", KILLED, "resources.limits.memory", sets(workers={"resources": BIG})),
    row("OutOfMemory", "trainer", KILLED, "add workers", sets(workers={"replicas": 4}), training={"perDeviceTrainBatchSize": 2}),
    row("OutOfMemory", "exporter", KILLED, "resources.limits.memory", sets(export={"resources": BIG})),
    row("ProcessFailed", "checker", ends(code=1), ANNOTATION, annotates),
    row("ProcessFailed", "trainer", ends(code=1), "spec.backoffLimit. To continue from the last checkpoint, raise it", sets(backoffLimit=1)),
    row("ProcessFailed", "exporter", ends(code=1), ANNOTATION, annotates),
    row("Stopped", "exporter", ends(code=143), "Nothing to do", None, once=True),
    row("Evicted", "trainer", EVICTED, "raise the stage's resources", sets(workers={"resources": {"limits": {"ephemeral-storage": "90Gi"}}})),
    row("Evicted", "exporter", EVICTED, "raise the stage's resources", sets(export={"resources": {"limits": {"ephemeral-storage": "90Gi"}}})),
    row("Evicted", "checker", EVICTED, ANNOTATION, annotates),
    row("DeadlineExceeded", "checker", outlasts, "Raise spec.activeDeadlineSeconds", sets(activeDeadlineSeconds=10**6), once=True, **NO_TIME),
    row("JobFailed", "checker", loses_its_pods, ANNOTATION, annotates, once=True),
    row("JobFailed", "exporter", loses_its_pods, ANNOTATION, annotates, once=True),
    row("ReportInvalid", "trainer", reports(EXPORTED, 0), "workers.image", sets(workers={"image": "registry.example/trainer:2"})),
    row("ReportInvalid", "checker", reports(EXPORTED, 0), ANNOTATION, annotates, once=True),
    row("ReportMissing", "trainer", ends(), "workers.image", sets(workers={"image": "registry.example/trainer:2"})),
    row("ReportMissing", "exporter", ends(), ANNOTATION, annotates, once=True),
    row("DiskFull", "checker", FILLED, ANNOTATION, annotates),
    row("DiskFull", "trainer", FILLED, ANNOTATION, annotates),
    row("DiskFull", "trainer", FILLED, "raise it", sets(backoffLimit=1)),
    row("DiskFull", "exporter", FILLED, ANNOTATION, annotates),
    row("DataInvalid", "checker", reports(BROKEN, ExitCode.DATA), "After a correction outside of the job's inputs", annotates, once=True),
]  # fmt: skip


@pytest.fixture
def job(request: pytest.FixtureRequest) -> str:
    """Return a name for the job of this row."""
    return f"j{request.node.callspec.indices['of']}"


def bring_to(scene: Scene, job: str, component: str, spec: dict[str, Any]) -> None:
    {"checker": Scene.create_job, "trainer": to_training, "exporter": to_export}[component](scene, job, **spec)


@pytest.mark.parametrize("of", ROWS)
def test_the_suggestion_for_a_failed_stage_leads_to_the_next_stage(scene, of, job):
    bring_to(scene, job, of.at, of.spec)
    for _ in range(1 if of.once else PODS[of.at][1]):
        of.fault(scene, job, of.at)

    def shown() -> bool:
        status = scene.status(job)
        failed = of.step is None or status.get("phase") == "Failed"
        return failed and (status.get("failure") or {}).get("reason") == of.reason

    until(shown, f"status has {of.reason}")
    assert of.words in scene.status(job)["failure"]["suggestion"]
    if of.step is not None:
        of.step(scene, job)
    later = {} if of.at != "trainer" else {"attempt": 1}
    count = scene.get("tunewright.io/v1alpha1", "FineTuneJob", job)["spec"]["workers"]["replicas"] if later else 1
    scene.kubelet.end(of.at, REPORTS[of.at], count=count, job=job, **later)
    scene.reaches(NEXT[of.at], job)
    assert "failure" not in scene.status(job)


def hang(scene: Scene, job: str) -> list[Any]:
    """Start a gang that makes no step; return its pods."""
    to_training(scene, job, progressDeadlineSeconds=6)
    scene.kubelet.serve("trainer", count=2, job=job)
    return list(scene.kubelet.wait_for("trainer", 2, job=job))


def report(scene: Scene, pod: Any) -> None:
    assert post(url_of(pod), token_of(scene, pod, mounted_audience(pod))) in {200, 429}


def restart(scene: Scene, job: str) -> None:
    """Suspend the job, and resume it when it is suspended."""
    change(scene, job, {"suspend": True})
    scene.reaches("Suspended", job)
    change(scene, job, {"suspend": False})


@pytest.mark.parametrize(
    ("reason", "job", "words", "step"),
    [
        ("NoProgress", "n0", "set spec.suspend to true, and to false when the phase is Suspended", restart),
        ("NoProgress", "n1", "raise spec.progressDeadlineSeconds", sets(progressDeadlineSeconds=10**6)),
        ("NoReports", "n2", "set spec.suspend to true, and then to false", restart),
    ],
)
def test_the_suggestion_for_a_gang_that_hangs_restarts_it(scene, reason, job, words, step):
    pods = hang(scene, job)

    def has_reason() -> bool:
        if reason == "NoProgress":
            report(scene, pods[0])
        return scene.status(job).get("reason") == reason

    until(has_reason, f"status has {reason}", patience=120)
    assert words in scene.status(job)["failure"]["suggestion"]
    step(scene, job)
    if step is not restart:
        until(lambda: scene.status(job).get("reason") == "Running", "the reason is gone")
    scene.kubelet.end("trainer", TRAINED, count=2, job=job)
    scene.reaches("Exporting", job)


def test_the_suggestion_for_a_server_that_crashes_is_followed_and_the_model_is_served(scene):
    to_export(scene, "s0", serving={"replicas": 1, "env": [{"name": "LEVEL", "value": "wrong"}]})
    scene.kubelet.end("exporter", EXPORTED, job="s0")
    scene.kubelet.hinder("server", waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}, job="s0")
    until(lambda: scene.status("s0").get("reason") == "CrashLoopBackOff", "status has the crash")
    assert "correct what it names, such as spec.serving" in scene.status("s0")["failure"]["suggestion"]
    change(scene, "s0", {"serving": {"env": [{"name": "LEVEL", "value": "right"}]}})

    def right() -> list[Any]:
        found = scene.kubelet.pods("server", job="s0")
        return [pod for pod in found if {"name": "LEVEL", "value": "right"} in pod["spec"]["containers"][0]["env"]]

    pod = until(right, "a server with the corrected variable")[0]
    scene.kubelet.serve_revision(pod["metadata"]["annotations"]["tunewright.io/serving-revision"])
    scene.reaches("Serving", "s0")
