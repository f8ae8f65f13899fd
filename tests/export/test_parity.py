"""The parity check: figures for known logits, and exports that are broken on purpose."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import ParityReport
from tunewright_contract.trainer_config import EvaluationConfig, ParityConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation import parity
from tunewright_trainer.export import merge
from tunewright_trainer.recipes.export import run

convert = lazily("tunewright_trainer.export.convert")
onnx = lazily("onnx")
peft = lazily("peft")

Job = Callable[..., Settings]
QUICK = EvaluationConfig(max_samples=1)


def report(**figures: float) -> ParityReport:
    return ParityReport(**{"max_logit_difference": 0.0, "mean_kl": 0.0, "top1_agreement": 1.0, "positions": 100, **figures})


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def test_equal_logits_have_no_difference() -> None:
    same = rows([0, 1, 2], [3, 1, 0])
    assert parity.compare([(same, same.copy())]) == report(positions=2)


def test_the_figures_match_a_direct_calculation() -> None:
    trained, exported = rows([0.0, np.log(3)]), rows([0.0, 0.0])  # p = (1/4, 3/4), q = (1/2, 1/2)
    found = parity.compare([(trained, exported)])
    assert found.mean_kl == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5))
    assert found.max_logit_difference == pytest.approx(np.log(3))


def test_positions_weigh_the_same_whatever_example_they_are_in() -> None:
    agreeing, parted = (rows(*[[0, 1]] * 3), rows(*[[0, 1]] * 3)), (rows([0, 1]), rows([1, 0]))
    assert parity.compare([agreeing, parted]).top1_agreement == 0.75


def test_a_constant_shift_is_no_divergence() -> None:
    trained = rows([0, 1, 2])
    assert parity.compare([(trained, trained + 5)]).mean_kl == pytest.approx(0, abs=1e-9)


def test_without_examples_parity_fails() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        parity.compare([])


@pytest.mark.parametrize(
    ("figures", "config", "named"),
    [
        ({"max_logit_difference": 0.2}, ParityConfig(max_logit_difference=0.1), "0.2, allowed maxLogitDifference 0.1"),
        ({"top1_agreement": 0.98}, ParityConfig(), "0.9800, required minTop1Agreement 0.99"),
        ({"max_logit_difference": float("inf")}, ParityConfig(), "not finite"),
        ({"max_logit_difference": float("nan")}, ParityConfig(max_logit_difference=1), "not finite"),
    ],
)
def test_a_difference_above_the_tolerance_is_refused_with_figures(figures: dict, config: ParityConfig, named: str) -> None:
    with pytest.raises(StageError, match=named) as raised:
        parity.gate(report(**figures), config, precision="int8")
    assert (raised.value.code, raised.value.reason) == (ExitCode.CONFIGURATION, "ParityFailed")
    assert "precision: fp32" in raised.value.suggestion


def test_figures_without_a_tolerance_may_differ() -> None:
    parity.gate(report(max_logit_difference=3.0, top1_agreement=0.99), ParityConfig(max_logit_difference=None), precision="int8")


@pytest.mark.parametrize(("gap", "passes"), [(1e-5, True), (0.5, False)])
def test_greedy_answers_may_differ_only_where_two_tokens_are_nearly_tied(gap: float, passes: bool) -> None:
    pair = parity.GreedyPair(trained=[1, 2, 9], exported=[1, 0, 7], logits=rows([0, 9, 0], [1, 0, 1 + gap], [0, 0, 9]))
    if passes:
        parity.gate_greedy([pair], precision="fp32")
    else:
        with pytest.raises(StageError, match="prompt 0 differs from token 1: trained 2, exported 0"):
            parity.gate_greedy([pair], precision="fp32")


def assert_refused(settings: Settings) -> str:
    with pytest.raises(StageError) as raised:
        run(settings)
    assert raised.value.reason == "ParityFailed"
    assert not settings.publish_dir.exists()
    assert list(settings.publish_dir.parent.iterdir()) == []
    return raised.value.message


def test_changed_weights_are_detected(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    original = convert.export_onnx

    def perturbed(model: object, saved: Path, folder: Path, **options: str) -> object:
        graph = original(model, saved, folder, **options)
        broken = onnx.load(folder / "model.onnx")
        weight = next(tensor for tensor in broken.graph.initializer if tensor.name == "model.layers.1.mlp.down_proj.MatMul.weight")
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.02), weight.name))
        (folder / "model.onnx.data").unlink()
        onnx.save_model(broken, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
        return graph

    monkeypatch.setattr("tunewright_trainer.export.convert.export_onnx", perturbed)
    assert "maxLogitDifference 0.001" in assert_refused(job(evaluation=QUICK))


def test_a_dora_adapter_merged_without_its_magnitudes_is_detected(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = job(lora={"use_dora": True}, evaluation=QUICK)
    original = merge.merge

    def as_plain_lora(trained: object) -> object:
        for module in trained.modules():
            if isinstance(module, peft.tuners.lora.layer.LoraLayer):
                module.lora_variant.clear()  # what is left merges as LoRA does
        return original(trained)

    monkeypatch.setattr(merge, "merge", as_plain_lora)
    assert "top-1 agreement" in assert_refused(settings)


def test_a_qlora_adapter_on_the_unquantised_base_is_detected(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    nf4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    settings, unquantised = job(quantization=nf4, evaluation=QUICK), job(evaluation=QUICK)
    original = merge.merge
    monkeypatch.setattr(merge, "merge", lambda _: original(merge.load_trained(unquantised)))
    assert "top-1 agreement" in assert_refused(settings)
