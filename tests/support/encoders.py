"""Tiny random classifiers of texts and of words in ONNX, made once and kept beside the tiny decoders (see `models`)."""

import hashlib
import inspect
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from models import BuiltModel, cached, describe_file, make_tokenizer

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.encoder_heads import Head, SequenceClassificationHead, TokenClassificationHead
from tunewright_contract.folders import MANIFEST_NAME, EncoderGraph, Lineage, ModelManifest
from tunewright_contract.reports import ParityReport

LABELS = ("negative", "neutral", "positive")
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
VOCABULARY = 700
CONTEXT = 128


@dataclass(frozen=True, kw_only=True)
class TinyEncoder:
    """What to make. `block`: weights in blocks of 8 bits (MatMulNBits); `tensor`: dynamic quantization with one scale for a tensor."""

    architecture: Literal["bert", "llama"] = "bert"
    quantization: Literal["none", "block", "tensor"] = "none"
    task: Literal["SingleLabelClassification", "MultiLabelClassification", "NamedEntityRecognition"] = "SingleLabelClassification"

    @property
    def head(self) -> Head:
        if self.task == "NamedEntityRecognition":
            return TokenClassificationHead(labels=list(TAGS))
        several = self.task == "MultiLabelClassification"
        problem_type = "multi_label_classification" if several else "single_label_classification"
        return SequenceClassificationHead(labels=list(LABELS), problem_type=problem_type)

    @property
    def key(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True) + inspect.getsource(sys.modules[__name__])
        return f"encoder-{self.architecture}-{self.quantization}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def build_encoder(wanted: TinyEncoder | None = None) -> BuiltModel:
    """Make the model, or find it in the cache."""
    wanted = wanted or TinyEncoder()
    return cached(wanted.key, lambda into: _make(wanted, into))


def _make(wanted: TinyEncoder, into: BuiltModel) -> None:
    into.torch_dir.mkdir(parents=True)
    into.served_dir.mkdir()
    tokenizer = make_tokenizer(VOCABULARY)
    tokenizer.save_pretrained(into.torch_dir)
    model = _save_torch(wanted, into.torch_dir, pad_token_id=tokenizer.pad_token_id)
    _export(model, into.served_dir / "model.onnx", types=wanted.architecture == "bert")
    _quantize(wanted, into.served_dir / "model.onnx")
    (into.served_dir / "tokenizer.json").write_bytes((into.torch_dir / "tokenizer.json").read_bytes())
    manifest = ModelManifest(
        name="labels",
        revision="r1",
        task=wanted.task,
        architecture=wanted.architecture,
        precision="fp32" if wanted.quantization == "none" else "int8",
        graph=EncoderGraph(
            head=wanted.head,
            takes_token_type_ids=wanted.architecture == "bert",
        ),
        context_length=CONTEXT,
        vocab_size=VOCABULARY,
        eos_token_ids=[],
        pad_token_id=tokenizer.pad_token_id,
        files=[describe_file(path, into.served_dir) for path in sorted(into.served_dir.iterdir())],
        lineage=Lineage(namespace="default", job="labels", uid="0", revision="r1", base="tiny@main", data_sha256="0" * 64, method={}),
        parity=ParityReport(max_logit_difference=0.0, mean_kl=0.0, top1_agreement=1.0, positions=0),
    )
    (into.served_dir / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))


def _save_torch(wanted: TinyEncoder, folder: Path, *, pad_token_id: int) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        wanted.architecture,
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        num_labels=len(wanted.head.labels),
        pad_token_id=pad_token_id,
        initializer_range=0.2,  # so that labels differ between texts
        problem_type=getattr(wanted.head, "problem_type", None),
    )
    model = getattr(transformers, TASKS[wanted.task].auto_class).from_config(config).eval()
    model.config.use_cache = False
    model.save_pretrained(folder)
    return model


def _export(model: Any, path: Path, *, types: bool) -> None:
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    example = torch.randint(4, VOCABULARY, (3, 9))
    inputs = (example, torch.ones_like(example), *([torch.zeros_like(example)] if types else []))
    dynamic = tuple({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for _ in names)
    with torch.no_grad():
        torch.onnx.export(
            Logits().eval(),
            inputs,
            path,
            dynamo=True,
            dynamic_shapes=(dynamic,),
            input_names=names,
            output_names=["logits"],
            opset_version=18,
            external_data=False,
            verbose=False,
        )


def _quantize(wanted: TinyEncoder, path: Path) -> None:
    import onnx

    if wanted.quantization == "none":
        return
    model = onnx.load(path)
    del model.graph.value_info[:]  # shapes of the exporter that those of the quantizer would contradict
    onnx.save(model, path)
    if wanted.quantization == "tensor":
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(path, path, per_channel=True)
    else:
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

        how = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, bits=8)
        quantizer = MatMulNBitsQuantizer(onnx.load(path), algo_config=how)
        quantizer.process()
        quantizer.model.save_model_to_file(str(path), use_external_data_format=False)
