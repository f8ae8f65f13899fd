"""The environment variables of each stage's container.

Three layers, each overriding the ones before: defaults, the job's `env` of the stage, and the contract's own variables.
A secret is always a reference.
"""

from collections.abc import Mapping
from math import floor
from typing import Any

from tunewright.plan import label_names
from tunewright.plan.names import attempt_name
from tunewright.plan.plan_types import ClaimSource, EnvValue, FineTunePlan, SecretKey, ServePlan, TrainPlan
from tunewright.plan.rollout import PublishedModel
from tunewright.render import volumes
from tunewright_contract import environment
from tunewright_contract.quantities import amount
from tunewright_contract.stages import Stage

TERMINATION_LOG = "/dev/termination-log"
SERVER_PORT = 8080
RENDEZVOUS_PORT = 29500  # torchrun's own default

# Batches differ in length. oneDNN caches compiled code and scratch space for each shape, by default for 1024 of them, and glibc keeps an
# arena per thread: a rank grew by 1 GiB in 350 steps. With these settings its memory is constant, at the same speed.
_ON_CPU = {"DS_ACCELERATOR": "cpu", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "MALLOC_ARENA_MAX": "2"}
# Turn off telemetry of libraries; ONNX Runtime sends it on Linux since 1.29.
_PRIVATE = {"HF_HUB_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1"}

Resources = Mapping[str, Mapping[str, str]]


def pod_variables(plan: FineTunePlan, stage: Stage, resources: Resources) -> dict[str, EnvValue]:
    """Return the environment of a stage with one pod."""
    published: dict[str, EnvValue] = {environment.PUBLISH_DIR: _of_revision(plan, volumes.MODELS_DIR)} if stage.publishes else {}
    return {**_tunable(plan, resources), **plan.options(stage).env, **_contract(plan), **published}


def gang_variables(plan: FineTunePlan, stage: Stage, train: TrainPlan, attempt: int) -> dict[str, EnvValue]:
    """Return the environment of one pod of the gang: torchrun reads its options from PET_*, one per command-line flag."""
    gang: dict[str, EnvValue] = {
        "PET_NNODES": str(train.replicas),
        "PET_NPROC_PER_NODE": str(train.processes_per_replica),
        "PET_NODE_RANK": {"fieldRef": {"fieldPath": f"metadata.annotations['{label_names.COMPLETION_INDEX}']"}},
        "PET_MASTER_ADDR": f"{attempt_name(plan.names[stage], attempt)}-0.{plan.names[stage]}",
        "PET_MASTER_PORT": str(RENDEZVOUS_PORT),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_saving_seconds(train.termination_grace_seconds)),
    }
    return {
        **_tunable(plan, train.resources, processes=train.processes_per_replica),
        **plan.options(stage).env,
        **_contract(plan),
        **_progress(plan),
        **gang,
    }


def serve_variables(serve: ServePlan, model: PublishedModel, env: Mapping[str, EnvValue]) -> dict[str, EnvValue]:
    """Return the environment of the server."""
    optional: dict[str, EnvValue] = {} if serve.max_length is None else {environment.MAX_LENGTH: str(serve.max_length)}
    if serve.api_key is not None:
        optional[environment.API_KEY] = _secret(serve.api_key)
    if serve.smoke_test is not None:
        optional[environment.SMOKE_TEST] = serve.smoke_test.model_dump_json(exclude_none=True).replace("$", "$$")  # Kubernetes expands
    return {
        **_threads(serve.resources),
        **_PRIVATE,
        "PYTHONUNBUFFERED": "1",
        **env,
        **optional,
        environment.MODEL_DIR: f"{volumes.MODELS_DIR}/{model.job}/{model.revision}",
        environment.MODEL_NAME: serve.model_name,
        environment.HOST: "0.0.0.0",  # noqa: S104 - a pod's own address is not known when it is rendered
        environment.PORT: str(SERVER_PORT),
        environment.MAX_SLOTS: str(serve.max_slots),
        environment.EXECUTION_PROVIDERS: ",".join(serve.execution_providers),
        environment.DRAIN_SECONDS: str(serve.drain_seconds),
        environment.TERMINATION_LOG: TERMINATION_LOG,
    }


def env_list(variables: Mapping[str, EnvValue]) -> list[dict[str, Any]]:
    """Return a container's `env`, sorted by name."""
    return [
        {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": dict(value)}
        for name, value in sorted(variables.items())
    ]


def _tunable(plan: FineTunePlan, resources: Resources, *, processes: int = 1) -> dict[str, EnvValue]:
    return {
        **_threads(resources, processes=processes),
        **({} if _has_devices(resources) else _ON_CPU),
        **({} if plan.hub_access else {"HF_HUB_OFFLINE": "1"}),
        **_PRIVATE,
        "HF_HOME": volumes.CACHE_DIR,
        "TRITON_CACHE_DIR": f"{volumes.CACHE_DIR}/triton",  # by default in the home folder, which is read-only
        "PYTHONUNBUFFERED": "1",  # a killed process would lose buffered lines
    }


def _contract(plan: FineTunePlan) -> dict[str, EnvValue]:
    result: dict[str, EnvValue] = {
        environment.CONFIG: f"{volumes.CONFIG_DIR}/config.json",
        environment.DATA_DIR: volumes.DATA_DIR,
        environment.OUTPUT_DIR: _of_revision(plan, volumes.OUTPUT_DIR),
        environment.TERMINATION_LOG: TERMINATION_LOG,
    }
    if plan.model_source is not None:
        folder = plan.model_source.path.strip("/") if isinstance(plan.model_source, ClaimSource) else ""
        result[environment.MODEL_DIR] = f"{volumes.MODEL_DIR}/{folder}".rstrip("/")
    if plan.hub_token is not None:
        result["HF_TOKEN"] = _secret(plan.hub_token)
    return result


def _secret(key: SecretKey) -> EnvValue:
    return {"secretKeyRef": {"name": key.name, "key": key.key}}


def _saving_seconds(grace_seconds: int) -> int:
    """Return torchrun's share of the grace period: most of it for the ranks to save (default: 30 seconds), the rest to report."""
    return max(1, grace_seconds * 95 // 100)


def _progress(plan: FineTunePlan) -> dict[str, EnvValue]:
    if not plan.progress_url:
        return {}
    return {environment.PROGRESS_URL: plan.progress_url, environment.PROGRESS_TOKEN_FILE: f"{volumes.TOKEN_DIR}/token"}


def _of_revision(plan: FineTunePlan, folder: str) -> str:
    return f"{folder}/{plan.owner.name}/{plan.revision}"


def _threads(resources: Resources, *, processes: int = 1) -> dict[str, EnvValue]:
    """Divide the CPU limit among a pod's processes. Libraries count the node's CPUs, not the pod's, and would start too many threads."""
    limit = resources.get("limits", {}).get("cpu")
    return {} if limit is None else {"OMP_NUM_THREADS": str(max(1, floor(amount(limit) / processes)))}


def _has_devices(resources: Resources) -> bool:
    """Return whether the limits have a device plugin's resource (`vendor.example/device`)."""
    return any("/" in name for amounts in resources.values() for name in amounts)
