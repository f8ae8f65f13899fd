"""ONNX export of an encoder-decoder model, through `torch.onnx.export(dynamo=True)`.

Promises the two graphs that `SequenceToSequenceGraph` describes. The encoder's graph also computes the keys and values of the cross
attention, whose weights the decoder's graph therefore lacks: no weight but a shared embedding is in both. The wrappers rebuild the
`EncoderDecoderCache` that transformers' models expect. Quantised weights go into MatMulNBits nodes, as in a decoder's graph.
"""

from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.model_manifest import DECODER_FILE, ENCODER_FILE, SequenceToSequenceGraph
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.logs import quiet
from tunewright_trainer.export import graph_check
from tunewright_trainer.export.onnx_dynamo import quantise

# Any small, distinct sizes will do: every one of them becomes a symbol, but torch.export takes 0 and 1 for constants.
_ROWS, _SOURCE, _PAST, _NEW = 2, 11, 5, 3


class _Encoder(torch.nn.Module):
    """The model as a function of tensors: (ids, mask) to the keys and values of the cross attention.

    It runs the whole model over one target token; the exporter removes whatever the outputs do not depend on.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=input_ids[:, :1],
            past_key_values=cache,
            use_cache=True,
        )
        return _tensors(output.past_key_values.cross_attention_cache)


class _Decoder(torch.nn.Module):
    """The model as a function of tensors: (ids, mask of the source, *cross, *past) to (logits, *present)."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, encoder_attention_mask: torch.Tensor, *caches: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cross, past = DynamicCache(), DynamicCache()
        layers = len(caches) // 4
        for layer in range(layers):
            cross.update(caches[2 * layer], caches[2 * layer + 1], layer)
            past.update(caches[2 * (layers + layer)], caches[2 * (layers + layer) + 1], layer)
        cache = EncoderDecoderCache(past, cross)
        cache.is_updated = dict.fromkeys(range(layers), True)  # else the cross attention is computed again
        unread = torch.zeros(*encoder_attention_mask.shape, self.model.config.hidden_size)
        output = self.model(
            encoder_outputs=(unread,),
            attention_mask=encoder_attention_mask,
            decoder_input_ids=input_ids,
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits, *_tensors(output.past_key_values.self_attention_cache)


def export_sequence_to_sequence(model: PreTrainedModel, folder: Path, *, precision: Precision) -> SequenceToSequenceGraph:
    """Write both graphs of an fp32 model with their data files, and describe them. Raises `StageError` (GraphUnexpected)."""
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    with quiet(), torch.no_grad():
        _trace(model, folder)
        bits = EXPORT_PRECISIONS[precision].bits
        if bits is not None:
            quantise(folder / ENCODER_FILE, bits=bits, has_head=False)
            quantise(folder / DECODER_FILE, bits=bits)
    layers, heads, size = graph_check.check_sequence_to_sequence(folder, precision=precision, vocab_size=model.config.vocab_size)
    return SequenceToSequenceGraph(
        layers=layers,
        heads=heads,
        head_size=size,
        decoder_start_token_id=start_token(model),
        forced_bos_token_id=model.generation_config.forced_bos_token_id,
        suppressed_token_ids=_suppressed(model),
        max_target_length=getattr(model.config, "max_position_embeddings", None),
    )


def start_token(model: PreTrainedModel) -> int:
    """The first target token. Raises `StageError` where the base names none."""
    for stated in (model.generation_config, model.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            found = getattr(stated, name, None)
            if isinstance(found, int):
                return found
    raise StageError(
        ExitCode.CONFIGURATION,
        "StartTokenMissing",
        "the base's config.json has no decoder_start_token_id, so there is no first target token",
        "Set decoder_start_token_id in the config.json of a copy of the base, and point model.source there.",
    )


def _trace(model: PreTrainedModel, folder: Path) -> None:
    ids = torch.ones(_ROWS, _SOURCE, dtype=torch.long)
    mask = torch.ones_like(ids)
    encoder, decoder = _Encoder(model).eval(), _Decoder(model).eval()
    cross = encoder(ids, mask)
    past = [torch.ones(_ROWS, tensor.shape[1], _PAST, tensor.shape[3]) for tensor in cross]
    names = [f"{layer}.{side}" for layer in range(len(cross) // 2) for side in ("key", "value")]
    crossed = [f"cross.{name}" for name in names]
    dynamic = torch.export.Dim.DYNAMIC
    rows, cache = {0: dynamic, 1: dynamic}, {0: dynamic, 2: dynamic}
    _save(
        torch.onnx.export(
            encoder,
            (ids, mask),
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "attention_mask"],
            output_names=crossed,
            dynamic_shapes=(rows, rows),
        ),
        folder / ENCODER_FILE,
    )
    _save(
        torch.onnx.export(
            decoder,
            (torch.ones(_ROWS, _NEW, dtype=torch.long), mask, *cross, *past),
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "encoder_attention_mask", *crossed, *(f"past_key_values.{name}" for name in names)],
            output_names=["logits", *(f"present.{name}" for name in names)],
            dynamic_shapes=(rows, rows, tuple(cache for _ in (*cross, *past))),
        ),
        folder / DECODER_FILE,
    )


def _save(program: torch.onnx.ONNXProgram | None, path: Path) -> None:
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    program.save(path, external_data=True)


def _tensors(cache: DynamicCache) -> tuple[torch.Tensor, ...]:
    return tuple(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))


def _suppressed(model: PreTrainedModel) -> list[int]:
    """Tokens that transformers never generates, such as Marian's padding token, which is also its start."""
    stated = model.generation_config
    alone = [words[0] for words in stated.bad_words_ids or [] if len(words) == 1]
    return sorted({*alone, *(stated.suppress_tokens or [])})
