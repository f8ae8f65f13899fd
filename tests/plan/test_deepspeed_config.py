"""The DeepSpeed configuration, filled in by transformers and read by DeepSpeed itself."""

from types import SimpleNamespace

import pytest
from lazily import lazily
from plan_jobs import job

from tunewright.api.v1alpha1.deepspeed import DeepSpeedSpec
from tunewright.plan.library_arguments import deepspeed_config
from tunewright.plan.memory.estimate import Strategy

zero_config = lazily("deepspeed.runtime.zero.config")
integration = lazily("transformers.integrations.deepspeed")


def config(stage=2, optimizer="none", param="none", *, on_accelerator=True, **fields):
    spec = job({"deepspeed": fields}).spec.deepspeed
    return deepspeed_config(spec, Strategy(stage=stage, offload_optimizer=optimizer, offload_param=param), on_accelerator=on_accelerator)


def test_without_deepspeed_there_is_none():
    assert deepspeed_config(None, Strategy(stage=0), on_accelerator=True) is None


def test_stage_0_is_plain_ddp_because_deepspeeds_own_differs_from_the_second_step_on():
    assert config(0) is None


def test_a_raw_configuration_is_copied_unchanged():
    raw = {"zero_optimization": {"stage": 1}, "train_batch_size": "auto"}
    spec = DeepSpeedSpec(config=raw)
    found = deepspeed_config(spec, Strategy(stage=1), on_accelerator=False)
    assert found == raw
    found["zero_optimization"]["stage"] = 3
    assert spec.config == raw


def test_stage_2():
    assert config(2) == {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": 2, "contiguous_gradients": True, "overlap_comm": False, "reduce_bucket_size": "auto"},
    }


def test_stage_3_gathers_on_save_and_leaves_sizes_to_transformers():
    zero = config(3)["zero_optimization"]
    assert zero == {
        "stage": 3,
        "contiguous_gradients": True,
        "overlap_comm": True,
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_param_persistence_threshold": "auto",
        "stage3_gather_16bit_weights_on_model_save": True,
    }


def test_offloading_needs_no_compiler_on_the_worker():
    found = config(3, "cpu", "nvme", offloadOptimizer={"ratio": 0.5, "pinMemory": True}, offloadParam={"nvmePath": "/scratch"})
    assert found["zero_force_ds_cpu_optimizer"] is False
    assert found["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": True, "ratio": 0.5}
    assert found["zero_optimization"]["offload_param"] == {"device": "nvme", "pin_memory": False, "nvme_path": "/scratch"}
    assert "optimizer" not in found
    assert "ratio" not in config(2, "cpu", offloadOptimizer={"ratio": 0.5})["zero_optimization"]["offload_optimizer"]


@pytest.mark.parametrize(
    ("stage", "asked", "on_accelerator", "overlap"),
    [(1, None, True, False), (2, None, True, False), (3, None, True, True), (3, None, False, False), (2, True, True, True), (3, False, True, False)],
)  # fmt: skip
def test_communication_overlaps_as_set_or_by_deepspeeds_default(stage, asked, on_accelerator, overlap):
    fields = {} if asked is None else {"overlapComm": asked}
    assert config(stage, on_accelerator=on_accelerator, **fields)["zero_optimization"]["overlap_comm"] is overlap


def test_typed_sizes_and_quantised_communication_are_copied():
    zero = config(
        3, reduceBucketSize=1000, stage3PrefetchBucketSize=900, stage3ParamPersistenceThreshold=0, zeroQuantizedWeights=True,
        zeroHpzPartitionSize=8, zeroQuantizedGradients=True, zeroQuantizedNontrainableWeights=True, stage3Gather16bitWeightsOnModelSave=False,
    )["zero_optimization"]  # fmt: skip
    assert (zero["reduce_bucket_size"], zero["stage3_prefetch_bucket_size"], zero["stage3_param_persistence_threshold"]) == (1000, 900, 0)
    assert all(zero[f"zero_quantized_{what}"] is True for what in ("weights", "gradients", "nontrainable_weights"))
    assert (zero["zero_hpz_partition_size"], zero["stage3_gather_16bit_weights_on_model_save"]) == (8, False)


ARGUMENTS = SimpleNamespace(
    world_size=2, per_device_train_batch_size=4, gradient_accumulation_steps=2, max_grad_norm=1.0, learning_rate=1e-4, adam_beta1=0.9,
    adam_beta2=0.999, adam_epsilon=1e-8, weight_decay=0.0, save_on_each_node=False, fp16=False, fp16_full_eval=False, bf16=True,
    bf16_full_eval=False, get_warmup_steps=lambda _: 0,
)  # fmt: skip


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["none", "cpu"])
def test_transformers_fills_in_every_auto_and_deepspeed_accepts_the_result(stage, optimizer):
    filled = integration.HfTrainerDeepSpeedConfig(config(stage, optimizer))
    filled.trainer_config_process(ARGUMENTS)
    filled.trainer_config_finalize(ARGUMENTS, SimpleNamespace(config=SimpleNamespace(hidden_size=64)), 10)
    assert "auto" not in str(filled.config)
    assert (filled.config["train_batch_size"], filled.config["bf16"]) == (16, {"enabled": True})
    zero = zero_config.DeepSpeedZeroConfig(**filled.config["zero_optimization"])
    assert (int(zero.stage), zero.reduce_bucket_size) == (stage, 64 * 64)
