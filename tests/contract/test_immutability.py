"""The API server enforces that a model's inputs are immutable; all other fields are mutable.

The policy that enforces it and `changed_inputs`, for machines without a cluster, are compared in each row.
"""

import re

import pytest
from api_jobs import ABSENT, as_written, in_full, put, raw_job
from waiting import until

from tunewright.api.crdgen import IMMUTABLE_FIELDS
from tunewright.api.immutable import changed_inputs
from tunewright.api.policygen import WAY_OUT, binding, policy
from tunewright.api.v1alpha1.job import parse

BEFORE = {
    "workers": {"replicas": 2, "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "1Gi"}}, "acceleratorsPerReplica": 1, "acceleratorMemory": "80Gi", "image": "trainer:1"},
    "workers.env": [{"name": "A", "value": "1"}],
    "serving": {"replicas": 1},
    "deepspeed": {"stage": 2},
    "output.storage": {"size": "20Gi", "accessModes": ["ReadWriteMany", "ReadWriteOnce"]},
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
    "workers.acceleratorMemory": {"workers.acceleratorMemory": "40Gi"},
}
OPTIONAL = ["deepspeed", "workers.acceleratorMemory", "workers.acceleratorsPerReplica"]
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
    {"workers.resources.limits.memory": "2Gi"},
    {"workers.image": "trainer:2"},
    {"workers.image": ABSENT},
    {"workers.env": ABSENT},
    {"workers.env[0].value": "2"},
    {"workers.tolerations": [{"key": "gpu", "operator": "Exists"}]},
]


SAME = [  # values of another form that mean the same
    {"data.validation": [], "data.train[0].columns": {}},
    {"training": {}},
    {"method": {"type": "sft", "tuner": "lora"}},
    {"evaluation": {}},
    {"workers.resources.limits": {"nvidia.com/gpu": "1", "memory": "1024Mi"}},
    {"workers.acceleratorMemory": "81920Mi"},
    {"output.storage.size": "20480Mi"},
    {"output.storage.accessModes": ["ReadWriteOnce", "ReadWriteMany"]},
]
WITH_DEFAULTS_IN_LISTS = {
    "model.source": {"huggingFace": {"repo": "a/b", "tokenSecretRef": {"name": "hub"}}},
    "data.validation": [{"source": {"huggingFace": {"repo": "a/b", "tokenSecretRef": {"name": "hub"}}}}],
    "evaluation.gates": [{"metric": "eval_loss", "maximum": 2.0}],
    "deepspeed": {},
    "method": {"lora": {}},
    "training": {"lrSchedulerKwargs": {}},
    "serving": {},
    "workers.env": [{"name": "A"}],
    "workers.topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
}
SHOWN = [  # field, old and new value in the message
    ("spec.training.maxSteps: -1 -> 7", {"training.maxSteps": 7}),
    ("spec.model.dtype: bfloat16 -> float32", {"model.dtype": "float32"}),
    ("spec.deepspeed: removed", {"deepspeed": ABSENT}),
    ("spec.output.storage.accessModes: changed", {"output.storage.accessModes": ["ReadWriteOnce"]}),
    ("spec.output.storage.size: 20Gi -> 1Gi", {"output.storage.size": "1Gi"}),
    (f"4k-instruct -> microsoft/{'x' * 30}…", {"model.source.huggingFace.repo": f"microsoft/{'x' * 50}"}),
]


@pytest.fixture(scope="module")
def update(control_plane, crd, shared_namespace):
    """One job in the store, and a way to ask whether it may become another."""
    kinds = [(made["apiVersion"], made["kind"], made["metadata"]["name"]) for made in (policy(), binding())]
    for made in (policy(), binding()):
        assert (applied := control_plane.api.apply(made, keep=True)).accepted, applied.message
    ask = _asking(control_plane, shared_namespace)
    until(lambda: ask({"task": "TextGeneration"}).code == 422, "the policy is in force")
    yield ask
    for kind in kinds:
        control_plane.api.delete(*kind)


@pytest.fixture
def replaced(update, control_plane, namespace):
    """The verdict on one job after another."""

    def verdict(before, after):
        stored = control_plane.api.create(before, namespace, keep=True)
        assert stored.accepted, stored.message
        after["metadata"]["resourceVersion"] = stored.object["metadata"]["resourceVersion"]
        return control_plane.api.replace(after, namespace)

    return verdict


def _asking(control_plane, shared_namespace):
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
    assert f"spec.{field}" in refused.message
    assert WAY_OUT in refused.message
    assert named(refused) == as_on_one_machine(CHANGED[field])


@pytest.mark.parametrize("field", OPTIONAL)
def test_nor_can_it_be_taken_away(update, field):
    refused = update({field: ABSENT})

    assert refused.code == 422
    assert named(refused) == as_on_one_machine({field: ABSENT}) == (f"spec.{field}",)


@pytest.mark.parametrize(("says", "changes"), SHOWN, ids=str)
def test_the_refusal_shows_the_field_and_both_values(update, says, changes):
    refused = update(changes)

    assert refused.code == 422
    assert says in refused.message
    assert named(refused) == as_on_one_machine(changes)


def test_all_changes_are_named_at_once(update):
    changes = {"training.maxSteps": 7, "task": "TextGeneration", "workers.acceleratorMemory": ABSENT}
    fields = {"spec.training.maxSteps", "spec.task", "spec.workers.acceleratorMemory"}

    assert set(named(update(changes))) == set(as_on_one_machine(changes)) == fields


@pytest.mark.parametrize("changes", OPEN, ids=str)
def test_the_rest_may_change(update, changes):
    assert update(changes).message == ""


@pytest.mark.parametrize("changes", SAME, ids=str)
def test_writing_the_same_in_another_form_is_no_change(update, changes):
    assert update(changes).message == ""
    assert as_on_one_machine(changes) == ()


@pytest.mark.parametrize(("before", "after"), [(in_full, as_written), (as_written, in_full)])
@pytest.mark.parametrize("changes", [WITH_DEFAULTS_IN_LISTS, {}], ids=["many fields", "the smallest job"])
def test_defaults_that_an_earlier_release_wrote_out_are_no_change(replaced, before, after, changes):
    """The CRD had defaults then. `kubectl apply` replaces lists, such as data.train, as the manifest has them."""
    assert replaced(before(raw_job(changes)), after(raw_job(changes))).message == ""


def test_a_change_beside_a_default_in_a_list_is_refused(replaced):
    changed = {**WITH_DEFAULTS_IN_LISTS, "data.train[0].source.pvc.path": "other.jsonl"}
    refused = replaced(in_full(raw_job(WITH_DEFAULTS_IN_LISTS)), raw_job(changed))

    assert (refused.code, named(refused)) == (422, ("spec.data.train",))


def named(refused):
    """The fields that a refusal names."""
    return tuple(re.findall(r"(spec[\w.]+): ", refused.message))


def as_on_one_machine(changes):
    """The fields that a machine without a cluster names."""
    job = raw_job(BEFORE)
    for path, value in changes.items():
        put(job["spec"], path, value)
    return changed_inputs(parse(raw_job(BEFORE)), parse(job))
