"""Steps that tests of a job's stages share: change the job, bring it to a stage, tell a Job from its successor."""

from collections.abc import Mapping
from typing import Any

from scene import JOB, Scene
from status_builders import CHECKED, TRAINED

BATCH = "batch/v1"
MERGE = "application/merge-patch+json"


def patch(scene: Scene, job: str, body: Mapping[str, Any]) -> None:
    """Change a FineTuneJob, as `kubectl patch --type=merge` does."""
    resource = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    resource.patch(name=job, namespace=scene.namespace, body=body, content_type=MERGE)


def change(scene: Scene, job: str, spec: Mapping[str, Any]) -> None:
    patch(scene, job, {"spec": spec})


def uid(scene: Scene, child: str) -> str:
    """Return the uid of a Job; empty if there is none."""
    return str(((scene.get(BATCH, "Job", child) or {}).get("metadata") or {}).get("uid", ""))


def to_training(scene: Scene, job: str, **spec: Any) -> None:
    scene.create_job(job, **spec)
    scene.kubelet.end("checker", CHECKED, job=job)
    scene.kubelet.wait_for("trainer", 2, job=job)


def to_export(scene: Scene, job: str, **spec: Any) -> None:
    to_training(scene, job, **spec)
    scene.kubelet.end("trainer", TRAINED, count=2, job=job)
    scene.kubelet.wait_for("exporter", job=job)
