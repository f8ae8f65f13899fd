"""A gang that continues with another number of processes: the same examples in the same global batches, and the same loss.

One chain per combination: a run on two ranks that nothing happens to; from its checkpoint of step 4 one rank continues; from that one's
checkpoint of step 8 two ranks do. The dataset's 22 examples do not fill the last batch of an epoch, and step 8 lies in the second epoch.
"""

import json
import shutil
from pathlib import Path

import pytest
from gang import WarmGang, Workspace, deepspeed, job, merged, write_chat
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, TrainReport

safetensors_torch = lazily("safetensors.torch")

pytestmark = pytest.mark.slow

STEPS = 12
TOLERANCE = 1e-4  # absolute, on losses between 7 and 1: sums in another order round differently

NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float32"}
FULL = {"method": {"tuner": "full", "lora": None}, "training": {"learning_rate": 1e-3}}
TUNERS = {"lora": {}, "full": FULL, "dora": {"method": {"lora": {"use_dora": True}}}, "qlora": {"method": {"quantization": NF4}}}
STRATEGIES = {"ddp": None, "zero1": 1, "zero2": 2, "zero3": 3}
ALWAYS = {("qlora", "ddp"), ("lora", "zero2"), ("full", "zero3"), ("qlora", "zero3")}
CELLS = [
    pytest.param(tuner, strategy, id=f"{tuner} under {strategy}", marks=[] if (tuner, strategy) in ALWAYS else [pytest.mark.matrix])
    for tuner in TUNERS
    for strategy in STRATEGIES
]


def of(ranks: int, *, tuner: str = "lora", strategy: str = "zero2", **changes):
    """A job whose four examples per step are shared out by two ranks in one pass, or by one rank in two."""
    stage = STRATEGIES[strategy]
    config = {
        "worldSize": ranks,
        "deepspeed": None if stage is None else deepspeed(stage),
        "training": {
            "max_steps": STEPS,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2 // ranks,
            "save_strategy": "steps",
            "save_steps": 4,
            "lr_scheduler_type": "linear",
            "weight_decay": 0.1,  # of which some parameters are spared
        },
    }
    return job(**merged(merged(TUNERS[tuner], config), changes))


@pytest.fixture
def space(tmp_path: Path, base_model: Path) -> Workspace:
    made = Workspace(tmp_path, base_model)
    write_chat(made.data / "corpus" / "train.jsonl", 22)
    return made


def train(gang: WarmGang, space: Workspace, config) -> None:
    codes = gang.run(space, config, record=True)
    assert codes == [ExitCode.DONE] * config["worldSize"], (space.root / "pod" / "log").read_text()[-6000:]


def set_back_to(space: Workspace, step: int) -> None:
    """As if the run had been stopped there."""
    shutil.rmtree(space.output / "final")
    for name in space.checkpoints:
        if int(name.split("-")[1]) > step:
            shutil.rmtree(space.output / "checkpoints" / name)
    for record in space.root.glob("examples-*.jsonl"):
        record.unlink()


def resumed_from(space: Workspace) -> int | None:
    report = space.report()
    assert isinstance(report, TrainReport)
    return report.resumed_from_step


def examples(space: Workspace) -> dict[int, list[list[int]]]:
    """Step -> the token ids of the examples that all ranks together learned from."""
    steps: dict[int, list[list[int]]] = {}
    for record in space.root.glob("examples-*.jsonl"):
        for line in record.read_text().splitlines():
            entry = json.loads(line)
            steps.setdefault(entry["step"], []).extend(entry["examples"])
    return {step: sorted(found) for step, found in sorted(steps.items())}


@pytest.mark.parametrize(("tuner", "strategy"), CELLS)
def test_another_number_of_ranks_resumes_at_the_right_example(gang: WarmGang, space: Workspace, tuner: str, strategy: str) -> None:
    train(gang, space, of(2, tuner=tuner, strategy=strategy))
    undisturbed, read = space.losses(), examples(space)
    assert {len(batch) for batch in read.values()} == {4}

    for ranks, step in ((1, 4), (2, 8)):
        set_back_to(space, step)
        left_by_a_kill = space.output / "checkpoints" / f".partial-universal-checkpoint-{step}"
        left_by_a_kill.mkdir()
        (left_by_a_kill / "latest_universal").write_text("half")

        train(gang, space, of(ranks, tuner=tuner, strategy=strategy))

        assert resumed_from(space) == step
        assert examples(space) == {number: batch for number, batch in read.items() if number > step}
        assert space.losses() == pytest.approx(undisturbed, abs=TOLERANCE)
        assert sorted(path.name for path in (space.output / "checkpoints").iterdir()) == ["checkpoint-12", "checkpoint-4", "checkpoint-8"]


@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_the_best_checkpoint_can_be_from_another_number_of_ranks(gang: WarmGang, space: Workspace, strategy: str) -> None:
    """The highest loss counts as the best here, so that it is known to be the first."""
    best = {
        "eval_strategy": "steps",
        "eval_steps": 4,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": True,
    }
    changes = {"training": best, "data": {"validation": [{"path": "corpus/validation.jsonl"}]}}
    train(gang, space, of(2, strategy=strategy, **changes))
    set_back_to(space, 4)

    train(gang, space, of(1, strategy=strategy, **changes))

    final = safetensors_torch.load_file(space.output / "final" / "adapter_model.safetensors")
    kept = safetensors_torch.load_file(space.output / "checkpoints" / "checkpoint-4" / "adapter_model.safetensors")
    assert resumed_from(space) == 4
    assert final.keys() == kept.keys()
    assert all(final[name].equal(kept[name]) for name in final)


def refused(gang: WarmGang, space: Workspace, config) -> Failure:
    kept = space.checkpoints
    assert gang.run(space, config) == [ExitCode.CONFIGURATION]
    assert space.checkpoints == kept
    report = space.report()
    assert isinstance(report, Failure)
    return report


def test_another_global_batch_is_refused(gang: WarmGang, space: Workspace) -> None:
    train(gang, space, of(2, training={"save_steps": 12}))
    set_back_to(space, STEPS)

    said = refused(gang, space, of(1, training={"save_steps": 12, "gradient_accumulation_steps": 1}))

    assert said.reason == "CheckpointInputs"
    assert "settings (training.global_batch_size)" in said.message


def test_shards_of_an_optimizer_that_cannot_be_partitioned_again_are_refused(gang: WarmGang, space: Workspace) -> None:
    train(gang, space, of(2, training={"save_steps": 12, "optim": "sgd"}))
    set_back_to(space, STEPS)

    said = refused(gang, space, of(1, training={"save_steps": 12, "optim": "sgd"}))

    assert said.reason == "CheckpointWorldSize"
    assert "training.optim sgd" in said.message
    assert "2 processes" in said.suggestion
