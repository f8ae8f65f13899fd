"""The API server enforces that a model's inputs are immutable; all other fields are mutable."""

import pytest
from api_jobs import ABSENT, put, raw_job

from tunewright.api.crdgen import IMMUTABLE, IMMUTABLE_FIELDS

BEFORE = {
    "workers": {"replicas": 2, "resources": {"limits": {"nvidia.com/gpu": 1}}, "acceleratorsPerReplica": 1, "acceleratorMemory": "80Gi", "image": "trainer:1"},
    "workers.env": [{"name": "A", "value": "1"}],
    "serving": {"replicas": 1},
    "deepspeed": {"stage": 2},
}  # fmt: skip
CHANGED = {
    "task": {"task": "TextGeneration"},
    "model": {"model.dtype": "float32"},
    "data": {"data.maxLength": 7},
    "method": {"method.tuner": "full"},
    "training": {"training.maxSteps": 7},
    "deepspeed": {"deepspeed.stage": 1},
    "evaluation.maxSamples": {"evaluation.maxSamples": 7},
    "evaluation.generateSamples": {"evaluation.generateSamples": 7},
    "evaluation.maxNewTokens": {"evaluation.maxNewTokens": 7},
    "evaluation.gates": {"evaluation.gates": [{"metric": "loss", "maximum": 2.0}]},
    "output": {"output.storage": {"retain": False}},
    "workers.acceleratorsPerReplica": {"workers.acceleratorsPerReplica": ABSENT},
    "workers.resources": {"workers.resources.limits.memory": "1Gi"},
    "workers.acceleratorMemory": {"workers.acceleratorMemory": "40Gi"},
    "workers.image": {"workers.image": "trainer:2"},
    "workers.env": {"workers.env[0].value": "2"},
}
OPTIONAL = ["deepspeed", "workers.acceleratorMemory", "workers.acceleratorsPerReplica", "workers.image"]
OPEN = [
    {"serving.replicas": 3},
    {"serving": ABSENT},
    {"suspend": True},
    {"evaluation.allowRegression": True},
    {"activeDeadlineSeconds": 60},
    {"progressDeadlineSeconds": 60},
    {"backoffLimit": 1},
    {"workers.nodeSelector": {"pool": "b"}},
    {"workers.replicas": 1},
    {"workers.tolerations": [{"key": "gpu", "operator": "Exists"}]},
]


@pytest.fixture(scope="module")
def update(control_plane, crd, shared_namespace):
    """One job in the store, and a way to ask whether it may become another."""
    stored = control_plane.api.create(raw_job(BEFORE), shared_namespace, keep=True)
    assert stored.accepted, stored.message

    def ask(changes):
        job = raw_job(BEFORE)
        for path, value in changes.items():
            put(job["spec"], path, value)
        job["metadata"]["resourceVersion"] = stored.object["metadata"]["resourceVersion"]
        return control_plane.api.replace(job, shared_namespace)

    return ask


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("spec.ttlSecondsAfterFinished", {"ttlSecondsAfterFinished": 60}),
        ("spec.serving.executionProviders", {"serving.executionProviders": ["CUDA", "TensorRT"]}),
    ],
)
def test_what_nothing_honours_yet_is_not_added_to_a_job_that_may_run(update, field, changes):
    refused = update(changes)

    assert (refused.code, refused.fields) == (422, (field,))
    assert "not supported yet. " in refused.message


@pytest.mark.parametrize(
    ("wrong", "mended"),
    [
        ({"ttlSecondsAfterFinished": 60}, {}),
        ({"serving": {"executionProviders": ["OpenVINO", "CPU"]}}, {"serving": {"executionProviders": ["OpenVINO"]}}),
        ({"serving": {"executionProviders": ["OpenVINO", "CPU"]}}, {}),
        ({}, {"serving": {"executionProviders": ["CUDA", "CPU"]}}),
    ],
)
def test_but_it_may_be_taken_off(control_plane, crd, namespace, wrong, mended):
    stored = control_plane.api.create(raw_job(wrong), namespace, keep=True)
    assert stored.accepted, stored.message
    job = raw_job(mended)
    job["metadata"]["resourceVersion"] = stored.object["metadata"]["resourceVersion"]

    assert control_plane.api.replace(job, namespace).message == ""


def test_every_immutable_field_is_tried():
    assert set(IMMUTABLE_FIELDS) == set(CHANGED)


@pytest.mark.parametrize("field", CHANGED)
def test_what_a_model_is_made_from_cannot_change(update, field):
    refused = update(CHANGED[field])

    assert refused.code == 422
    assert f"spec.{field}" in refused.fields
    assert IMMUTABLE in refused.message


@pytest.mark.parametrize("field", OPTIONAL)
def test_nor_can_it_be_taken_away(update, field):
    refused = update({field: ABSENT})

    assert refused.code == 422
    assert f"spec.{field}" in refused.fields


def test_nor_can_it_come_later(update):
    assert update({}).accepted
    refused = update({"workers.env": ABSENT})

    assert (refused.code, IMMUTABLE in refused.message) == (422, True)


@pytest.mark.parametrize("changes", OPEN, ids=str)
def test_the_rest_may_change(update, changes):
    assert update(changes).message == ""


@pytest.mark.parametrize("changes", [{"training": {}}, {"method": {"type": "sft", "tuner": "lora"}}, {"evaluation": {}}], ids=str)
def test_writing_out_a_default_is_no_change(update, changes):
    assert update(changes).message == ""
