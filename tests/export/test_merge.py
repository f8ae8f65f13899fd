"""The merged model equals the trained one."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lazily import lazily
from tiny import PAD_ID, VOCAB_SIZE

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.export import merge
from tunewright_trainer.tuning.base_model import load_base

peft = lazily("peft")
safetensors_torch = lazily("safetensors.torch")
torch = lazily("torch")
transformers = lazily("transformers")

NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float32"}
Job = Callable[..., Settings]


def logits(model: "transformers.PreTrainedModel", *, gradients: bool = False) -> "torch.Tensor":
    ids = torch.randint(PAD_ID + 6, VOCAB_SIZE - 20, (3, 40), generator=torch.Generator().manual_seed(3))
    with torch.set_grad_enabled(gradients):
        return model(input_ids=ids).logits.detach().float()


ADAPTERS = [
    pytest.param("phi3", {}, id="lora"),
    pytest.param("phi3", {"use_dora": True}, id="dora"),
    pytest.param("phi3", {"use_rslora": True, "rank_pattern": {"o_proj": 2}}, id="rslora with a rank pattern"),
    pytest.param("llama", {"target_modules": ["q_proj", "lm_head"]}, id="a tied head that is adapted"),
    pytest.param("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, id="a tied head that is trained whole"),
    pytest.param("gpt2", {"fan_in_fan_out": True}, id="transposed weights"),
]


@pytest.mark.parametrize(("base", "lora"), ADAPTERS)
def test_the_merged_model_equals_the_model_with_its_adapter(job: Job, base: str, lora: dict) -> None:
    settings = job(base=base, lora=lora)
    trained = merge.load_trained(settings)
    before = logits(trained)
    saved = merge.save_merged(merge.merge(trained), settings)

    again = transformers.AutoModelForCausalLM.from_pretrained(saved)
    assert again.dtype == torch.float32
    assert not isinstance(again, peft.PeftModel)
    torch.testing.assert_close(logits(again), before, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("base", "lora"), ADAPTERS)
def test_the_adapter_changes_the_logits(job: Job, base: str, lora: dict) -> None:
    settings = job(base=base, lora=lora)
    assert (logits(merge.load_trained(settings)) - logits(merge.load_original(settings))).abs().max() > 1e-2


def test_the_dequantised_base_equals_the_quantised_one(job: Job) -> None:
    exact = {"dtype": "float32"}  # arithmetic in bfloat16 would blur what is compared
    settings = job(quantization=NF4, model=exact)
    quantised = peft.PeftModel.from_pretrained(load_base(settings), settings.final_dir).eval()
    dequantised = merge.merge(merge.load_trained(settings))
    unquantised = merge.merge(merge.load_trained(job(model=exact)))

    quantised.enable_input_require_grads()
    trained = logits(quantised, gradients=True)  # without gradients bitsandbytes takes another, rougher kernel than in training
    right, wrong = (float((logits(model) - trained).abs().max()) for model in (dequantised, unquantised))
    assert right < 1e-3
    assert wrong > 0.5  # merged into the unquantised base, it would be a model that was never trained


def test_a_full_fine_tune_is_not_changed(job: Job) -> None:
    settings = job(full=True)
    saved = merge.save_merged(merge.merge(merge.load_trained(settings)), settings)
    expected = transformers.AutoModelForCausalLM.from_pretrained(settings.final_dir, dtype=torch.float32)
    assert torch.equal(logits(transformers.AutoModelForCausalLM.from_pretrained(saved)), logits(expected))


def test_the_base_is_loaded_in_the_dtype_of_training(job: Job) -> None:
    full, half = job(model={"dtype": "float32"}), job(model={"dtype": "bfloat16"})
    rounded = merge.load_original(half).get_input_embeddings().weight
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, merge.load_original(full).get_input_embeddings().weight.bfloat16().float())


def test_the_tokenizer_is_copied_byte_for_byte(job: Job) -> None:
    settings = job()
    saved = merge.save_merged(merge.merge(merge.load_trained(settings)), settings)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (saved / name).read_bytes() == (settings.model_dir / name).read_bytes()


def test_a_job_with_its_own_chat_template_replaces_only_that_file(job: Job) -> None:
    settings = job(model={"chat_template": "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"})
    saved = merge.save_merged(merge.merge(merge.load_trained(settings)), settings)
    assert (saved / "chat_template.jinja").read_text() == settings.config.model.chat_template
    assert (saved / "tokenizer_config.json").read_bytes() == (settings.model_dir / "tokenizer_config.json").read_bytes()
    asked = transformers.AutoTokenizer.from_pretrained(saved).apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert asked == "[hi]"


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "adapter_config.json", "train.json", "MANIFEST.json"])
def test_an_unfinished_training_is_reported_before_loading(job: Job, missing: str) -> None:
    settings = job()
    (settings.final_dir / missing).unlink()
    with pytest.raises(StageError, match=missing) as raised:
        merge.read_train_report(settings)
    assert (raised.value.code, raised.value.reason) == (ExitCode.CONFIGURATION, "TrainingIncomplete")


def test_a_damaged_training_result_is_reported(job: Job) -> None:
    settings = job()
    file: Path = settings.final_dir / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(StageError, match=r"adapter_model\.safetensors has another sha256"):
        merge.read_train_report(settings)


def test_a_missing_training_result_is_reported(job: Job) -> None:
    settings = job()
    shutil.rmtree(settings.final_dir)
    with pytest.raises(StageError, match="MANIFEST"):
        merge.read_train_report(settings)


def test_an_adapter_that_diverged_is_refused(job: Job) -> None:
    settings = job()
    file: Path = settings.final_dir / "adapter_model.safetensors"
    tensors = safetensors_torch.load_file(file)
    next(iter(tensors.values())).fill_(float("nan"))
    safetensors_torch.save_file(tensors, file)
    with pytest.raises(StageError) as raised:
        merge.merge(merge.load_trained(settings))
    assert raised.value.reason == "AdapterNotFinite"


@pytest.mark.parametrize(
    ("named", "field"),
    [
        pytest.param("base model (model.safetensors)", "model_dir", id="another base model: an adapter on it is another model"),
        pytest.param("data (train[0])", "data_dir", id="other data: lineage would name what was not trained on"),
    ],
)
def test_a_result_of_other_inputs_is_refused(job: Job, tmp_path: Path, named: str, field: str):
    settings = job()
    moved = tmp_path / field
    shutil.copytree(getattr(settings, field), moved)
    changed = moved / ("model.safetensors" if field == "model_dir" else "train.jsonl")
    with changed.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0")

    with pytest.raises(StageError) as refused:
        merge.read_train_report(dataclasses.replace(settings, **{field: moved}))

    assert refused.value.reason == "CheckpointInputs"
    assert named in refused.value.message
