"""The whole decision: what is wanted when, what stops a job, and that nothing but a plan, a rejection or waiting comes out."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_jobs import CLUSTER, GPU, PHI3_MINI, checked, facts, job, merged, past, past_of, rejected

from tunewright.api.admission import objections
from tunewright.plan.explain import COLUMNS, explain, explain_text
from tunewright.plan.inputs import Defaults, Missing, Past, References, ServeOutcome, StageState
from tunewright.plan.memory.counts import model_facts
from tunewright.plan.names import revision_of
from tunewright.plan.plan import forecast, plan
from tunewright.plan.plan_types import (
    ClaimSource,
    FolderSource,
    PodOptions,
    ReferencesMissing,
    Rejection,
    Scheduling,
    SecretKey,
    VolumeOption,
)
from tunewright.plan.rollout import Rollout
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.smoke_test import SmokeTest
from tunewright_contract.stages import CHECK, EXPORT, SERVE, TRAIN
from tunewright_contract.trainer_config import TrainerConfig

ABSENT, RUNNING, SUCCEEDED, FAILED, SUSPENDED = (
    StageState.ABSENT, StageState.RUNNING, StageState.SUCCEEDED, StageState.FAILED, StageState.SUSPENDED,
)  # fmt: skip
ROOMY = {"output": {"storage": {"size": "1Ti"}}}
SERVED = {"serving": {"replicas": 2, "servedModelName": "bot", "maxConcurrentRequests": 4, "maxModelLen": 512}}


def planned(so_far=None, refs=CLUSTER, counted=None, **spec):
    return plan(job(spec), refs, so_far or Past(), Defaults(), model_facts=counted)


def stages(made):
    return [name for name in ("check", "train", "export", "serve") if getattr(made, name) is not None]


@pytest.mark.parametrize(
    ("so_far", "expected"),
    [
        (past(), ["check"]),
        (past(check=RUNNING), ["check"]),
        (past(check=FAILED), ["check"]),
        (past(check=SUCCEEDED), ["check", "train"]),
        (past(check=SUCCEEDED, train=RUNNING, attempts=1), ["check", "train"]),
        (past(check=SUCCEEDED, train=FAILED, attempts=1, asks=Disposition.FAIL), ["check", "train"]),
        (past(check=SUCCEEDED, train=SUCCEEDED, attempts=1), ["check", "train", "export"]),
        (past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=FAILED), ["check", "train", "export"]),
        (past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=SUCCEEDED), ["check", "train", "export", "serve"]),
    ],
)
def test_each_stage_is_planned_when_its_predecessor_has_succeeded(so_far, expected):
    assert stages(planned(so_far, **SERVED)) == expected


def test_without_serving_a_job_ends_with_its_export():
    assert stages(planned(past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=SUCCEEDED))) == ["check", "train", "export"]


@pytest.mark.parametrize(
    ("train", "attempts", "failures", "asks", "attempt"),
    [
        (ABSENT, 0, 0, None, 0),
        (RUNNING, 1, 0, None, 0),
        (SUSPENDED, 1, 0, None, 0),
        (SUCCEEDED, 2, 1, None, 1),
        (FAILED, 1, 0, Disposition.FAIL, 0),
        (FAILED, 1, 0, None, 0),
        (FAILED, 1, 1, Disposition.RETRY, 1),
        (FAILED, 2, 2, Disposition.RETRY, 2),
        (FAILED, 3, 3, Disposition.RETRY, 2),
        (FAILED, 7, 1, Disposition.RESUME, 7),
        (FAILED, 7, 3, Disposition.RESUME, 7),
    ],
    ids=[
        "the first", "it runs", "it waits", "it is done", "it failed for good", "it failed, nobody knows how", "worth a retry",
        "the last retry", "no retries left", "stopped after saving counts nothing", "also when no retries are left",
    ],
)  # fmt: skip
def test_number_of_the_last_attempt(train, attempts, failures, asks, attempt):
    so_far = past(check=SUCCEEDED, train=train, attempts=attempts, failures=failures, asks=asks)
    assert planned(so_far, backoffLimit=2).train.attempt == attempt


def test_the_gang_follows_the_spec():
    found = planned(past(check=SUCCEEDED), workers={"replicas": 3, "resources": {"limits": {"nvidia.com/gpu": 4, "memory": "64Gi"}}})
    assert (found.train.replicas, found.train.processes_per_replica, found.config.world_size) == (3, 4, 12)
    limits = {"nvidia.com/gpu": "4", "memory": "64Gi", "ephemeral-storage": "50Gi"}
    assert found.train.resources == {"limits": limits, "requests": {"ephemeral-storage": "1Gi"}}


def test_only_the_gang_takes_accelerators():
    found = planned(past(check=SUCCEEDED, train=SUCCEEDED, attempts=1), workers=GPU)
    assert "nvidia.com/gpu" not in str([found.check.resources, found.export.resources])


@pytest.mark.parametrize(("parameters", "memory"), [(4_000_000, "2Gi"), (3_821_079_552, "43Gi")])
def test_export_requests_memory_by_the_size_of_the_model(parameters, memory):
    so_far = past(check=checked(facts(parameters=parameters, linear_parameters=1)), train=SUCCEEDED, attempts=1)
    assert planned(so_far).export.resources["requests"]["memory"] == memory


# workers.resources -> memory limits of Check and Export, limit of Train's scratch space
LIMITS = [
    ({}, "8Gi", "90Gi", "50Gi"),
    ({"limits": {"memory": "64Gi"}}, "64Gi", "90Gi", "50Gi"),
    ({"limits": {"memory": "100Gi", "ephemeral-storage": "1Ti"}}, "100Gi", "100Gi", "1Ti"),
    ({"requests": {"ephemeral-storage": "60Gi"}}, "8Gi", "90Gi", "60Gi"),
]

# export.resources -> requests and limits of Export's pod, for a model of 3.8 billion parameters
OWN = [
    ({}, ("1", "43Gi", "1Gi"), ("90Gi", "93Gi")),
    ({"requests": {"memory": "20Gi"}}, ("1", "20Gi", "1Gi"), ("90Gi", "93Gi")),
    ({"requests": {"memory": "100Gi"}}, ("1", "100Gi", "1Gi"), ("100Gi", "93Gi")),  # the planned limit would be below the request
    ({"limits": {"memory": "1536Mi"}}, ("1", None, "1Gi"), ("1536Mi", "93Gi")),  # the API server makes it the request
    ({"limits": {"ephemeral-storage": "2Gi"}, "requests": {"cpu": "3"}}, ("3", "43Gi", None), ("90Gi", "2Gi")),
    ({"limits": {"memory": "64Gi"}, "requests": {"memory": "32Gi"}}, ("1", "32Gi", "1Gi"), ("64Gi", "93Gi")),
]


@pytest.mark.parametrize(("resources", "requests", "limits"), OWN)
def test_amounts_of_a_stage_replace_the_planned_ones_by_name(resources, requests, limits):
    so_far = past(check=checked(facts(parameters=3_821_079_552, linear_parameters=1)), train=SUCCEEDED, attempts=1)
    found = planned(so_far, export={"resources": resources}).export.resources
    assert tuple(found["requests"].get(name) for name in ("cpu", "memory", "ephemeral-storage")) == requests
    assert tuple(found["limits"].get(name) for name in ("memory", "ephemeral-storage")) == limits


@pytest.mark.parametrize(("resources", "check", "export", "scratch"), LIMITS)
def test_every_pod_has_limits_and_the_users_have_priority(resources, check, export, scratch):
    done = {"check": checked(facts(parameters=3_821_079_552, linear_parameters=1)), "attempts": 1}
    found = planned(past(**done, train=SUCCEEDED, export=SUCCEEDED), workers={"resources": resources}, **SERVED)
    assert found.check.resources["limits"] == {"memory": check, "ephemeral-storage": "50Gi"}
    assert found.export.resources["limits"] == {"memory": export, "ephemeral-storage": "93Gi"}
    assert found.train.resources["limits"]["ephemeral-storage"] == scratch
    assert found.serve.resources["limits"]["ephemeral-storage"] == "50Gi"


def test_the_server_follows_the_spec():
    serving = SERVED["serving"] | {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
    }
    serving |= {"resources": {"limits": {"cpu": "2"}}, "executionProviders": ["CUDA", "CPU"], "drainSeconds": 7}
    serving |= {"apiKeySecretRef": {"name": "clients", "key": "key"}}
    done = past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=SUCCEEDED)
    decided = planned(done, serving=serving, workers={"imagePullSecrets": ["registry"], "nodeSelector": {"disk": "none"}})
    serve, scheduling = decided.serve, decided.pods[SERVE].scheduling
    assert (serve.replicas, serve.model_name, serve.max_slots, serve.max_length, serve.drain_seconds) == (2, "bot", 4, 512, 7)
    assert serve.execution_providers == ("CUDA", "CPU")
    assert serve.resources == {"limits": {"cpu": "2", "ephemeral-storage": "50Gi"}, "requests": {"ephemeral-storage": "1Gi"}}
    assert serve.api_key == SecretKey(name="clients", key="key")
    assert scheduling.node_selector == {"disk": "ssd"}
    assert scheduling.tolerations == ({"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},)
    assert scheduling.image_pull_secrets == ("registry",)


def test_the_rollout_has_the_spec_and_the_observed_state():
    found = Rollout(current=True, completed=True)
    done = past_of(past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=SUCCEEDED), serve=ServeOutcome(rollout=found))
    serving = {"image": "server:2", "smokeTest": {"prompt": "Hi", "contains": "there"}, "progressDeadlineSeconds": 60}
    decided = planned(done, serving=serving)
    assert decided.server_image == "server:2"
    assert (decided.serve.smoke_test, decided.serve.progress_deadline_seconds) == (SmokeTest(prompt="Hi", contains="there"), 60)
    assert decided.serve.rollout == found
    plain = planned(done, serving={})
    assert (plain.serve.smoke_test, plain.serve.drain_seconds, plain.server_image) == (None, 300, Defaults().server_image)


def test_fields_that_are_copied_to_pods():
    workers = {
        "nodeSelector": {"pool": "a100"}, "tolerations": [{"key": "gpu", "effect": "NoSchedule"}], "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high", "runtimeClassName": "nvidia", "schedulerName": "kai", "serviceAccountName": "trainer",
        "imagePullSecrets": ["registry"], "image": "mine:1", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
        "podLabels": {"team": "blue"}, "podAnnotations": {"sidecar.istio.io/inject": "false"},
    }  # fmt: skip
    labels = {"kai.scheduler/queue": "team", "app": "bot"}
    annotations = {"kueue.x-k8s.io/podset-required-topology": "rack", "note": "mine"}
    asked = job({"workers": workers, "suspend": True, "activeDeadlineSeconds": 60}, labels=labels, annotations=annotations)
    found = plan(asked, References(progress_url="http://progress"), Past(), Defaults())
    assert found.pods[CHECK] == found.pods[TRAIN] == found.pods[EXPORT]
    options = found.pods[TRAIN]
    scheduling = options.scheduling
    assert (scheduling.node_selector, scheduling.affinity, scheduling.tolerations) == (
        {"pool": "a100"}, {"nodeAffinity": {}}, ({"key": "gpu", "effect": "NoSchedule"},),
    )  # fmt: skip
    assert (scheduling.priority_class_name, scheduling.runtime_class_name, scheduling.scheduler_name) == ("high", "nvidia", "kai")
    assert (scheduling.service_account_name, scheduling.image_pull_secrets) == ("trainer", ("registry",))
    assert (found.pass_labels, found.pass_annotations) == (
        {"kai.scheduler/queue": "team"}, {"kueue.x-k8s.io/podset-required-topology": "rack"},
    )  # fmt: skip
    assert (options.labels, options.annotations) == ({"team": "blue"}, {"sidecar.istio.io/inject": "false"})
    assert (found.trainer_image, options.env, found.suspend) == ("mine:1", {"NCCL_DEBUG": "INFO"}, True)
    assert found.pods[SERVE] == PodOptions(scheduling=Scheduling(image_pull_secrets=("registry",)))
    assert (found.active_deadline_seconds, found.progress_url) == (60, "http://progress")


def test_variables_volumes_and_pull_secrets_are_those_of_kubernetes():
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    options = planned(
        Past(),
        workers={
            "env": [{"name": "A", "valueFrom": secret}, {"name": "B"}],
            "imagePullSecrets": ["one", {"name": "two"}],
            "topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
            "volumes": [{"name": "ca", "configMap": {"name": "c"}}, {"name": "tmp-dir", "emptyDir": {"sizeLimit": "1Gi"}}],
            "volumeMounts": [
                {"name": "ca", "mountPath": "/a", "subPath": "x"},
                {"name": "tmp-dir", "mountPath": "/b"},
                {"name": "tmp-dir", "mountPath": "/c", "readOnly": True},
            ],
        },
    ).pods[TRAIN]
    assert options.env == {"A": secret, "B": ""}
    assert options.scheduling.image_pull_secrets == ("one", "two")
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    assert options.scheduling.topology_spread_constraints == (spread,)
    empty = {"emptyDir": {"sizeLimit": "1Gi"}}
    assert options.volumes == (
        VolumeOption(name="ca", source={"configMap": {"name": "c"}}, path="/a", sub_path="x"),
        VolumeOption(name="tmp-dir", source=empty, path="/b", read_only=False),
        VolumeOption(name="tmp-dir", source=empty, path="/c"),
    )


# what spec.check has -> what its pods have of spec.workers
BESIDE = {"nodeSelector": {"pool": "a100"}, "resources": {"limits": {"cpu": "8"}}, "podLabels": {"team": "blue"}}


@pytest.mark.parametrize(
    ("check", "selector", "resources", "labels"),
    [
        (None, {"pool": "a100"}, {}, {"team": "blue"}),
        ({}, {"pool": "a100"}, {}, {"team": "blue"}),
        ({"nodeSelector": {}}, {}, {}, {"team": "blue"}),
        ({"nodeSelector": {"pool": "cpu"}, "podLabels": {"team": "red"}}, {"pool": "cpu"}, {}, {"team": "red"}),
        ({"resources": {"requests": {"cpu": "2"}}}, {"pool": "a100"}, {"requests": {"cpu": "2"}}, {"team": "blue"}),
    ],
)
def test_a_stage_takes_what_is_absent_in_its_part_from_the_workers_except_for_resources(check, selector, resources, labels):
    parts = {"workers": BESIDE} | ({} if check is None else {"check": check})
    options = planned(Past(), **parts).pods[CHECK]
    assert (options.scheduling.node_selector, options.resources, options.labels) == (selector, resources, labels)


# what spec.workers has -> what Check and Export have of it
HOST = {"topologyKey": "kubernetes.io/hostname"}
SPREAD = HOST | {"whenUnsatisfiable": "DoNotSchedule"}
APART = {"requiredDuringSchedulingIgnoredDuringExecution": [HOST | {"labelSelector": {"matchLabels": {"a": "b"}}}]}
NODES = {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "Exists"}]}]}
}


@pytest.mark.parametrize("stage", [CHECK, EXPORT])
@pytest.mark.parametrize(
    ("affinity", "workers"),
    [
        (None, {"affinity": {"podAntiAffinity": APART}}),
        (None, {"affinity": {"podAffinity": APART}}),
        ({"nodeAffinity": NODES}, {"affinity": {"nodeAffinity": NODES, "podAffinity": APART, "podAntiAffinity": APART}}),
        (None, {"topologySpreadConstraints": [SPREAD]}),
    ],
)
def test_a_stage_of_one_pod_does_not_take_placement_by_other_pods_from_the_workers(stage, affinity, workers):
    found = planned(Past(), workers=workers).pods[stage].scheduling
    assert (found.affinity, found.topology_spread_constraints) == (affinity, ())


def test_placement_by_other_pods_of_a_stages_own_part_applies():
    own = {"affinity": {"podAntiAffinity": APART}, "topologySpreadConstraints": [SPREAD]}
    found = planned(Past(), check=own).pods[CHECK].scheduling
    assert (found.affinity, found.topology_spread_constraints) == (own["affinity"], ({"maxSkew": 1} | SPREAD,))


def test_a_model_on_the_hub_needs_the_network_and_its_token():
    hub = {"repo": "a/b", "tokenSecretRef": {"name": "hub"}}
    found = planned(model={"source": {"pvc": None, "huggingFace": hub}})
    assert (found.hub_access, found.hub_token, found.model_source) == (True, SecretKey(name="hub", key="token"), None)
    assert found.config.model.hub.repo == "a/b"
    assert planned().hub_access is False


def test_the_trainers_configuration():
    found = planned(
        data={
            "validation": [{"source": {"pvc": {"claimName": "corpora", "path": "chat/valid.jsonl"}}}],
            "maxLength": 512,
            "dedup": "exact",
        },
        model={"chatTemplate": {"jinja": "{{ messages }}"}},
        method={"lora": {"r": 4}, "quantization": {"type": "bnb4"}},
        deepspeed={"stage": 3},
        output={"onnx": {"precision": "fp32", "parity": {"maxLogitDifference": 0.1, "prompts": 3}}},
        evaluation={"generateSamples": 5},
    ).config
    assert (found.data.max_length, found.data.dedup, found.data.val_set_size, len(found.data.validation)) == (512, "exact", 0.0, 1)
    assert (found.model.chat_template, found.model.hub) == ("{{ messages }}", None)
    assert (found.method.tuner, found.method.lora["r"], found.method.quantization["bnb_4bit_quant_storage"]) == ("lora", 4, "bfloat16")
    assert (found.deepspeed["zero_optimization"]["stage"], found.export.precision) == (3, "fp32")
    assert (found.export.parity.max_logit_difference, found.export.parity.prompts, found.evaluation.generate_samples) == (0.1, 3, 5)
    assert (found.job.name, found.job.namespace, found.job.revision) == ("support-bot", "default", revision_of(job_like(found)))
    assert TrainerConfig.model_validate_json(found.model_dump_json()) == found


def job_like(config):
    """The same job, for its revision."""
    return job(
        {
            "data": {
                "validation": [{"source": {"pvc": {"claimName": "corpora", "path": "chat/valid.jsonl"}}}],
                "maxLength": 512,
                "dedup": "exact",
            },
            "model": {"chatTemplate": {"jinja": "{{ messages }}"}},
            "method": {"lora": {"r": 4}, "quantization": {"type": "bnb4"}},
            "deepspeed": {"stage": 3},
            "output": {"onnx": {"precision": "fp32", "parity": {"maxLogitDifference": 0.1, "prompts": 3}}},
            "evaluation": {"generateSamples": 5},
        },
        name=config.job.name,
    )


def test_validation_data_is_taken_from_train_unless_there_is_some():
    assert planned().config.data.val_set_size == 0.2
    assert planned(method={"tuner": "full"}).config.method.lora is None


def test_checks_counts_determine_the_gangs_zero_stage():
    asked = {**ROOMY, "method": {"tuner": "full"}, "deepspeed": {}, "workers": {"replicas": 8, "acceleratorMemory": "20Gi", **GPU}}
    before = planned(past(), **asked)
    after = planned(past(check=checked(facts(trainable=None))), **asked)
    assert (before.fit.estimated_bytes_per_rank, before.fit.zero_stage) == (None, 1)
    assert after.fit.zero_stage == 2
    assert after.config.deepspeed["zero_optimization"]["stage"] == 2
    read_by_check = {"deepspeed", "training"}
    assert before.config.model_dump(exclude=read_by_check) == after.config.model_dump(exclude=read_by_check)


def test_given_facts_are_used_until_check_has_counted():
    counted = model_facts(PHI3_MINI, lora={"r": 8})
    assert planned(counted=counted).fit.estimated_bytes_per_rank is not None
    theirs = facts(parameters=10_000_000, linear_parameters=1_000_000)
    assert planned(past(check=checked(theirs)), counted=counted).fit == planned(past(check=checked(theirs))).fit


def missing(kind, field="spec.data.train[0].source.pvc.claimName"):
    return References(
        missing=(Missing(field=field, kind=kind, name="corpora", message="there is no such thing; create it"),), host_paths=True
    )


def test_a_job_waits_for_missing_objects():
    waiting = planned(refs=missing("PersistentVolumeClaim"))
    assert (waiting.reason, waiting.missing[0].name) == ("ReferencesMissing", "corpora")
    assert str(waiting) == "spec.data.train[0].source.pvc.claimName: there is no such thing; create it"


def test_a_job_whose_inputs_changed_after_its_first_jobs_is_refused():
    refused = rejected(planned(Past(made_from="0123456789")))
    assert (refused.reason, refused.field) == ("InputsChanged", "spec")
    assert "0123456789" in refused.message
    assert "Apply the earlier specification again" in refused.message


def test_a_missing_folder_is_refused():
    refused = rejected(planned(refs=missing("Folder", "spec.model.source.path")), "there is no such thing")
    assert (refused.reason, refused.field) == ("ReferenceMissing", "spec.model.source.path")


@pytest.mark.parametrize("where", ["model", "data"])
def test_a_folder_of_one_machine_is_refused_where_pods_run_elsewhere(where):
    source = {"path": "base", "pvc": None}
    asked = {"model": {"source": source}} if where == "model" else {"data": {"train": [{"source": {"path": "base"}}]}}
    assert rejected(planned(**asked)).reason == "PathNeedsOneMachine"


def test_a_finished_model_is_served_without_its_sources():
    done = past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=SUCCEEDED)
    assert planned(done, refs=missing("PersistentVolumeClaim"), **SERVED).serve is not None


@pytest.mark.parametrize(
    "at_work",
    [
        past(check=StageState.RUNNING),
        past(check=SUCCEEDED, train=StageState.PENDING, attempts=1),
        past(check=SUCCEEDED, train=StageState.RUNNING, attempts=2),
        past(check=SUCCEEDED, train=SUCCEEDED, attempts=1, export=StageState.RUNNING),
    ],
    ids=["check", "a gang that starts", "a gang", "export"],
)
@pytest.mark.parametrize("kind", ["Secret", "Folder"])
def test_running_work_continues_without_missing_objects_and_reports_them(at_work, kind):
    refs = missing(kind)
    assert planned(at_work, refs=refs).lacking == refs.missing


@pytest.mark.parametrize(
    "between",
    [
        past(check=SUCCEEDED),
        past(check=SUCCEEDED, train=StageState.FAILED, attempts=1, failures=1, asks=Disposition.RETRY),
        past(check=SUCCEEDED, train=StageState.SUSPENDED, attempts=1),
        past(check=SUCCEEDED, train=SUCCEEDED, attempts=1),
    ],
    ids=["before the gang", "before its next attempt", "before it goes on", "before the export"],
)
def test_the_next_stage_waits_for_missing_objects(between):
    assert isinstance(planned(between, refs=missing("Secret")), ReferencesMissing)


def test_a_forecast_has_every_stage_and_waits_like_a_plan():
    made = forecast(job(SERVED), CLUSTER, Defaults(), model_facts=facts())
    assert stages(made) == ["check", "train", "export", "serve"]
    assert made.train.attempt == 0
    assert isinstance(forecast(job(SERVED), missing("Secret"), Defaults()), ReferencesMissing)


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"seed": 43}}, {"data": {"maxLength": 64}}, {"method": {"lora": {"r": 64}}}, {"model": {"dtype": "float32"}},
        {"output": {"onnx": {"precision": "fp32"}}}, {"deepspeed": {}}, {"evaluation": {"maxSamples": 1}}, {"task": "TextGeneration"},
    ],
)  # fmt: skip
def test_a_change_of_an_input_changes_the_revision(change):
    assert revision_of(job(change)) != revision_of(job())


@pytest.mark.parametrize(
    "change",
    [
        SERVED, {"suspend": True}, {"backoffLimit": 9}, {"activeDeadlineSeconds": 9}, {"workers": {"replicas": 9}},
        {"output": {"storage": {"size": "9Gi"}}}, {"training": {"seed": 42}},
    ],
)  # fmt: skip
def test_other_changes_keep_the_revision(change):
    assert revision_of(job(change)) == revision_of(job())


def test_a_job_created_again_has_another_revision():
    assert revision_of(job(uid="1")) != revision_of(job(uid="2"))
    assert len(revision_of(job())) == 10


@pytest.mark.parametrize(
    ("expected", "stage", "spec"),
    [
        ("memory limit 8Gi", "Check", {}),
        ("memory limit 16Gi", "Check", {"workers": {"resources": {"limits": {"memory": "16Gi"}}}}),
        ("memory limit 90Gi", "Export", {}),
        ("no memory limit: workers.resources.limits.memory sets one", "Train", {}),
        ("memory limit 4Gi", "Train", {"workers": {"resources": {"limits": {"memory": "4Gi"}}}}),
        ("no memory limit: serving.resources.limits.memory sets one", "Serve", {"serving": {}}),
        ("memory limit 3Gi", "Serve", {"serving": {"resources": {"limits": {"memory": "3Gi"}}}}),
    ],
)
def test_an_explanation_names_each_pods_memory_limit(expected, stage, spec):
    done = past(check=checked(), train=StageState.SUCCEEDED, attempts=1, export=StageState.SUCCEEDED)
    decided = plan(job({"method": {"tuner": "lora"}, "deepspeed": {"stage": 2}} | spec), References(), done, Defaults())
    assert expected in dict(explain(decided).stages)[stage]


def test_explaining_a_plan_before_and_after_the_count():
    before, after = planned(deepspeed={}), planned(counted=facts(), deepspeed={}, workers=GPU)
    assert "Auto: decided after Check has counted the parameters" in explain_text(before)
    assert "Memory per rank" not in explain_text(before)
    text = explain_text(after)
    for column in COLUMNS:
        assert column in text
    assert "DDP" in text and "chosen, fits" in text  # noqa: PT018 - one row
    assert f"{after.fit.options[0].weights:,} bytes" in text


def test_the_arithmetic_in_an_explanation_adds_up():
    terms = dict(explain(planned(counted=facts(), workers=GPU)).memory)
    sizes = [
        int(terms[name].split()[0].replace(",", "")) for name in ("weights", "gradients", "optimizer", "buffers", "activations", "process")
    ]
    assert sum(sizes) == int(terms["needed"].split()[0].replace(",", ""))


@pytest.mark.parametrize(
    ("method", "counted", "lines"),
    [
        ({}, facts(), ["= (3,821,079,552 frozen x 2 B + 12,582,912 trained x 2 B) / 4 ranks", "= 12,582,912 x 12 B / 4 ranks"]),
        ({"tuner": "full"}, facts(trainable=None), ["= (3,821,079,552 trained x 2 B) / 4 ranks", "= 3,821,079,552 x 2 B / 4 ranks"]),
        (
            {"quantization": {"type": "bnb4"}},
            facts(),
            ["3,623,878,656 quantised x 4.127 bit + 197,200,896 other x 2 B + 12,582,912 trained x 2 B"],
        ),
        ({}, facts(trainable=0), ["= 0 x 0 B / 4 ranks"]),
    ],
)
def test_the_formula_is_written_out_with_its_numbers(method, counted, lines):
    text = explain_text(planned(counted=counted, **ROOMY, method=method, deepspeed={"stage": 3}, workers=GPU | {"replicas": 4}))
    for line in lines:
        assert line in text


def test_an_explanation_names_options_that_do_not_fit_or_are_refused():
    qdora = {"method": {"lora": {"useDora": True}, "quantization": {"type": "bnb4"}}, "deepspeed": {}}
    rows = {row[0]: row[-1] for row in explain(planned(counted=facts(), workers=GPU | {"acceleratorMemory": "6Gi"}, **qdora)).options}
    assert rows["ZeRO-3"].startswith("E101")
    full = {**ROOMY, "method": {"tuner": "full"}, "deepspeed": {"stage": 2}, "workers": GPU | {"acceleratorMemory": "16Gi"}}
    assert any("too much" in row[-1] for row in explain(planned(counted=facts(trainable=None), **full)).options)
    assert "no limit is set" in explain_text(planned(counted=facts()))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, ["claim models, phi3", "LoRA r=8", "1 rank, DDP", "created, 50Gi, kept with the job", "no server"]),
        ({"model": {"source": {"pvc": {"claimName": "models", "path": None}}}}, ["claim models, its root"]),
        ({"model": {"source": {"pvc": None, "huggingFace": {"repo": "a/b"}}}}, ["a/b@main from the hub"]),
        ({"method": {"tuner": "full"}, "workers": {"replicas": 2}}, ["full fine-tune", "2 ranks"]),
        ({"method": {"tuner": "ia3"}, "workers": {"replicas": 2}}, ["IA3", "2 ranks"]),
        ({"method": {"lora": {"useDora": True}, "quantization": {"type": "bnb4"}}}, ["QDoRA r=8"]),
        ({"output": {"storage": {"claimName": "out"}, "destinations": [{"pvc": {"claimName": "done", "path": "team"}}]}}, ["claim out\n", "claim done, folder team"]),
        ({"output": {"storage": {"retain": False}}}, ["deleted with the job"]),
    ],
)  # fmt: skip
def test_an_explanation_is_plain_text(spec, words):
    text = explain_text(planned(**spec))
    for word in words:
        assert word in text


def test_an_explanation_of_everything_names_the_server_and_the_offload():
    asked = {**SERVED, **ROOMY, "method": {"tuner": "full"}, "deepspeed": {"stage": 2}, "workers": GPU | {"acceleratorMemory": "12Gi"}}
    made = forecast(job(asked), CLUSTER, Defaults(), model_facts=facts(trainable=None))
    text = explain_text(made)
    assert "Deployment support-bot-serve: 2 x bot" in text
    assert "Job support-bot-train-0: 1 rank, ZeRO-2 + optimizer on cpu" in text
    assert "offloaded" in text
    local = replace(made, model_source=FolderSource(path="/home/me/base"))
    assert "model        /home/me/base" in explain_text(local)
    assert isinstance(made.model_source, ClaimSource)


VARIED = st.fixed_dictionaries(
    {},
    optional={
        "task": st.sampled_from(["ChatCompletion", "TextGeneration"]),
        "model": st.sampled_from([{"dtype": "float32"}, {"source": {"pvc": None, "huggingFace": {"repo": "a/b"}}}, {"source": {"pvc": None, "path": "base"}}]),
        "method": st.fixed_dictionaries(
            {"tuner": st.sampled_from(["lora", "full"])},
            optional={"quantization": st.fixed_dictionaries({"type": st.sampled_from(["none", "bnb4", "bnb8"])})},
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "precision": st.sampled_from(["bf16", "fp32"]),
                "perDeviceTrainBatchSize": st.integers(1, 64),
                "globalBatchSize": st.integers(1, 4096),
                "gradientCheckpointing": st.booleans(),
                "evalStrategy": st.sampled_from(["no", "steps", "epoch"]),
                "optim": st.sampled_from(["adamw_torch", "sgd", "adafactor"]),
            },
        ),
        "deepspeed": st.fixed_dictionaries(
            {},
            optional={
                "stage": st.sampled_from(["Auto", 0, 1, 2, 3]),
                "offloadOptimizer": st.fixed_dictionaries({"device": st.sampled_from(["Auto", "none", "cpu"])}),
                "offloadParam": st.fixed_dictionaries({"device": st.sampled_from(["Auto", "none", "cpu"])}),
            },
        ),
        "workers": st.fixed_dictionaries(
            {"replicas": st.integers(1, 64)},
            optional={"resources": st.sampled_from([{"limits": {"nvidia.com/gpu": 2}}, {"limits": {"memory": "4Gi"}}])},
        ),
        "output": st.fixed_dictionaries({}, optional={"storage": st.fixed_dictionaries({"size": st.sampled_from(["1Gi", "1Ti"])})}),
        "serving": st.fixed_dictionaries({"replicas": st.integers(0, 4)}),
        "suspend": st.booleans(),
    },
)  # fmt: skip
OUTCOMES = st.builds(
    past,
    check=st.sampled_from([*StageState, checked(), checked(facts(trainable=None))]),
    train=st.sampled_from(StageState),
    attempts=st.integers(0, 5),
    failures=st.integers(0, 5),
    asks=st.sampled_from([None, *Disposition]),
    export=st.sampled_from(StageState),
)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(changes=VARIED, so_far=OUTCOMES, on_one_machine=st.booleans())
def test_any_admitted_job_is_planned_or_refused_with_a_message(changes, so_far, on_one_machine):
    asked = job(merged({}, changes))
    if objections(asked.spec):
        return
    refs = References(host_paths=on_one_machine, folders={"base": "/home/me/base"} if on_one_machine else {})
    made = plan(asked, refs, so_far, Defaults())
    if isinstance(made, Rejection | ReferencesMissing):
        assert len(str(made)) > 20  # either outcome is right, but it must have a message
        return
    assert plan(asked, refs, so_far, Defaults()) == made
    assert made.train is None or 0 <= made.train.attempt <= so_far.train.attempts
    assert explain_text(made)
