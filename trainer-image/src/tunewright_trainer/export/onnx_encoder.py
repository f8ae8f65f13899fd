"""ONNX export of a model that reads a whole text in one run, through `torch.onnx.export(dynamo=True)`.

Promises a graph whose rows and tokens are dynamic, with the inputs and the outputs that the server binds. Quantised weights go into
MatMulNBits nodes, as in a decoder's graph: their scales are per block, so the rows of one run do not change each other.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS, WHOLE
from tunewright_contract.encoder_heads import Head
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import EncoderGraph
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.exits import StageError, stage_error
from tunewright_trainer.common.logs import quiet
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation.encoded import TYPES, EncodedRow, ExportedEncoder, run_model, takes_types
from tunewright_trainer.evaluation.exported_models import FloatArray
from tunewright_trainer.export import graph_check
from tunewright_trainer.export.exportable import export_unsupported
from tunewright_trainer.export.onnx_dynamo import quantise
from tunewright_trainer.export.small_model import small_model
from tunewright_trainer.tuning.base_model import auto_class

_ROWS, _TOKENS = 3, 9  # any small, distinct sizes: each becomes a symbol, but torch.export takes 0 and 1 for constants
_TRIED_LENGTHS = (3, 11, 24)  # tokens
# Root mean square of what the export gets wrong, as a share of the logits' own spread, by bits of a weight: random weights round badly.
_TOLERANCE = {None: 0.01, 8: 0.7, 4: 0.9}
_CAUSE = 1500  # characters


class _Headed(torch.nn.Module):
    """The model as a function of tensors: (ids, mask, types?) to the outputs of its head."""

    def __init__(self, model: PreTrainedModel, names: list[str], outputs: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.outputs = outputs

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.model(**dict(zip(self.names, inputs, strict=True)))
        return tuple(found[name] for name in self.outputs)


def export_encoder(model: PreTrainedModel, folder: Path, head: Head, *, precision: Precision) -> EncoderGraph:
    """Write `model.onnx` and `model.onnx.data` of an fp32 model, and describe the graph. Raises `StageError` (GraphUnexpected)."""
    path = folder / graph_check.GRAPH_FILE
    types = takes_types(model)
    names = ["input_ids", "attention_mask", *([TYPES] if types else [])]
    outputs = list(head.outputs)
    ids = torch.full((_ROWS, _TOKENS), 1 if model.config.pad_token_id != 1 else 2)
    inputs = (ids, torch.ones_like(ids), *([torch.zeros_like(ids)] if types else []))
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Headed(model, names, outputs).eval(),
            inputs,
            dynamo=True,
            verbose=False,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=(tuple(sizes for _ in names),),
        )
        if program is None:
            raise RuntimeError("torch.onnx.export returned no program")
        program.save(path, external_data=True)
        bits = EXPORT_PRECISIONS[precision].bits
        if bits is not None:
            quantise(path, bits=bits)
    graph = EncoderGraph(head=head, takes_token_type_ids=types)
    graph_check.check_encoder(folder, graph, precision=precision)
    return graph


def dry_run_encoder(settings: Settings, config: PretrainedConfig, head: Head) -> None:
    """Export a small random model of the base's shape, in fp32 and as the job asks. Raises `StageError` (ExportUnsupported)."""
    small = small_model(config, auto_class(settings), trust_remote_code=settings.config.model.trust_remote_code)
    usable = [token for token in range(small.config.vocab_size) if token != small.config.pad_token_id]
    rows = [_tried(np.random.default_rng(length).choice(usable, length).tolist(), small) for length in _TRIED_LENGTHS]
    expected = run_model(small, head, rows, pad=small.config.pad_token_id)
    for precision in dict.fromkeys((WHOLE.name, settings.config.export.precision)):
        try:
            with tempfile.TemporaryDirectory(prefix="dry-run-") as folder:
                graph = export_encoder(small, Path(folder), head, precision=precision)
                found = ExportedEncoder(Path(folder) / graph_check.GRAPH_FILE, graph, threads=1).run(rows)
            _require_close(expected, found, tolerance=_TOLERANCE[EXPORT_PRECISIONS[precision].bits])
        except Exception as error:  # exporters fail in as many types as they have parts
            cause = stage_error(error)
            if cause.code in {ExitCode.RETRY, ExitCode.OUT_OF_MEMORY}:
                raise cause from error
            raise export_unsupported(
                f"the architecture {small.config.model_type} cannot be exported to ONNX in {precision}: {cause.message[:_CAUSE]}",
                "Choose another base or another output.onnx.precision.",
            ) from error


def _tried(ids: list[int], model: PreTrainedModel) -> EncodedRow:
    """A pair of texts, where the model tells them apart."""
    first = len(ids) // 2
    return EncodedRow(ids, [0] * first + [1] * (len(ids) - first) if takes_types(model) else None)


def _require_close(expected: list[FloatArray], found: list[FloatArray], *, tolerance: float) -> None:
    trained, exported = (np.concatenate([array.ravel() for array in arrays]) for arrays in (expected, found))
    off = float(np.sqrt(np.square(trained - exported).mean()) / trained.std())
    if not off <= tolerance:  # a NaN fails
        raise StageError(
            ExitCode.CONFIGURATION,
            "ParityFailed",
            f"the export's logits are off by {off:.3g} of their spread, {tolerance:g} is allowed",
            "Report it with the model's config.json.",
        )
