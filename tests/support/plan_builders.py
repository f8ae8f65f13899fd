"""Plans for tests: one that runs everywhere, and one that needs accelerators."""

from dataclasses import replace
from typing import Any

from tunewright.plan.names import names_of
from tunewright.plan.plan_types import (
    ClaimSource,
    DataVolume,
    FineTunePlan,
    FolderSource,
    MemoryFit,
    NewClaim,
    Owner,
    PodOptions,
    PodPlan,
    SecretKey,
    ServePlan,
    Storage,
    TrainPlan,
)
from tunewright.plan.rollout import PublishedModel
from tunewright_contract import stages
from tunewright_contract.stages import CHECK, TRAIN, Stage
from tunewright_contract.trainer_config import DataConfig, DataFile, HubModel, JobIdentity, MethodConfig, ModelConfig, TrainerConfig

REVISION = "3f9a1c2b"
UID = "0b9d6c1e-6d1c-4f0e-9a53-3b1f2f0f3c11"
GANG = TrainPlan(attempt=0, replicas=2, processes_per_replica=1, global_batch_size=16, resources={"limits": {"cpu": "1", "memory": "4Gi"}})


def quickstart_plan(**changes: Any) -> FineTunePlan:
    """Two ranks on processors; model and data are folders of one machine; every stage up to Train is wanted.

    A change may name a stage: its plan, or None for a stage that is not wanted.
    """
    name = changes.pop("name", "support-bot")
    plan = FineTunePlan(
        owner=Owner(namespace="default", name=name, uid=UID),
        names=names_of(name),
        revision=REVISION,
        config=_config(name, ModelConfig(dtype="float32")),
        trainer_image="tunewright/trainer:0.1.0",
        server_image="tunewright/server:0.1.0",
        model_source=FolderSource(path="/home/ada/base-model"),
        data_volumes=(DataVolume(name="data-9f86d081", source=FolderSource(path="/home/ada/data")),),
        storage=Storage(output_claim=names_of(name).output, models_claim=names_of(name).output, create=NewClaim(size="10Gi")),
        fit=MemoryFit(
            zero_stage=2,
            offload_optimizer="none",
            offload_param="none",
            world_size=2,
            estimated_bytes_per_rank=52_428_800,
            needed_bytes_per_rank=52_428_800,
            available_bytes_per_rank=4 * 2**30,
            why="ZeRO-2 as asked: 50.0 MiB of 4.00 GiB per rank",
        ),
        progress_url="http://127.0.0.1:20001/apis/tunewright.io/v1alpha1/namespaces/default/finetunejobs/support-bot/status",
        stages={CHECK: PodPlan(), TRAIN: GANG},
    )
    return changed(plan, **changes)


def hub_plan(**changes: Any) -> FineTunePlan:
    """Two pods of four accelerators, ZeRO-3, a gated model from the hub, claims and a queue of the cluster."""
    name = "phi3"
    plan = quickstart_plan(
        name=name,
        config=_config(name, ModelConfig(hub=HubModel(repo="microsoft/Phi-3-mini-4k-instruct", revision="main")), stage=3, world_size=8),
        model_source=None,
        data_volumes=(DataVolume(name="corpora-1a2b3c4d", source=ClaimSource(claim="corpora", path="chat")),),
        storage=Storage(
            output_claim="phi3-output", models_claim="models", models_path="tuned", create=NewClaim(size="100Gi", storage_class="fast")
        ),
        hub_token=SecretKey(name="hugging-face", key="token"),
        hub_access=True,
        progress_url="https://tunewright.tunewright-system.svc:10443/apis/tunewright.io/v1alpha1/namespaces/default/finetunejobs/phi3/status",
        pass_labels={"kueue.x-k8s.io/queue-name": "team-a", "kai.scheduler/queue": "team-a"},
        pass_annotations={"kueue.x-k8s.io/podset-required-topology": "rack"},
        active_deadline_seconds=86_400,
        train=TrainPlan(
            attempt=0,
            replicas=2,
            processes_per_replica=4,
            global_batch_size=64,
            resources={"limits": {"nvidia.com/gpu": "4", "cpu": "30", "memory": "240Gi"}},
            shared_memory="16Gi",
        ),
    )
    return changed(plan, **changes)


def changed(plan: FineTunePlan, **changes: Any) -> FineTunePlan:
    """The same job with other fields, or other plans of the stages that are named."""
    wanted = {stage: changes.pop(stage.name, plan.stages.get(stage)) for stage in stages.STAGES}
    return replace(plan, stages={stage: found for stage, found in wanted.items() if found is not None}, **changes)


def every_stage(**options: Any) -> dict[Stage, PodOptions]:
    """Return the same options for the pods of all stages."""
    return dict.fromkeys(stages.STAGES, PodOptions(**options))


def exporting(plan: FineTunePlan) -> FineTunePlan:
    """The same job when its model is exported."""
    return changed(plan, export=PodPlan(resources={"limits": {"cpu": "2", "memory": "4Gi"}}))


def serving(plan: FineTunePlan, **changes: Any) -> FineTunePlan:
    """The same job when its model is served."""
    own = PublishedModel(job=plan.owner.name, revision=plan.revision, claim=plan.storage.models_claim, path=plan.storage.models_path)
    server = ServePlan(replicas=1, model=own, model_name="support-bot", resources={"limits": {"cpu": "2", "memory": "2Gi"}})
    return changed(exporting(plan), serve=replace(server, **changes))


def _config(name: str, model: ModelConfig, *, stage: int = 2, world_size: int = 2) -> TrainerConfig:
    return TrainerConfig(
        job=JobIdentity(namespace="default", name=name, uid=UID, revision=REVISION),
        task="ChatCompletion",
        model=model,
        data=DataConfig(train=[DataFile(path="data-9f86d081/train.jsonl", format="messages")]),
        method=MethodConfig(lora={"r": 16, "target_modules": "all-linear"}),
        training={"learning_rate": 2e-4, "num_train_epochs": 1},
        deepspeed={"zero_optimization": {"stage": stage}},
        world_size=world_size,
    )
