"""ONNX export of an encoder-decoder model, through `torch.onnx.export(dynamo=True)`.

Promises the two graphs that `SequenceToSequenceGraph` describes. The encoder's graph also computes the keys and values of the cross
attention, whose weights the decoder's graph therefore lacks: no weight but a shared embedding is in both. The wrappers rebuild the
`EncoderDecoderCache` that transformers' models expect. Quantised weights go into MatMulNBits nodes, as in a decoder's graph.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS, WHOLE
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import DECODER_FILE, ENCODER_FILE, SequenceToSequenceGraph
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.exits import StageError, stage_error
from tunewright_trainer.common.logs import quiet
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation.exported_models import ExportedSequenceToSequence
from tunewright_trainer.export import graph_check
from tunewright_trainer.export.exportable import export_unsupported
from tunewright_trainer.export.onnx_dynamo import quantise
from tunewright_trainer.export.small_model import small_model
from tunewright_trainer.tuning.base_model import auto_class

# Any small, distinct sizes will do: every one of them becomes a symbol, but torch.export takes 0 and 1 for constants.
_ROWS, _SOURCE, _PAST, _NEW = 2, 11, 5, 3
_TRIED_LENGTHS = (1, 3, 24)  # tokens of a source
# Root mean square of what the export gets wrong, as a share of the logits' own spread, by bits of a weight: random weights round badly.
_TOLERANCE = {None: 0.01, 8: 0.7, 4: 1.2}
_CAUSE = 1500  # characters


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
    return _quantise_and_describe(model, folder, precision=precision)


def _quantise_and_describe(model: PreTrainedModel, folder: Path, *, precision: Precision) -> SequenceToSequenceGraph:
    bits = EXPORT_PRECISIONS[precision].bits
    if bits is not None:
        with quiet():
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


def dry_run_sequence_to_sequence(settings: Settings, config: PretrainedConfig) -> None:
    """Export a small random model of the base's shape, in fp32 and as the job asks. Raises `StageError` (ExportUnsupported)."""
    small = small_model(config, auto_class(settings), trust_remote_code=settings.config.model.trust_remote_code)
    random = np.random.default_rng(0)
    pairs = [(random.integers(2, small.config.vocab_size, length).tolist(), random.integers(2, 9, 7).tolist()) for length in _TRIED_LENGTHS]
    with tempfile.TemporaryDirectory(prefix="dry-run-") as scratch:
        whole = Path(scratch) / WHOLE.name
        with _refusing(config, WHOLE.name):
            graph = export_sequence_to_sequence(small, whole, precision=WHOLE.name)
            _require_close(small, whole, graph, pairs, WHOLE.name)
        precision = settings.config.export.precision
        if precision != WHOLE.name:
            with _refusing(config, precision):
                folder = shutil.copytree(whole, Path(scratch) / precision)
                _require_close(small, folder, _quantise_and_describe(small, folder, precision=precision), pairs, precision)


@contextmanager
def _refusing(config: PretrainedConfig, precision: Precision) -> Iterator[None]:
    """A failure here would also occur in Export, after training. A fault of this machine is reported unchanged."""
    try:
        yield
    except Exception as error:  # exporters fail in as many types as they have parts
        cause = stage_error(error)
        if cause.code in {ExitCode.RETRY, ExitCode.OUT_OF_MEMORY}:
            raise cause from error
        raise export_unsupported(
            f"the architecture {config.model_type} cannot be exported to ONNX in {precision}: {cause.message[:_CAUSE]}",
            "Choose another base or another output.onnx.precision.",
        ) from error


def _require_close(
    small: PreTrainedModel, folder: Path, graph: SequenceToSequenceGraph, pairs: list[tuple[list[int], list[int]]], precision: Precision
) -> None:
    """Compare the logits of each pair with torch's, the target read at once and in pieces."""
    exported, tolerance = ExportedSequenceToSequence(folder, graph, threads=1), _TOLERANCE[EXPORT_PRECISIONS[precision].bits]
    for source, target in pairs:
        with torch.no_grad():
            right = small(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0].numpy()
        for found in (exported.logits(source, target), exported.in_chunks(source, target, [1, 4, len(target) - 5])):
            off = float(np.sqrt(np.square(right - found).mean()) / right.std())
            if not off <= tolerance:  # a NaN fails
                raise StageError(
                    ExitCode.CONFIGURATION,
                    "ParityFailed",
                    f"the export's logits are off by {off:.3g} of their spread, {tolerance:g} is allowed",
                    "Report it with the model's config.json.",
                )


def start_token(model: PreTrainedModel) -> int:
    """Return the first target token. Raises `StageError` where the base names none."""
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
    """Return the tokens that transformers never generates, such as Marian's padding token, which is also its start."""
    stated = model.generation_config
    alone = [words[0] for words in stated.bad_words_ids or [] if len(words) == 1]
    return sorted({*alone, *(stated.suppress_tokens or [])})
