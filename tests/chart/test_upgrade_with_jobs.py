"""`helm upgrade` with a job in each stage: nothing restarts, nothing is made again, and each job goes on.

There is no kubelet: the operator runs as a process with the settings of the release's Deployment and the rights of its service account.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from api_server import ApiServer
from control_plane import ControlPlane
from fake_kubelet import FakeKubelet
from helm import CHART, NAMESPACE, RELEASE, Helm
from namespaces import new_namespace
from operator_nursery import ForkedOperator, Nursery
from scene import Scene
from stage_scenes import change, patch, to_export, to_training
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.kube.kinds import RENDERED, RESOURCES
from tunewright.plan.label_names import RETRY, SERVING_REVISION
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure

WRONG = Failure(reason="DataInvalid", message="line 3: no role", suggestion="Correct the line.")
OLDER = "0.0.9"
NEWER = "settings.acceleratorMemory=40Gi,settings.outputSize=60Gi,settings.workers=3"


class Deployed(ForkedOperator):
    """The operator of a release, with the environment of its Deployment."""

    user = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
    deployment: Mapping[str, Any]

    def environment(self) -> dict[str, str]:
        (container,) = self.deployment["spec"]["template"]["spec"]["containers"]
        given = {item["name"]: item["value"] for item in container["env"] if "value" in item}
        ports = {f"TUNEWRIGHT_{name}_PORT": str(getattr(self, f"{name.lower()}_port")) for name in ("HEALTH", "PROGRESS")}
        place = {"TUNEWRIGHT_POD_NAME": "tunewright-0", "TUNEWRIGHT_POD_NAMESPACE": NAMESPACE}
        return super().environment() | given | ports | place


class Stage(NamedTuple):
    """One row: how a job gets there, and what comes next."""

    arrive: Callable[[Scene, str], None]
    go_on: Callable[[Scene, str], None]
    then: str  # the phase after that


def check(scene: Scene, job: str) -> None:
    scene.kubelet.end("checker", CHECKED, job=job)


def train(scene: Scene, job: str) -> None:
    scene.kubelet.end("trainer", TRAINED, count=2, job=job)


def export(scene: Scene, job: str) -> None:
    scene.kubelet.end("exporter", EXPORTED, job=job)


def to_serving(scene: Scene, job: str) -> None:
    to_export(scene, job, serving={"replicas": 1})
    export(scene, job)
    scene.kubelet.serve(job=job)


def to_failed(scene: Scene, job: str) -> None:
    scene.create_job(job)
    scene.kubelet.end("checker", WRONG, code=ExitCode.DATA, job=job)


def to_suspended(scene: Scene, job: str) -> None:
    scene.create_job(job, suspend=True)
    check(scene, job)


def check_again(scene: Scene, job: str) -> None:
    patch(scene, job, {"metadata": {"annotations": {RETRY: "corrected"}}})
    check(scene, job)


def serve_the_newer(scene: Scene, job: str) -> None:
    """Let the new server be ready; the older one is deleted at once."""
    deployment = scene.get("apps/v1", "Deployment", f"{job}-serve") or {}
    scene.kubelet.serve_revision(deployment["spec"]["template"]["metadata"]["annotations"][SERVING_REVISION])


STAGES = {
    "Checking": Stage(lambda scene, job: scene.create_job(job) and None, check, "Training"),
    "Training": Stage(to_training, train, "Exporting"),
    "Exporting": Stage(to_export, export, "Complete"),
    "Serving": Stage(to_serving, serve_the_newer, "Serving"),
    "Suspended": Stage(to_suspended, lambda scene, job: change(scene, job, {"suspend": False}), "Training"),
    "Failed": Stage(to_failed, check_again, "Training"),
}


@pytest.fixture
def older_chart(tmp_path: Path) -> Path:
    """The chart of an earlier release: other labels on all objects, and other default images."""
    chart = Path(shutil.copytree(CHART, tmp_path / "older"))
    described = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text("\n".join(_older(line) for line in described.splitlines()))
    return chart


def _older(line: str) -> str:
    name = line.partition(":")[0]
    return f'{name}: "{OLDER}"' if name in ("version", "appVersion") else line


@pytest.fixture
def release(plane: ControlPlane, helm_program: Path, older_chart: Path, tmp_path: Path) -> Iterator[Helm]:
    """helm, with the earlier release."""
    helm = Helm(helm_program, tmp_path, plane.kubeconfig)
    done = helm("install", RELEASE, older_chart, "--create-namespace")
    assert done.returncode == 0, done.stderr
    yield helm
    helm("uninstall", RELEASE)


@pytest.fixture
def scene(plane: ControlPlane, api: ApiServer, release: Helm, nursery: Nursery, tmp_path: Path) -> Iterator[Scene]:
    """A namespace, and the operator of the release, which has not started."""
    api.dynamic.resources.invalidate_cache()
    with contextmanager(new_namespace)(api) as namespace:
        operator = Deployed(nursery, plane.kubeconfig_for(Deployed.user), "", tmp_path)
        yield Scene(api=api, namespace=namespace, operator=operator, kubelet=FakeKubelet(api, namespace), audit=plane.audit)
        if not operator.ended():
            operator.kill()


def test_an_upgrade_restarts_nothing_and_each_job_goes_on(scene, release):
    start(scene)
    for phase, stage in STAGES.items():
        stage.arrive(scene, phase.lower())
    for phase in STAGES:
        scene.reaches(phase, phase.lower())
    children, pods, images = uids(scene), uids(scene, ("Pod",)), trainer_images(scene)
    assert all(image.endswith(OLDER) for image in images.values())
    assert scene.operator.stop() == 0

    upgraded = scene.audit.end()
    done = release("upgrade", RELEASE, CHART, "--reset-then-reuse-values", f"--set={NEWER}")
    assert done.returncode == 0, done.stderr
    start(scene)
    until(lambda: scene.operator.reconciles() >= len(STAGES), "each job has been looked at")
    (server,) = {pod["metadata"]["name"] for pod in scene.kubelet.wait_for("server", 2, job="serving")} - {name for _, name in pods}

    assert uids(scene) == children
    assert uids(scene, ("Pod",)).items() >= pods.items()
    assert uids(scene, ("Pod",)).keys() - pods.keys() == {("Pod", server)}  # the images of servers change, as documented: a surge
    assert set(filter(None, map(job_of, scene.writes(upgraded)))) == {"serving"}

    for phase, stage in STAGES.items():
        stage.go_on(scene, phase.lower())
    for phase, stage in STAGES.items():
        scene.reaches(stage.then, phase.lower())
    made = trainer_images(scene)
    again = {"failed-check"}  # the only Job that a person had made again
    assert {name: made[name] for name in images.keys() - again} == {name: images[name] for name in images.keys() - again}
    assert [name for name, image in made.items() if image.endswith(OLDER) and name not in images.keys() - again] == []
    assert scene.operator.stop() == 0


def start(scene: Scene) -> None:
    found = scene.api.get("apps/v1", "Deployment", RELEASE, NAMESPACE)
    assert found is not None
    scene.operator.deployment = found
    scene.operator.start()


def uids(scene: Scene, kinds: tuple[str, ...] = RENDERED) -> Mapping[tuple[str, str], str]:
    """Return the uids of the children by kind and name."""
    found = ((kind, item) for kind in kinds for item in scene.api.list(RESOURCES[kind].api_version, kind, scene.namespace))
    return {(kind, item["metadata"]["name"]): item["metadata"]["uid"] for kind, item in found}


def trainer_images(scene: Scene) -> Mapping[str, str]:
    """Return the images of the Jobs."""
    jobs = scene.api.list("batch/v1", "Job", scene.namespace)
    return {job["metadata"]["name"]: job["spec"]["template"]["spec"]["containers"][0]["image"] for job in jobs}


def job_of(write: str) -> str:
    """Return the name of the job that a write concerns; empty for a dry run and an Event."""
    path = write.split()[1].partition("?")
    named = path[0].partition("/namespaces/")[2].split("/")[2:]
    if "dryRun" in path[2] or not named:
        return ""
    return named[0].partition("-")[0]
