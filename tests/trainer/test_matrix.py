"""Every tuner under every strategy: two real processes train a tiny Phi-3, and what they leave is opened and looked at."""

import pytest
from gang import WarmGang, Workspace, deepspeed, job, merged
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, TrainReport

safetensors_torch = lazily("safetensors.torch")

pytestmark = pytest.mark.slow

NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float32"}
IA3 = {"tuner": "ia3", "lora": None, "ia3": {"target_modules": ["qkv_proj", "down_proj"], "feedforward_modules": ["down_proj"]}}
TUNERS = {
    "full": {"method": {"tuner": "full", "lora": None}, "training": {"learning_rate": 1e-3}},
    "lora": {},
    "dora": {"method": {"lora": {"use_dora": True}}},
    "qlora": {"method": {"quantization": NF4}},
    "ia3": {"method": IA3, "training": {"learning_rate": 5e-2}},
    "qdora": {"method": {"quantization": NF4, "lora": {"use_dora": True}}},
}
STRATEGIES = {"ddp": None, "zero1": 1, "zero2": 2, "zero3": 3}
ALWAYS = {
    ("full", "zero3"),
    ("full", "ddp"),
    ("lora", "ddp"),
    ("dora", "zero3"),
    ("qlora", "zero2"),
    ("qlora", "zero3"),
    ("lora", "zero1"),
    ("dora", "ddp"),
    ("ia3", "ddp"),
    ("ia3", "zero3"),
}
CELLS = [
    pytest.param(tuner, strategy, id=f"{tuner} under {strategy}", marks=[] if (tuner, strategy) in ALWAYS else [pytest.mark.matrix])
    for tuner in TUNERS
    for strategy in STRATEGIES
    if (tuner, strategy) != ("qdora", "zero3")
]


def two_ranks(tuner: str, strategy: str, **changes):
    stage = STRATEGIES[strategy]
    gang_of_two = {"worldSize": 2, "deepspeed": None if stage is None else deepspeed(stage)}
    return job(**merged(TUNERS[tuner] | gang_of_two, changes))


OFFLOADS = {
    "the optimizer at stage 2": deepspeed(2, offload_optimizer={"device": "cpu"}),
    "optimizer and weights at stage 3": deepspeed(3, offload_optimizer={"device": "cpu"}, offload_param={"device": "cpu"}),
}


@pytest.mark.parametrize("strategy", ["ddp", "zero2", "zero3"])
def test_the_operators_defaults_train(gang: WarmGang, space: Workspace, strategy: str) -> None:
    """Bfloat16 throughout and gradient checkpointing, with validation after each epoch."""
    defaults = {"bf16": True, "gradient_checkpointing": True, "eval_strategy": "epoch", "save_strategy": "steps", "save_steps": 3}
    data = {"validation": [{"path": "corpus/validation.jsonl"}]}

    codes = gang.run(space, two_ranks("lora", strategy, model={"dtype": "bfloat16"}, training=defaults | {"max_steps": 6}, data=data))

    assert codes == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-6000:]
    report = space.report()
    assert isinstance(report, TrainReport)
    assert report.eval_loss is not None
    assert report.eval_loss < space.losses()[1]
    assert space.checkpoints == ["checkpoint-3", "checkpoint-6"]


@pytest.mark.parametrize("config", OFFLOADS.values(), ids=OFFLOADS)
def test_offloading_gives_the_same_losses(gang: WarmGang, space: Workspace, config: dict) -> None:
    codes = gang.run(space, job(worldSize=2, deepspeed=config))

    assert codes == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-6000:]
    losses = space.losses()
    assert losses[6] < losses[1]


@pytest.mark.parametrize(("tuner", "strategy"), CELLS)
def test_two_ranks_train_and_save_changed_weights(gang: WarmGang, space: Workspace, tuner: str, strategy: str) -> None:
    codes = gang.run(space, two_ranks(tuner, strategy))

    assert codes == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-6000:]
    report = space.report()
    assert isinstance(report, TrainReport)
    assert (report.step, report.max_steps) == (6, 6)
    losses = space.losses()
    assert list(losses) == [1, 2, 3, 4, 5, 6]
    assert losses[6] < losses[1]
    final = space.output / "final"
    tensors = safetensors_torch.load_file(final / ("model.safetensors" if tuner == "full" else "adapter_model.safetensors"))
    assert all(tensor.numel() for tensor in tensors.values())
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (final / name).read_bytes() == (space.model / name).read_bytes()
    assert not list(final.glob("*.bin"))


def test_dora_on_a_quantised_base_under_zero3_is_refused_before_anything_is_loaded(gang: WarmGang, space: Workspace) -> None:
    codes = gang.run(space, two_ranks("qdora", "zero3"))

    assert codes == [ExitCode.CONFIGURATION, ExitCode.CONFIGURATION]
    report = space.report()
    assert isinstance(report, Failure)
    assert report.message.startswith("E101")
    assert "stage 2" in report.suggestion
