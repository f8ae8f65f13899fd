"""Adapters other than LoRA, from Check to an exported model: what is counted, trained, resumed, merged and exported is one model."""

import shutil

import pytest
from gang import WarmGang, Workspace, deepspeed, job, merged
from lazily import lazily

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export

safetensors_torch = lazily("safetensors.torch")
torch = lazily("torch")

pytestmark = pytest.mark.slow

IA3 = {"tuner": "ia3", "lora": None, "ia3": {"target_modules": ["qkv_proj", "down_proj"], "feedforward_modules": ["down_proj"]}}


@pytest.fixture
def config() -> dict:
    training = {"learning_rate": 5e-2, "save_strategy": "steps", "save_steps": 3}
    return merged(job(worldSize=2, deepspeed=deepspeed(2), training=training, export={"precision": "fp32"}), {"method": IA3})


def train(gang: WarmGang, space: Workspace, config: dict) -> TrainReport:
    assert gang.run(space, config) == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-6000:]
    report = space.report()
    assert isinstance(report, TrainReport)
    return report


def test_ia3_is_counted_trained_resumed_merged_and_exported(gang: WarmGang, space: Workspace, config: dict) -> None:
    published = space.root / "published"
    settings = Settings.from_environment(space.environment(config) | {environment.PUBLISH_DIR: str(published)})
    counted = check(settings).model.trainable_parameters

    train(gang, space, config)
    undisturbed = space.losses()
    vectors = safetensors_torch.load_file(space.output / "final" / "adapter_model.safetensors")
    assert sum(vector.numel() for vector in vectors.values()) == counted
    assert all(not torch.equal(vector, torch.ones_like(vector)) for vector in vectors.values())
    assert undisturbed[6] < undisturbed[1]

    shutil.rmtree(space.output / "final")
    shutil.rmtree(space.output / "checkpoints" / "checkpoint-6")
    assert train(gang, space, config).resumed_from_step == 3
    assert space.losses() == pytest.approx(undisturbed, abs=1e-6)
    again = safetensors_torch.load_file(space.output / "final" / "adapter_model.safetensors")
    assert all(torch.equal(vectors[name], again[name]) for name in vectors)

    (artifact,) = export(settings).artifacts
    assert artifact.parity.top1_agreement == 1
    base, merged_model = (safetensors_torch.load_file(folder / "model.safetensors") for folder in (space.model, space.output / "merged"))
    changed = {name.rsplit(".", 2)[-2] for name, weight in base.items() if not torch.equal(weight, merged_model[name])}
    assert changed == {"qkv_proj", "down_proj"}
    assert "sft, IA3" in (published / "README.md").read_text()
