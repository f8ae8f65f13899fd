"""Trained 16-bit weights have an fp32 copy on every path: bf16 training learns as ZeRO-1 does, whatever spreads it.

A row of `STRATEGIES` is a `deepspeed` section; a row of `TUNERS` is what is trained. Updates of the learning rate below round to nothing
on weights that are bf16 themselves.
"""

import pytest
from gang import WarmGang, Workspace, deepspeed, job, merged
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import TrainerConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.tuning.master_weights import require_masters, to_fp32

safetensors_torch = lazily("safetensors.torch")
torch = lazily("torch")

NO_BF16_SECTION = {name: value for name, value in deepspeed(1).items() if name != "bf16"}
STRATEGIES = {
    "no deepspeed section": None,
    "DeepSpeed's own stage 0": deepspeed(0),
    "ZeRO-1": deepspeed(1),
    "ZeRO-2": deepspeed(2),
    "ZeRO-3": deepspeed(3),
    "a raw configuration without bf16": NO_BF16_SECTION,
}
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"}
TUNERS = {
    "full": {"method": {"tuner": "full", "lora": None}},
    "LoRA": {},
    "LoRA and a whole head": {"method": {"lora": {"modules_to_save": ["lm_head"]}}},
    "LoRA and whole embeddings": {"method": {"lora": {"modules_to_save": ["embed_tokens"]}}},
    "QLoRA": {"method": {"quantization": NF4}},
}
STEPS = 20


def bf16_job(tuner: str, strategy: str, **changes):
    training = {"bf16": True, "learning_rate": 2e-4, "max_steps": STEPS, "lr_scheduler_type": "constant"}
    whole = {"worldSize": 2, "model": {"dtype": "bfloat16"}, "training": training, "deepspeed": STRATEGIES[strategy]}
    return job(**merged(merged(TUNERS[tuner], whole), changes))


@pytest.fixture(scope="module")
def with_zero_1(gang: WarmGang, base_model, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of a full fine-tune, by step."""
    space = Workspace(tmp_path_factory.mktemp("zero1"), base_model)
    assert gang.run(space, bf16_job("full", "ZeRO-1")) == [ExitCode.DONE, ExitCode.DONE]
    return space.losses()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "ZeRO-1"])
def test_a_full_fine_tune_of_bf16_weights_ends_near_zero_1(gang: WarmGang, space: Workspace, with_zero_1, strategy: str) -> None:
    assert gang.run(space, bf16_job("full", strategy)) == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-6000:]

    gained, expected = space.losses()[1] - space.losses()[STEPS], with_zero_1[1] - with_zero_1[STEPS]
    assert gained == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("tuner", [name for name in TUNERS if name != "full"])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_without_deepspeed_all_that_is_trained_is_fp32(gang: WarmGang, space: Workspace, tuner: str, precision: str) -> None:
    config = bf16_job(tuner, "no deepspeed section", training={"bf16": precision == "bf16", "max_steps": 2})

    assert gang.run(space, config) == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-6000:]
    saved = safetensors_torch.load_file(space.output / "final" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_trained_16_bit_parameter_without_a_master_copy_is_refused(dtype: str) -> None:
    model, config = (
        torch.nn.Linear(2, 2, dtype=getattr(torch, dtype)),
        TrainerConfig.model_validate(bf16_job("full", "no deepspeed section")),
    )
    with pytest.raises(StageError, match=r"2 trained parameter.* the first is weight") as refused:
        require_masters(model, config)
    assert refused.value.reason == "NoMasterWeights"
    assert "deepspeed.stage" in refused.value.suggestion

    to_fp32(model, config)
    require_masters(model, config)


@pytest.mark.parametrize("strategy", ["DeepSpeed's own stage 0", "ZeRO-1", "ZeRO-2", "ZeRO-3"])
def test_deepspeed_in_bf16_keeps_the_master_copies_itself(strategy: str) -> None:
    model, config = torch.nn.Linear(2, 2, dtype=torch.bfloat16), TrainerConfig.model_validate(bf16_job("full", strategy))
    to_fp32(model, config)
    assert model.weight.dtype == torch.bfloat16
    require_masters(model, config)


def test_deepspeed_in_fp16_keeps_the_master_copies_itself() -> None:
    sections = {**NO_BF16_SECTION, "fp16": {"enabled": "auto"}}
    changes = {"deepspeed": sections, "training": {"bf16": False, "fp16": True}}
    model, config = torch.nn.Linear(2, 2, dtype=torch.float16), TrainerConfig.model_validate(job(**changes))
    to_fp32(model, config)
    assert model.weight.dtype == torch.float16
    require_masters(model, config)
