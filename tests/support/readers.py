"""A tiny random model that finds answers, in ONNX, made once and kept beside the tiny decoders (see `models`)."""

import hashlib
import inspect
import sys

from models import BuiltModel, cached, describe_file
from questions import word_pieces

from tunewright_contract.encoder_heads import QuestionAnsweringHead
from tunewright_contract.folders import MANIFEST_NAME, Lineage, ModelManifest
from tunewright_contract.reports import ParityReport

LENGTH, STRIDE = 32, 8


def build_reader(*, no_answer: bool = False) -> BuiltModel:
    """Make the model, or find it in the cache."""
    digest = hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()[:12]
    return cached(f"reader-{no_answer}-{digest}", lambda into: _make(into, no_answer=no_answer))


def _make(into: BuiltModel, *, no_answer: bool) -> None:
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    from tunewright_trainer.export.onnx_encoder import export_encoder

    into.torch_dir.mkdir(parents=True)
    into.served_dir.mkdir()
    tokenizer = word_pieces()
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64}
    size = tokenizer.get_vocab_size()
    model = BertForQuestionAnswering(BertConfig(**shape, vocab_size=size, pad_token_id=0, initializer_range=0.2)).eval()
    model.save_pretrained(into.torch_dir)
    head = QuestionAnsweringHead(doc_stride=STRIDE, no_answer=no_answer)
    graph = export_encoder(model, into.served_dir, head, precision="fp32")
    tokenizer.save(str(into.served_dir / "tokenizer.json"))
    manifest = ModelManifest(
        name="reader",
        revision="r1",
        task="QuestionAnswering",
        architecture="bert",
        precision="fp32",
        graph=graph,
        context_length=LENGTH,
        vocab_size=size,
        eos_token_ids=[],
        pad_token_id=0,
        files=[describe_file(path, into.served_dir) for path in sorted(into.served_dir.iterdir())],
        lineage=Lineage(namespace="default", job="reader", uid="0", revision="r1", base="tiny@main", data_sha256="0" * 64, method={}),
        parity=ParityReport(max_logit_difference=0.0, mean_kl=0.0, top1_agreement=1.0, positions=0),
    )
    (into.served_dir / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))
