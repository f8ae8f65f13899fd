"""What is learned, from which weights, and when it ends: random weights, plain text, the best checkpoint, an eos that also pads."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
from gang import WarmGang, Workspace, deepspeed, job, merged
from lazily import lazily

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.tokenization import IGNORED, encode
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export

safetensors_torch = lazily("safetensors.torch")

pytestmark = pytest.mark.slow

DONE = [ExitCode.DONE, ExitCode.DONE]
FULL = {"tuner": "full", "lora": None}


def two_ranks(stage: int = 2, **changes):
    return job(**merged({"worldSize": 2, "deepspeed": deepspeed(stage)}, changes))


def log_of(space: Workspace) -> str:
    return (space.root / "pod" / "log").read_text()[-6000:]


def trained(space: Workspace) -> TrainReport:
    report = space.report()
    assert isinstance(report, TrainReport)
    return report


def write_text(path: Path, *texts: str) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def answer(folder: Path, prompt: str, *, tokens: int = 24) -> str:
    """What a model says greedily, with its special tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    said = AutoModelForCausalLM.from_pretrained(folder).generate(**asked, max_new_tokens=tokens, do_sample=False)
    return tokenizer.decode(said[0, asked["input_ids"].shape[1] :])


@pytest.fixture
def weightless(space: Workspace, tmp_path: Path) -> Workspace:
    """A base of which there is a configuration and a tokenizer only."""
    space.model = Path(shutil.copytree(space.model, tmp_path / "model"))
    (space.model / "model.safetensors").unlink()
    return space


FROM_SCRATCH = {"model": {"fromScratch": True}, "method": FULL, "training": {"learning_rate": 3e-3}}


def test_from_scratch_the_same_seed_draws_the_same_weights(gang: WarmGang, weightless: Workspace) -> None:
    space, config = weightless, two_ranks(stage=2, **FROM_SCRATCH)
    drawn, losses = [], []
    for _ in range(2):
        assert gang.run(space, config) == DONE, log_of(space)
        drawn.append((space.output / "base" / "model.safetensors").read_bytes())
        losses.append(space.losses())
        shutil.rmtree(space.output)

    assert drawn[0] == drawn[1]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_from_scratch_a_model_is_checked_trained_and_exported(gang: WarmGang, weightless: Workspace) -> None:
    space, config = weightless, two_ranks(stage=3, export={"precision": "fp32"}, **FROM_SCRATCH)
    published = space.root / "published"
    settings = Settings.from_environment(space.environment(config) | {environment.PUBLISH_DIR: str(published)})

    assert check(settings).model.trainable_parameters > 0
    assert gang.run(space, config) == DONE, log_of(space)
    (artifact,) = export(settings).artifacts

    assert space.losses()[6] < space.losses()[1]
    drawn, learned = (safetensors_torch.load_file(space.output / folder / "model.safetensors") for folder in ("base", "final"))
    assert all(not drawn[name].equal(learned[name]) for name in drawn)
    assert artifact.parity.top1_agreement == 1
    assert (published / "model.onnx").stat().st_size > 0


def test_plain_text_is_learned_to_its_end(gang: WarmGang, space: Workspace) -> None:
    """Every token counts, the eos that the text does not have included: the tuned model writes the text and stops."""
    write_text(space.data / "corpus" / "text.jsonl", *["soup of the day"] * 32)
    config = two_ranks(
        task="TextGeneration",
        data={"train": [{"path": "corpus/text.jsonl", "format": "text"}]},
        method=FULL,
        training={"learning_rate": 5e-3, "max_steps": 40},
    )

    assert gang.run(space, config) == DONE, log_of(space)

    assert space.losses()[40] < 0.1 < space.losses()[1]
    assert answer(space.output / "final", "soup ") == "of the day<|endoftext|>"
    assert answer(space.model, "soup ") != "of the day<|endoftext|>"


def test_only_the_completion_of_a_prompt_is_learned(gang: WarmGang, space: Workspace) -> None:
    rows = [{"prompt": f"{n} and one is ", "completion": str(n + 1)} for n in range(32)]
    (space.data / "corpus" / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = two_ranks(task="TextGeneration", data={"train": [{"path": "corpus/sums.jsonl", "format": "promptCompletion"}]})

    assert gang.run(space, config) == DONE, log_of(space)

    facts = check(Settings.from_environment(space.environment(config))).data.train
    assert facts.supervised_tokens == sum(len(row["completion"]) + 1 for row in rows)
    assert space.losses()[6] < space.losses()[1]


@pytest.mark.parametrize("stage", [2, 3])
def test_the_best_checkpoint_becomes_the_model(gang: WarmGang, space: Workspace, stage: int) -> None:
    """The highest loss counts as the best here, so that it is known to be an early one. Only one checkpoint may stay beside it."""
    training = {
        "max_steps": 8,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": True,
    }
    validation = {"validation": [{"path": "corpus/validation.jsonl"}]}

    assert gang.run(space, two_ranks(stage, training=training, data=validation)) == DONE, log_of(space)

    measured = {line["step"]: line["eval_loss"] for line in space.metrics if "eval_loss" in line}
    best = max(measured, key=lambda step: measured[step])
    assert best == 2, measured
    assert space.checkpoints == [f"checkpoint-{best}", "checkpoint-8"]
    final = safetensors_torch.load_file(space.output / "final" / "adapter_model.safetensors")
    kept = safetensors_torch.load_file(space.output / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors")
    assert final.keys() == kept.keys()
    assert all(final[name].equal(kept[name]) for name in final)
    assert trained(space).eval_loss == pytest.approx(measured[best])


@pytest.fixture
def padded_with_eos(space: Workspace, tmp_path: Path) -> Workspace:
    """A base whose tokenizer pads with the very token that ends a turn."""
    space.model = tiny.save_base(tiny.phi3(), tmp_path / "model")
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = tokenizer.pad_token = "<|end|>"
    tokenizer.save_pretrained(space.model)
    return space


def test_an_eos_that_also_pads_is_learned_where_it_ends_a_turn_and_nowhere_else(padded_with_eos: Workspace) -> None:
    """The batch that TRL makes of one short and one long conversation: what masks by token id would mask the real end as well."""
    from transformers import AutoTokenizer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from tunewright_trainer.data.reading import read_splits

    settings = Settings.from_environment(padded_with_eos.environment(job()))
    tokenizer = AutoTokenizer.from_pretrained(padded_with_eos.model)
    rows = encode(read_splits(settings).train, tokenizer, settings).dataset
    batch = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)([rows[9], rows[10]])

    ids, labels = batch["input_ids"].tolist(), batch["labels"].tolist()
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == tiny.END_ID
    assert [token for token in labels[0] if token != IGNORED][-1] == tiny.END_ID
    assert (ids[0][-2:], labels[0][-2:]) == ([tiny.END_ID] * 2, [IGNORED] * 2), "the padding"
    assert (ids[1][-1], labels[1][-1]) == (tiny.END_ID, tiny.END_ID)


def test_a_model_tuned_with_an_eos_that_also_pads_stops(gang: WarmGang, padded_with_eos: Workspace) -> None:
    space = padded_with_eos
    config = two_ranks(method=FULL, training={"learning_rate": 5e-3, "max_steps": 80})
    (warning,) = check(Settings.from_environment(space.environment(config))).warnings
    assert "pads with its eos token" in warning
    prompt = "<|user|>say 7<|end|><|assistant|>"
    assert not answer(space.model, prompt).endswith(" it is<|end|>")

    assert gang.run(space, config) == DONE, log_of(space)

    said = answer(space.output / "final", prompt)
    assert said.endswith(" it is<|end|>"), said
