"""Tiny random sequence-to-sequence models in ONNX, made once and kept beside the tiny decoders (see `models`).

Their tokenizer has one token per byte, and ends each source with `<|endoftext|>`, as T5's does with `</s>`.
"""

import hashlib
import inspect
import json
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tiny
from encoder_decoders import CONTEXT, encoder_decoder
from models import BuiltModel, cached, describe_file

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS
from tunewright_contract.folders import DECODER_FILE, ENCODER_FILE, MANIFEST_NAME, Lineage, ModelManifest
from tunewright_contract.reports import ParityReport

FIRST = tiny.END_ID  # a special token that BART's targets begin with, as a language code would
SENTENCE = "Paris is the capital of France."


@dataclass(frozen=True, kw_only=True)
class TinyTranslator:
    """What to make. `t5`: relative positions, a target without a bound; `bart`: absolute ones, and a forced first token."""

    family: Literal["t5", "bart", "marian"] = "t5"
    precision: Literal["fp32", "int8", "int4"] = "fp32"

    @property
    def key(self) -> str:
        source = "".join(map(inspect.getsource, (sys.modules[__name__], sys.modules["encoder_decoders"])))
        text = json.dumps(asdict(self), sort_keys=True) + source
        return f"translator-{self.family}-{self.precision}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def build_translator(wanted: TinyTranslator | None = None) -> BuiltModel:
    """Make the model, or find it in the cache."""
    wanted = wanted or TinyTranslator()
    return cached(wanted.key, lambda into: _make(wanted, into))


def _make(wanted: TinyTranslator, into: BuiltModel) -> None:
    if wanted.precision != "fp32":
        _quantise(wanted, into)
        return
    from tunewright_trainer.export.onnx_seq2seq import export_sequence_to_sequence

    into.torch_dir.mkdir(parents=True)
    into.served_dir.mkdir()
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(into.torch_dir)
    model = encoder_decoder(wanted.family)
    model.generation_config.update(eos_token_id=tiny.EOS_ID, pad_token_id=tiny.PAD_ID, bos_token_id=None)
    model.save_pretrained(into.torch_dir)
    graph = export_sequence_to_sequence(model, into.served_dir, precision="fp32")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (into.served_dir / name).write_bytes((into.torch_dir / name).read_bytes())
    manifest = ModelManifest(
        name="translator",
        revision="r1",
        task="Translation",
        architecture=wanted.family,
        precision=wanted.precision,
        graph=graph,
        context_length=CONTEXT,
        vocab_size=model.config.vocab_size,
        eos_token_ids=[tiny.EOS_ID],
        pad_token_id=tiny.PAD_ID,
        files=[describe_file(path, into.served_dir) for path in sorted(into.served_dir.iterdir())],
        lineage=Lineage(namespace="default", job="translator", uid="0", revision="r1", base="tiny@main", data_sha256="0" * 64, method={}),
        parity=ParityReport(max_logit_difference=0.0, mean_kl=0.0, top1_agreement=1.0, positions=0),
    )
    (into.served_dir / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))


def _quantise(wanted: TinyTranslator, into: BuiltModel) -> None:
    """As the exporter does it, without tracing the same model again."""
    from tunewright_trainer.export.onnx_dynamo import quantise

    whole = build_translator(replace(wanted, precision="fp32"))
    shutil.copytree(whole.torch_dir, into.torch_dir)
    shutil.copytree(whole.served_dir, into.served_dir)
    bits = EXPORT_PRECISIONS[wanted.precision].bits
    quantise(into.served_dir / ENCODER_FILE, bits=bits, has_head=False)
    quantise(into.served_dir / DECODER_FILE, bits=bits)
    rewrite(into.served_dir, precision=wanted.precision)


def rewrite(folder: Path, **changes: Any) -> ModelManifest:
    """Change fields of a folder's manifest, and describe the files again."""
    files = [describe_file(path, folder) for path in sorted(folder.iterdir()) if path.name != MANIFEST_NAME]
    manifest = ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_text())
    changed = manifest.model_copy(update={"files": files, **changes})
    (folder / MANIFEST_NAME).write_text(changed.model_dump_json(indent=1))
    return changed


def _tokenizer() -> Any:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = None
    end = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, tiny.EOS_ID)])
    return tokenizer
