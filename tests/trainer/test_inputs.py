"""A checkpoint is carried on only into the run that it belongs to: same base model, same data, same settings."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from gang import WarmGang, Workspace, deepspeed, job, merged, write_chat

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, TrainReport
from tunewright_trainer.common import verified_folder
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.inputs import Inputs, describe, require_same

CHECKPOINT = Path("checkpoints/checkpoint-4")
FROM_A_HUB = "someone/something"


@pytest.fixture(autouse=True)
def own_model(space: Workspace, tmp_path: Path) -> Path:
    """A copy of the base model that a test may change."""
    space.model = Path(shutil.copytree(space.model, tmp_path / "model"))
    return space.model


def inputs(space: Workspace, **changes) -> Inputs:
    return describe(Settings.from_environment(space.environment(job(**changes))))


def rebuild(space: Workspace) -> None:
    """Other numbers in the same file, whose length stays."""
    weights = space.model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def widen(space: Workspace) -> None:
    config = space.model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 256}))


def split_weights(space: Workspace) -> None:
    shutil.copyfile(space.model / "model.safetensors", space.model / "model-2.safetensors")


def retokenize(space: Workspace) -> None:
    with (space.model / "tokenizer.json").open("a") as file:
        file.write("\n")


def add_data(space: Workspace) -> None:
    write_chat(space.data / "corpus" / "train.jsonl", 49)


CHANGED = {
    "weights of the same length": (rebuild, {}, "base model (model.safetensors)", "Restore"),
    "another architecture": (widen, {}, "base model (config.json)", "Restore"),
    "another file of weights": (split_weights, {}, "base model (model-2.safetensors)", "Restore"),
    "another tokenizer": (retokenize, {}, "base model (tokenizer.json)", "Restore"),
    "another example": (add_data, {}, "data (train[0])", "Restore"),
    "another learning rate": (None, {"training": {"learning_rate": 1.0}}, "settings (training.learning_rate)", "Set them back"),
    "another precision": (None, {"model": {"dtype": "bfloat16"}}, "settings (model.dtype)", "Set them back"),
    "another rank": (None, {"method": {"lora": {"r": 8}}}, "settings (method.lora)", "Set them back"),
    "shorter samples": (None, {"data": {"maxLength": 64}}, "settings (data.maxLength)", "Set them back"),
    "another ZeRO stage": (None, {"deepspeed": deepspeed(2)}, "settings (deepspeed.stage)", "Set them back"),
    "two things at once": (add_data, {"training": {"seed": 8}}, "data (train[0]); settings (training.seed)", "Restore"),
}


@pytest.mark.parametrize(("change", "changes", "named", "way_out"), CHANGED.values(), ids=CHANGED)
def test_differences_are_named_with_the_way_out(
    space: Workspace, change: Callable[[Workspace], None] | None, changes: dict, named: str, way_out: str
) -> None:
    written = json.loads(json.dumps(inputs(space)))
    if change is not None:
        change(space)

    with pytest.raises(StageError) as caught:
        require_same(written, inputs(space, **changes), checkpoint=CHECKPOINT)

    error = caught.value
    assert (error.code, error.reason) == (ExitCode.CONFIGURATION, "CheckpointInputs")
    assert error.message == f"checkpoint-4 has other inputs than this job. Differences: {named}"
    assert error.suggestion.startswith(way_out)
    assert "another name" in error.suggestion


def test_of_many_differences_the_first_are_named_and_the_others_counted(space: Workspace) -> None:
    now = inputs(space)

    with pytest.raises(StageError, match=r"settings \(data\.dedup, (\S+, ){3}\S+ and \d+ more\)$"):
        require_same(now | {"settings": {}}, now, checkpoint=CHECKPOINT)


SAME = {
    "nothing": {},
    "how often it is saved": {"training": {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}},
    "how often it is logged": {"training": {"logging_steps": 7}},
    "what is measured afterwards": {"data": {"test": [{"path": "corpus/validation.jsonl"}]}, "evaluation": {"maxSamples": 3}},
    "what is exported": {"export": {"precision": "fp32"}},
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_settings_without_effect_on_the_model_can_change(space: Workspace, changes: dict) -> None:
    written = json.loads(json.dumps(inputs(space)))

    require_same(written, inputs(space, **changes), checkpoint=CHECKPOINT)


def test_a_checkpoint_without_recorded_inputs_is_refused(space: Workspace) -> None:
    with pytest.raises(StageError, match="checkpoint-4 does not record its inputs"):
        require_same({}, inputs(space), checkpoint=CHECKPOINT)


def test_random_weights_are_identified_by_seed_and_configuration(space: Workspace) -> None:
    before = inputs(space, model={"fromScratch": True})
    rebuild(space)

    assert inputs(space, model={"fromScratch": True}) == before
    assert "model.safetensors" not in before["base model"]


def test_a_model_from_the_hub_is_identified_by_its_commit(space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache, as a download leaves it: a branch's commit, and a folder of that name."""
    commit = "1f" * 20
    cached = tmp_path / "hub" / f"models--{FROM_A_HUB.replace('/', '--')}"
    shutil.copytree(space.model, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    branch = inputs(space, model={"hub": {"repo": FROM_A_HUB, "revision": "main"}})

    assert branch["base model"] == {FROM_A_HUB: commit}
    assert branch == inputs(space, model={"hub": {"repo": FROM_A_HUB, "revision": commit}})


@pytest.mark.slow
def test_a_run_with_a_rebuilt_base_is_refused_until_it_is_restored(gang: WarmGang, space: Workspace) -> None:
    def config(**training):
        saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, **training}
        return job(**merged({"worldSize": 2, "deepspeed": deepspeed(2), "training": saving}, {}))

    assert gang.run(space, config()) == [ExitCode.DONE] * 2
    shutil.rmtree(space.output / "final")
    original = (space.model / "model.safetensors").read_bytes()
    rebuild(space)

    assert gang.run(space, config()) == [ExitCode.CONFIGURATION] * 2

    refused = space.report()
    assert isinstance(refused, Failure)
    assert (refused.reason, "base model (model.safetensors)" in refused.message) == ("CheckpointInputs", True)
    assert [verified_folder.verify(space.output / "checkpoints" / name) for name in space.checkpoints] == [None, None]

    (space.model / "model.safetensors").write_bytes(original)
    assert gang.run(space, config(save_steps=3)) == [ExitCode.DONE] * 2
    report = space.report()
    assert isinstance(report, TrainReport)
    assert (report.resumed_from_step, report.step) == (4, 4)
