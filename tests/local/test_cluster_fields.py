"""Each field of the schema has an effect in a local run, or the run reports it. None is ignored silently."""

from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import BaseModel

from tunewright.api.supported import NOT_SUPPORTED_YET
from tunewright.api.v1alpha1.job import FineTuneJobSpec, parse
from tunewright.local.cluster_fields import CLUSTER_FIELDS, cluster_fields_of
from tunewright_contract.stages import STAGES

PARTS = [stage.settings for stage in STAGES]

# Field, or part of the specification -> its effect in a local run.
HONOURED = {
    "spec.task": "the trainer reads it",
    "spec.model": "the trainer reads it; a claim is a folder, a Secret is a file or a variable",
    "spec.data": "the trainer reads it; a claim is a folder",
    "spec.method": "the trainer reads it",
    "spec.training": "the trainer reads it",
    "spec.deepspeed": "the trainer reads it",
    "spec.evaluation": "Export reads it",
    "spec.workers.replicas": "one process group for each pod",
    "spec.workers.acceleratorsPerReplica": "the plan counts ranks by it",
    "spec.workers.acceleratorMemory": "the plan chooses the ZeRO stage by it",
    **{f"spec.{part}.resources.limits": "memory is enforced, cpu is the number of threads; others are reported" for part in PARTS},
    **{f"spec.{part}.env": "variables of the processes" for part in PARTS},
    "spec.output.onnx": "Export reads it",
    "spec.output.destinations": "a claim is a folder",
    "spec.output.storage.claimName": "a claim is a folder",
    "spec.output.storage.retain": "`tunewright delete` keeps the folder",
    "spec.serving.replicas": "server processes behind one port",
    "spec.serving.modelRef": "the other job's model of the same home folder",
    "spec.serving.servedModelName": "the server reads it",
    "spec.serving.executionProviders": "the server reads it",
    "spec.serving.maxConcurrentRequests": "the server reads it",
    "spec.serving.maxModelLen": "the server reads it",
    "spec.serving.apiKeySecretRef": "a Secret is a file or a variable",
    "spec.serving.smokeTest": "the server asks itself",
    "spec.serving.progressDeadlineSeconds": "the Deployment controller",
    "spec.serving.drainSeconds": "the grace period of the server's process",
    "spec.suspend": "the Job controller",
    "spec.activeDeadlineSeconds": "the Job controller",
    "spec.progressDeadlineSeconds": "status",
    "spec.backoffLimit": "the plan counts attempts by it",
}


REPORTED = {field.path for field in CLUSTER_FIELDS}
UNSUPPORTED = {entry.path for entry in NOT_SUPPORTED_YET}


def leaves(model: type[BaseModel], path: str) -> Iterator[str]:
    """Yield the path of each field, and below parts that no row here names, the paths of their fields."""
    for field in model.model_fields.values():
        here = f"{path}.{field.alias}"
        parts = [part for part in (field.annotation, *get_args(field.annotation)) if isinstance(part, type) and issubclass(part, BaseModel)]
        if here in HONOURED.keys() | REPORTED | UNSUPPORTED or not parts:
            yield here
        else:
            yield from (leaf for part in parts for leaf in leaves(part, here))


def test_each_field_of_the_schema_has_an_effect_is_reported_or_unsupported():
    fields = set(leaves(FineTuneJobSpec, "spec"))
    assert fields - UNSUPPORTED - HONOURED.keys() == REPORTED
    assert HONOURED.keys() <= fields, "a row for a field that the schema does not have"
    assert not REPORTED & HONOURED.keys()


def job(workers=None, *, serving=None, storage=None, **metadata):
    spec = {"task": "ChatCompletion", "model": {"source": {"path": "m"}}, "data": {"train": [{"source": {"path": "d.jsonl"}}]}}
    spec |= {"workers": workers or {}, "output": {"storage": storage or {}}} | ({"serving": serving} if serving else {})
    return parse({"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "bot", **metadata}, "spec": spec})


def variable(**source):
    return {"name": "A", "valueFrom": source}


@pytest.mark.parametrize(
    ("expected", "refused", "given"),
    [
        pytest.param([], [], job(), id="a job that names nothing of a cluster"),
        pytest.param([], [], job({"resources": {"limits": {"cpu": "1", "memory": "4Gi"}}}), id="limits that are honoured"),
        pytest.param([], [], job({"resources": {"limits": {"nvidia.com/gpu": "2"}}}), id="accelerators of one pod"),
        pytest.param([], [], job(storage={"claimName": "mine"}, serving={"drainSeconds": 5}), id="a claim, and a server that drains"),
        pytest.param(["spec.workers.nodeSelector"], [], job({"nodeSelector": {"zone": "a"}}), id="a node"),
        pytest.param(["spec.workers.affinity"], [], job({"affinity": {"podAffinity": {}}}), id="an affinity"),
        pytest.param(["spec.workers.resources.requests"], [], job({"resources": {"requests": {"cpu": "1"}}}), id="requests"),
        pytest.param(
            ["spec.workers.resources.limits[ephemeral-storage]"],
            [],
            job({"resources": {"limits": {"memory": "4Gi", "ephemeral-storage": "1Gi"}}}),
            id="a limit that is not enforced",
        ),
        pytest.param(
            ["spec.serving.resources.limits[nvidia.com/gpu]"],
            [],
            job(serving={"resources": {"limits": {"nvidia.com/gpu": "1"}}}),
            id="a device of the server",
        ),
        pytest.param(["spec.output.storage.size"], [], job(storage={"size": "10Gi"}), id="the size of a claim"),
        pytest.param(
            ["metadata.labels[kueue.x-k8s.io/queue-name]"], [], job(labels={"kueue.x-k8s.io/queue-name": "q"}), id="a queue of Kueue's"
        ),
        pytest.param(
            ["spec.workers.volumes", "spec.workers.volumeMounts"],
            ["spec.workers.volumes", "spec.workers.volumeMounts"],
            job({"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": [{"name": "a", "mountPath": "/a"}]}),
            id="a volume of a container",
        ),
        pytest.param([], [], job(serving={"env": [variable(secretKeyRef={"name": "a", "key": "b"})]}), id="a Secret as a variable"),
        pytest.param(
            ["spec.serving.env[0].valueFrom.resourceFieldRef"],
            ["spec.serving.env[0].valueFrom.resourceFieldRef"],
            job(serving={"env": [variable(resourceFieldRef={"resource": "limits.cpu"})]}),
            id="an amount as a variable",
        ),
        pytest.param(["spec.workers.image"], ["spec.workers.image"], job({"image": "own:1"}), id="another trainer"),
        pytest.param(["spec.serving.image"], ["spec.serving.image"], job(serving={"image": "own:1"}), id="another server"),
        pytest.param(
            ["spec.workers.replicas"],
            ["spec.workers.replicas"],
            job({"replicas": 2, "resources": {"limits": {"nvidia.com/gpu": "1"}}}),
            id="two pods that would share one device",
        ),
    ],
)
def test_fields_with_an_effect_only_in_a_cluster_are_found(expected, refused, given):
    found = cluster_fields_of(given)
    assert [field.path for field in found] == expected
    assert [field.path for field in found if field.refused] == refused
    assert all(field.why for field in found)
