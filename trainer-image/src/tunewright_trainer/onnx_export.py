"""One merged model to one checked graph, by whichever exporter takes its architecture."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.model_manifest import DecoderGraph
from tunewright_contract.text import head_and_tail, one_line
from tunewright_contract.trainer_config import Precision
from tunewright_trainer import graph_check, onnx_dynamo, onnx_genai
from tunewright_trainer.exits import StageError, stage_error

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CAUSE_CHARACTERS = 1200  # of a cause, head and tail: a termination message holds 4096 bytes
_KEPT = (graph_check.GRAPH_FILE, graph_check.DATA_FILE, "genai_config.json")


def export_onnx(model: "PreTrainedModel", saved: Path, folder: Path, *, precision: Precision) -> DecoderGraph:
    """Write the graph of `model`, which also lies in `saved`, into `folder`. Raises `StageError` when no exporter takes it."""
    exporter = onnx_genai.exporter_for(model.config)
    build = folder / ".build"
    try:
        if exporter == "genai":
            onnx_genai.build(saved, build, precision=precision, window=onnx_genai.window_of(model.config))
        else:
            onnx_dynamo.build(model, build, precision=precision)
    except Exception as error:  # exporters fail in as many types as they have parts
        raise _explained(error, exporter, model) from error
    graph = graph_check.check(
        build, exporter=exporter, precision=precision, layers=model.config.num_hidden_layers, vocab_size=model.config.vocab_size
    )
    for name in _KEPT:
        if (build / name).is_file():
            (build / name).rename(folder / name)
    shutil.rmtree(build)
    return graph


def _explained(error: Exception, exporter: onnx_genai.Exporter, model: "PreTrainedModel") -> StageError:
    known = stage_error(error)
    if known.code is not ExitCode.BUG:
        return known
    cause = head_and_tail(" <- ".join(_causes(error)), _CAUSE_CHARACTERS)
    return StageError(
        ExitCode.CONFIGURATION,
        "ExportUnsupported",
        f"the {exporter} exporter cannot take architecture {model.config.model_type}: {cause}",
        "The trained weights are whole and usable: final/ of the output volume holds what was trained, merged/ the merged model. "
        "To serve with Tunewright, choose a base of an architecture that exports.",
    )


def _causes(error: BaseException) -> Iterator[str]:
    """The messages of an error and of what it was raised from, on one line each; exporters put the reason last."""
    while True:
        yield f"{type(error).__name__}: {one_line(str(error), 16 * _CAUSE_CHARACTERS) or 'no message'}"
        if error.__cause__ is None:
            return
        error = error.__cause__
