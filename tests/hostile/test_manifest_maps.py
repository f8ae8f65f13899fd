"""Open places of a manifest: raw maps and values of several types. Bounded in depth, entries and lengths, by the CRD and by the operator.

To add a case, add a place, or a value that must be refused or taken at each place.
"""

import json
from typing import Any

import pytest
from open_places import HOSTILE, LEAVES, VALUES, job_text

from tunewright.api.admission import ManifestError, read_job
from tunewright.api.crdgen import crd


def job_with(field: str, value: Any) -> str:
    return job_text(field, json.dumps(value))


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("field", LEAVES)
def test_an_open_map_is_refused_beyond_its_bounds(field: str, value: Any) -> None:
    with pytest.raises(ManifestError) as refused:
        read_job(job_text(f"{field}.{LEAVES[field][0]}", value), "job.yaml")
    assert all(len(problem.message) < 300 for problem in refused.value.problems)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("field", VALUES)
def test_a_value_of_several_types_is_refused_beyond_its_bounds(field: str, value: Any) -> None:
    with pytest.raises(ManifestError):
        read_job(job_text(field, value), "job.yaml")


def unbounded(node: dict[str, Any], path: str) -> list[str]:
    """Return the places of a schema that take values of any depth."""
    found = []
    if node.get("x-kubernetes-preserve-unknown-fields"):
        for bound, inner in (("maxItems", "items"), ("maxProperties", "additionalProperties")):
            if bound not in node or (node[bound] > 0 and inner not in node and not is_filled(node)):
                found.append(f"{path} has no {bound}, or entries without a schema")
        if "maxLength" not in node:
            found.append(f"{path} has no maxLength")
    for name, child in node.get("properties", {}).items():
        found += unbounded(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            found += unbounded(node[inner], f"{path}[*]")
    return found


def is_filled(node: dict[str, Any]) -> bool:
    """Return whether an object has room for its required fields only, and each of them has a schema."""
    required = set(node.get("required", ()))
    return len(required) == node.get("maxProperties") and required <= node.get("properties", {}).keys()


def test_no_field_of_the_crd_accepts_values_of_any_depth() -> None:
    (version,) = crd()["spec"]["versions"]
    assert unbounded(version["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec") == []


ENVIRONMENT = {
    "PYTHONPATH": "which code runs", "PYTHONSTARTUP": "which code runs", "PYTHONHOME": "which code runs", "PYTHONWARNINGS": "which code runs",
    "LD_PRELOAD": "which code runs", "LD_LIBRARY_PATH": "which code runs", "LD_AUDIT": "which code runs", "PATH": "which code runs",
    "BASH_ENV": "which code runs", "GCONV_PATH": "which code runs", "CC": "which code runs", "CUDA_INJECTION64_PATH": "which code runs",
    "NVIDIA_VISIBLE_DEVICES": "which devices", "RANK": "set it", "WORLD_SIZE": "set it", "MASTER_ADDR": "set it", "PET_NNODES": "set it",
    "TUNEWRIGHT_OUTPUT_DIR": "set it", "KUBEFLOW_TRAINER_SERVER_URL": "set it", "HF_HOME": "set it", "HOME": "set it",
    "HF_TOKEN": "token", "HF_ENDPOINT": "token", "NCCL_NET_PLUGIN": "load or to write", "NCCL_TOPO_DUMP_FILE": "load or to write",
    "TORCH_EXTENSIONS_DIR": "load or to write", "TRITON_CACHE_DIR": "load or to write", "SSLKEYLOGFILE": "load or to write",
}  # fmt: skip
TAKEN = [
    "OMP_NUM_THREADS",
    "NCCL_DEBUG",
    "NCCL_SOCKET_IFNAME",
    "TOKENIZERS_PARALLELISM",
    "CUDA_VISIBLE_DEVICES",
    "MY_APP",
    "HTTPS_PROXY",
    "MYPATH",
    "DS_ACCELERATOR",
]


@pytest.mark.parametrize(("name", "why"), ENVIRONMENT.items(), ids=ENVIRONMENT)
def test_a_variable_with_effects_outside_the_job_is_refused_by_name(name: str, why: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read_job(job_with("workers.env", [{"name": "FINE"}, {"name": name, "value": "/x"}]), "job.yaml")
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == ("E016", "spec.workers.env")
    assert name in problem.message
    assert why in problem.message


@pytest.mark.parametrize("name", TAKEN)
def test_other_variables_are_accepted(name: str) -> None:
    read_job(job_with("workers.env", [{"name": name, "value": "1"}]), "job.yaml")


DEEPSPEED = {
    "flops_profiler": {"enabled": True, "output_file": "profile.txt"}, "csv_monitor": {"enabled": True}, "tensorboard": {"enabled": True},
    "wandb": {"enabled": True, "host": "http://example.invalid"}, "comet": {"enabled": True}, "autotuning": {"enabled": True},
    "dump_state": True, "comms_logger": {"enabled": True}, "aio": {"block_size": 1}, "checkpoint": {"load_universal": True},
    "hybrid_engine": {"enabled": True}, "data_efficiency": {"enabled": True}, "monitor_config": {}, "surprise": 1,
}  # fmt: skip
INNER = {
    "zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu", "nvme_path": "/x"}},
    "optimizer": {"type": "SGD", "params": {"closure": "x"}},
    "scheduler": {"type": "WarmupLR", "params": {"callback": "x"}},
    "bf16": {"enabled": "auto", "path": "/x"},
    "fp16": {"enabled": {"a": 1}},
    "activation_checkpointing": {"module": "os"},
}


@pytest.mark.parametrize(("key", "value"), {**DEEPSPEED, **INNER}.items(), ids={**DEEPSPEED, **INNER})
def test_a_key_that_training_does_not_need_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ManifestError) as refused:
        read_job(job_with("deepspeed", {"config": {key: value}}), "job.yaml")
    (problem,) = [problem for problem in refused.value.problems if problem.code == "E211"]
    assert key in problem.message
    assert "Delete these keys" in problem.way_out


def test_keys_of_common_configurations_are_accepted() -> None:
    usual = {
        "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "steps_per_print": 10,
        "bf16": {"enabled": "auto"}, "zero_optimization": {"stage": 2, "overlap_comm": True, "reduce_bucket_size": 5e8, "offload_optimizer": {"device": "cpu"}},
        "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": "auto", "warmup_min_lr": "auto", "warmup_max_lr": "auto"}},
        "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "torch_adam": True}}, "zero_allow_untested_optimizer": True,
    }  # fmt: skip
    read_job(job_with("deepspeed", {"config": usual}), "job.yaml")
