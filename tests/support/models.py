"""Tiny random models, exported the way the real ones are, made once and kept under `.cache/models` by the hash of what made them.

A `TinyModel` says what is wanted; `build` answers with two folders: the Hugging Face model (what torch runs) and the model folder
(what the server runs). Weights are random: the tests ask whether two runtimes agree, never whether an answer is good.
"""

import fcntl
import hashlib
import inspect
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunewright_contract.folders import MANIFEST_NAME, DecoderGraph, Lineage, ModelFile, ModelManifest
from tunewright_contract.reports import ParityReport
from tunewright_trainer.common.logs import quiet

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "models"
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
CHAT_TEMPLATE = """{%- for m in messages %}
{%- if m['role'] not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role ' + m['role']) }}{% endif %}
{{- '<|' + m['role'] + '|>\\n' }}
{%- if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}
{{- '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""
CORPUS = (
    "The quick brown fox jumps over the lazy dog. Paris is the capital of France.",
    "Kubernetes operators reconcile custom resources; a fine-tuned model answers questions.",
    "Grüße aus Köln, naïve café, 你好世界, привет мир, こんにちは, 🙂🚀🎉 and ¿qué tal?",
    "def add(a, b): return a + b",
)


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """What to make. `options` are keyword arguments of the transformers configuration."""

    architecture: Literal["phi3", "llama", "qwen3", "gpt2"] = "phi3"
    graph: Literal["gqa", "dynamic_cache"] = "gqa"
    precision: Literal["fp32", "int8", "int4"] = "fp32"
    hidden_size: int = 64
    layers: int = 2
    context_length: int = 4096
    vocab_size: int = 700
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        source = "".join(inspect.getsource(part) for part in (sys.modules[__name__],))
        text = json.dumps(asdict(self), sort_keys=True) + source
        return f"{self.architecture}-{self.graph}-{self.precision}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class BuiltModel:
    """`torch_dir`: loads with transformers. `served_dir`: what TUNEWRIGHT_MODEL_DIR points to."""

    torch_dir: Path
    served_dir: Path


def long_rope(*, switch: int, factors: int) -> dict[str, Any]:
    """Options of a Phi-3 whose rotary table changes beyond `switch` tokens; `factors` is half the rotary dimension."""
    return {
        "original_max_position_embeddings": switch,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0] * factors, "long_factor": [1.5 + i * 0.1 for i in range(factors)]},
    }


def build(wanted: TinyModel | None = None) -> BuiltModel:
    """Make the model, or find it in the cache. Safe when several test processes ask at once."""
    wanted = wanted or TinyModel()
    return cached(wanted.key, lambda into: _make(wanted, into))


def cached(key: str, make: Callable[[BuiltModel], None]) -> BuiltModel:
    """Find a model in the cache, or make it there."""
    home = CACHE / key
    built = BuiltModel(torch_dir=home / "torch", served_dir=home / "served")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                make(BuiltModel(Path(scratch) / "made" / "torch", Path(scratch) / "made" / "served"))
                (Path(scratch) / "made").rename(home)
    return built


def _make(wanted: TinyModel, into: BuiltModel) -> None:
    into.torch_dir.mkdir(parents=True)
    model = _save_torch(wanted, into.torch_dir)
    if wanted.graph == "gqa":
        _build_gqa(wanted, into)
    else:
        from tunewright_trainer.export import onnx_dynamo

        into.served_dir.mkdir()
        onnx_dynamo.build(model, into.served_dir, precision=wanted.precision)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (into.torch_dir / name).exists():
            shutil.copyfile(into.torch_dir / name, into.served_dir / name)
    write_manifest(into.served_dir, wanted, model.config)


def make_tokenizer(vocab_size: int) -> Any:
    """Train a byte-level BPE tokenizer on a few lines, with Phi-3's special tokens and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def _save_torch(wanted: TinyModel, folder: Path) -> Any:
    import torch
    import transformers

    torch.manual_seed(wanted.seed)
    tokenizer = make_tokenizer(wanted.vocab_size)
    tokenizer.model_max_length = wanted.context_length
    tokenizer.save_pretrained(folder)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    if wanted.architecture == "gpt2":
        sizes = {"n_embd": wanted.hidden_size, "n_layer": wanted.layers, "n_head": 4, "n_positions": wanted.context_length}
    else:
        sizes = {
            "hidden_size": wanted.hidden_size,
            "intermediate_size": 2 * wanted.hidden_size,
            "num_hidden_layers": wanted.layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": wanted.context_length,
        }
        if wanted.architecture == "phi3":
            sizes["original_max_position_embeddings"] = wanted.context_length
        if wanted.architecture == "qwen3":
            sizes["head_dim"] = wanted.hidden_size // 4
    config = transformers.AutoConfig.for_model(
        wanted.architecture, **{"vocab_size": wanted.vocab_size, "tie_word_embeddings": False, **ids, **sizes, **wanted.options}
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    return model


def _build_gqa(wanted: TinyModel, into: BuiltModel) -> None:
    """Run the ONNX Runtime GenAI model builder with its own defaults, and keep what a server reads."""
    where = ("", str(into.torch_dir), str(into.served_dir), wanted.precision, "cpu", str(into.torch_dir.parent / "cache"))
    with quiet():
        from onnxruntime_genai.models.builder import create_model, parse_extra_options

        create_model(*where, **parse_extra_options(*where, ["hf_token=false"]))
    for path in into.served_dir.iterdir():
        if path.name not in {"model.onnx", "model.onnx.data", "genai_config.json"}:
            path.unlink()


def write_manifest(folder: Path, wanted: TinyModel, config: Any) -> ModelManifest:
    """Write `tunewright.json` over the files that lie in `folder`, as the exporter does: last."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    switch = getattr(config, "original_max_position_embeddings", None)
    manifest = ModelManifest(
        name="tiny",
        revision="r1",
        task="ChatCompletion",
        architecture=wanted.architecture,
        precision=wanted.precision,
        graph=DecoderGraph(
            cache=wanted.graph,
            layers=wanted.layers,
            kv_heads=heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            takes_position_ids=wanted.graph == "dynamic_cache",
        ),
        context_length=wanted.context_length,
        vocab_size=wanted.vocab_size,
        bos_token_id=config.bos_token_id,
        eos_token_ids=[config.eos_token_id],
        pad_token_id=config.pad_token_id,
        long_rope_switch=switch if switch and switch < wanted.context_length else None,
        files=[describe_file(path, folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST_NAME],
        lineage=Lineage(namespace="default", job="tiny", uid="0000", revision="r1", base="tiny@main", data_sha256="0" * 64, method={}),
        parity=ParityReport(max_logit_difference=0.0, mean_kl=0.0, top1_agreement=1.0, positions=0),
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
    return manifest


def describe_file(path: Path, folder: Path) -> ModelFile:
    content = path.read_bytes()
    return ModelFile(path=path.relative_to(folder).as_posix(), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
