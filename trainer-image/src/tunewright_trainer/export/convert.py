"""Turns training's result into a graph with matching outputs: merge, export with the exporter that supports the architecture, compare.

Check runs this same code on a small model (`dry_run`).
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tunewright_contract.capabilities.precisions import WHOLE
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import DecoderGraph
from tunewright_contract.reports import ParityReport
from tunewright_contract.text import head_and_tail, one_line
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.exits import StageError, stage_error
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation import parity
from tunewright_trainer.evaluation.exported_models import ExportedDecoder
from tunewright_trainer.evaluation.held_out import Example
from tunewright_trainer.evaluation.parity import GREEDY_PROMPTS, Reference
from tunewright_trainer.export import graph_check, merge, onnx_dynamo, onnx_genai
from tunewright_trainer.export.graph_check import GRAPH_FILE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

ParityCheck = Callable[[Reference, ExportedDecoder, Settings], ParityReport]
_CAUSE_CHARACTERS = 1200  # of a cause, head and tail: a termination message has at most 4096 bytes
_KEPT = (graph_check.GRAPH_FILE, graph_check.DATA_FILE, "genai_config.json")


@dataclass(frozen=True)
class Converted:
    """The merged model in torch, its graph in the draft folder, and their parity."""

    merged: "PreTrainedModel"
    graph: DecoderGraph
    closeness: ParityReport


def require_parity(reference: Reference, exported: ExportedDecoder, settings: Settings) -> ParityReport:
    """Compare an exported graph with the recorded trained model. Raises `StageError` (ParityFailed)."""
    precision = settings.config.export.precision
    report = parity.compare(reference.against(exported))
    log.info(
        "parity over %d positions: top-1 agreement %.4f, mean KL %.3g, largest logit difference %.3g",
        report.positions,
        report.top1_agreement,
        report.mean_kl,
        report.max_logit_difference,
    )
    parity.gate(report, settings.config.export.parity, precision=precision)
    if precision == WHOLE.name:
        parity.gate_greedy(reference.greedy_against(exported), precision=precision)
    return report


def convert(settings: Settings, compared: list[Example], stop: list[int], draft: Path, *, check: ParityCheck = require_parity) -> Converted:
    """Merge the content of `final/`, export it into `draft` and compare. Raises `StageError`, and then keeps no graph."""
    with tempfile.TemporaryDirectory(prefix=".parity-", dir=settings.output_dir) as scratch:
        with timed("trained model recorded and merged"):
            trained = merge.load_trained(settings)
            greedy = GREEDY_PROMPTS if settings.config.export.precision == WHOLE.name else 0  # rounding can make two greedy answers differ
            reference = Reference(compared, stop, Path(scratch), greedy_prompts=greedy)
            reference.record(trained)
            merged = merge.merge(trained)
            saved = merge.save_merged(merged, settings)
        with timed("exported to ONNX"):
            graph = export_onnx(merged, saved, draft, precision=settings.config.export.precision)
        with timed("compared"):
            exported = ExportedDecoder(draft / GRAPH_FILE, graph, threads=torch.get_num_threads())
            closeness = check(reference, exported, settings)
    return Converted(merged, graph, closeness)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Log how long a step took, in seconds."""
    start = time.monotonic()
    yield
    log.info("%s in %.1f s", what, time.monotonic() - start)


def export_onnx(model: "PreTrainedModel", saved: Path, folder: Path, *, precision: Precision) -> DecoderGraph:
    """Write the graph of `model`, which is also saved in `saved`, into `folder`. Raises `StageError` if no exporter supports it."""
    exporter = onnx_genai.exporter_for(model.config)
    build = folder / ".build"
    try:
        if exporter == "genai":
            onnx_genai.build(saved, build, precision=precision, window=onnx_genai.window_of(model.config))
        else:
            onnx_dynamo.build(model, build, precision=precision)
    except Exception as error:  # exporters raise many error types
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
        "The trained weights are complete: the output volume has them in final/, and the merged model in merged/. "
        "To serve with Tunewright, choose a base with an architecture that can be exported.",
    )


def _causes(error: BaseException) -> Iterator[str]:
    """Return the messages of an error and of its causes, on one line each. Exporters put the reason last."""
    while True:
        yield f"{type(error).__name__}: {one_line(str(error), 16 * _CAUSE_CHARACTERS) or 'no message'}"
        if error.__cause__ is None:
            return
        error = error.__cause__
