"""Derived values, quantities, and values that the specification refuses."""

from decimal import Decimal

import pytest
from api_jobs import ABSENT, raw_job
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tunewright.api.admission import admit
from tunewright.api.problems import InvalidJob, Problem
from tunewright.api.v1alpha1.job import parse
from tunewright.api.v1alpha1.status import Condition, FineTuneJobStatus, ProgressStatus
from tunewright_contract.quantities import amount
from tunewright_contract.stages import TRAIN


def spec(changes=None):
    return parse(raw_job(changes)).spec


@pytest.mark.parametrize(
    ("want", "changes"),
    [
        (2e-4, {}),
        (2e-5, {"method.tuner": "full"}),
        (2e-5, {"method.tuner": "freeze"}),
        (1e-3, {"training.learningRate": 1e-3}),
    ],
)
def test_learning_rate_fits_the_tuner_unless_given(want, changes):
    assert spec(changes).learning_rate() == want


@pytest.mark.parametrize(
    ("want", "changes"),
    [
        (1, {}),
        (4, {"training.gradientAccumulationSteps": 4}),
        (4, {"training.globalBatchSize": 16, "training.perDeviceTrainBatchSize": 2, "workers.replicas": 2}),
        (1, {"training.globalBatchSize": 1, "workers.replicas": 2}),  # refused by E209; here it must only not be 0
    ],
)
def test_accumulation_follows_from_the_global_batch(want, changes):
    assert spec(changes).gradient_accumulation_steps() == want


@pytest.mark.parametrize(
    ("want", "changes"),
    [
        (0.2, {}),
        (0.1, {"data.valSetSize": 0.1}),
        (0.0, {"data.valSetSize": 0}),
        (0.0, {"data.validation": [{"source": {"path": "/v"}}]}),
    ],
)
def test_validation_share(want, changes):
    assert spec(changes).data.validation_share() == want


@pytest.mark.parametrize(
    ("want", "workers"),
    [
        ((0, 1, 1), {}),
        ((0, 1, 2), {"replicas": 2}),
        ((4, 4, 8), {"replicas": 2, "resources": {"limits": {"nvidia.com/gpu": 4, "memory": "64Gi"}}}),
        ((2, 2, 2), {"resources": {"limits": {"amd.com/gpu": "2"}}}),
    ],
)
def test_ranks_are_counted_from_accelerators(want, workers):
    found = spec({"workers": workers}).workers
    assert (found.accelerators, found.processes, found.world_size) == want


def test_resources_are_passed_on_without_empty_parts():
    assert spec({"workers.resources": {"limits": {"cpu": 2}}}).workers.resources.wire() == {"limits": {"cpu": "2"}}


def test_lora_settings_are_in_effect_only_for_the_tuner_lora():
    assert spec().method.effective_lora().target_modules == "all-linear"
    assert spec({"method.tuner": "full"}).method.effective_lora() is None


def test_the_served_name_is_the_job_s_unless_given():
    assert parse(raw_job()).served_model_name() == "support-bot"
    assert parse(raw_job({"serving": {"servedModelName": "bot"}})).served_model_name() == "bot"
    assert parse(raw_job({"serving": {}})).served_model_name() == "support-bot"


@pytest.mark.parametrize(
    ("expected", "spec"),
    [
        (None, {}),
        (None, {"serving": {}}),
        ("next", {"serving": {"modelRef": {"name": "next"}}}),
        (None, {"serving": {"modelRef": {"name": "support-bot"}}}),
    ],
    ids=["no server", "its own model", "another job's", "its own, by name"],
)
def test_served_job_is_another_jobs_name_or_none(expected, spec):
    assert parse(raw_job(spec)).served_job() == expected


@pytest.mark.parametrize(
    ("want", "text"),
    [
        ("0.5", "500m"),
        ("2", "2"),
        (str(80 * 2**30), "80Gi"),
        ("1500", "1.5k"),
        ("1000", "1e3"),
        ("1e-9", "1n"),
        ("0.5", ".5"),
        ("1e18", "1E"),
    ],
)
def test_quantities(want, text):
    assert amount(text) == Decimal(want)


@given(st.integers(0, 2**40), st.sampled_from(["", "m", "k", "Ki", "Gi", "M"]))
def test_a_quantity_is_its_number_times_its_unit(number, unit):
    assert amount(f"{number}{unit}") == number * amount(f"1{unit}")


def test_null_means_absent_as_for_the_api_server():
    assert parse(raw_job({"training": None, "method.lora": None, "deepspeed": None})).spec == spec()


@pytest.mark.parametrize(
    "changes",
    [
        {"task": ABSENT},
        {"training.maxSteps": "5"},
        {"training.maxSteps": 5.5},
        {"training.gradientCheckpointing": 1},
        {"suspend": "true"},
        {"training.max_steps": 5},
        {"workers.replicas": True},
        {"workers.resources": {"limits": {"cpu": -1}}},
        {"workers.resources": {"limits": {"cpu": True}}},
        {"workers.resources": {"limits": {"cpu": "1 GiB"}}},
        {"workers.podLabels": {f"{'a.' * 127}b/c": "x"}},
        {"workers.podLabels": {f"a/{'b' * 64}": "x"}},
        {"workers.podAnnotations": {"-/a": "x"}},
        {"workers.imagePullSecrets": [{"name": "a", "key": "b"}]},
        {"workers.imagePullSecrets": [{}]},
        {"check": {"volumeMounts": [{"name": "a", "mountPath": "/a/../b"}]}},
        {"serving": {"volumeMounts": [{"name": "a", "mountPath": "/a:b"}]}},
        {"serving": {"volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "../b"}]}},
        {"serving": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": ".."}}}]}},
        {"serving": {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.containers"}}}]}},
        {"training.learningRate": float("inf")},
        {"data.train[0].source.pvc.path": "../secrets"},
        {"data.train[0].source.pvc.path": "/etc"},
        {"deepspeed": {"stage": True}},
        {"deepspeed": {"stage": "2"}},
        {"method.lora": {"targetModules": []}},
        {"method.lora": {"initLoraWeights": "pissa_niter_0"}},
        {"data.train": []},
        {"model": "phi"},
    ],
    ids=str,
)
def test_wrong_types_and_bounds_are_refused(changes):
    with pytest.raises(ValidationError):
        parse(raw_job(changes))


@pytest.mark.parametrize("name", ["a", "a-1", "x" * 63])
def test_job_names_that_fit(name):
    assert parse({**raw_job(), "metadata": {"name": name}}).metadata.name == name


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "x" * 64])
def test_job_names_that_services_cannot_have(name):
    with pytest.raises(ValidationError):
        parse({**raw_job(), "metadata": {"name": name}})


def test_what_the_api_server_adds_to_metadata_is_read():
    metadata = {
        "name": "a",
        "uid": "1",
        "generation": 3,
        "managedFields": [{"manager": "kubectl"}],
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    assert parse({**raw_job(), "metadata": metadata, "status": {"phase": "Training"}}).metadata.generation == 3


def test_a_job_is_equal_after_writing_and_reading():
    job = parse(raw_job({"deepspeed": {"stage3Gather16bitWeightsOnModelSave": True}, "workers.resources": {"limits": {"cpu": 1}}}))
    assert parse(job.model_dump(mode="json")) == job


def test_admission_returns_the_job_or_all_problems():
    assert admit(raw_job()).spec == spec()
    with pytest.raises(InvalidJob) as refused:
        admit(raw_job({"data.packing": True, "method.type": "dpo", "model.trustRemoteCode": True, "data.paddingFree": True}))
    assert {problem.code for problem in refused.value.problems} == {"E015", "not supported yet"}
    paths = [problem.path for problem in refused.value.problems]
    assert len(paths) == len(set(paths))
    with pytest.raises(InvalidJob, match="task"):
        admit(raw_job({"task": "Chat"}))


def test_a_problem_is_printed_with_path_code_and_way_out():
    problem = Problem(code="E1", path="spec.x", message="is 2", way_out="Write 1.")
    assert str(problem) == "spec.x: is 2 [E1]\n  way out: Write 1."
    assert str(Problem(code="E1", path="", message="is empty", way_out="")) == "is empty [E1]"


def test_absent_fields_of_status_are_not_written():
    status = FineTuneJobStatus(
        conditions=(Condition(type="Ready", status="False", reason="Running"),),
        phase=TRAIN.phase,
        progress=ProgressStatus(step=3, loss="1.42"),
    )
    assert status.wire() == {
        "conditions": [{"type": "Ready", "status": "False", "reason": "Running", "message": ""}],
        "phase": "Training",
        "progress": {"step": 3, "maxSteps": 0, "progressPercentage": 0, "loss": "1.42"},
        "artifacts": [],
        "warnings": [],
    }
