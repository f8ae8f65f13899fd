"""From what training left to a graph that is proven to say the same. Check tries out this very way on a small model (`rehearsal`)."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tunewright_contract.model_manifest import DecoderGraph
from tunewright_contract.reports import ParityReport
from tunewright_trainer import merge, parity
from tunewright_trainer.graph_check import GRAPH_FILE
from tunewright_trainer.held_out import Example
from tunewright_trainer.onnx_export import export_onnx
from tunewright_trainer.onnx_runner import ExportedDecoder
from tunewright_trainer.reference import GREEDY_PROMPTS, Reference
from tunewright_trainer.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

Judge = Callable[[Reference, ExportedDecoder, Settings], ParityReport]


@dataclass(frozen=True)
class Converted:
    """The merged model in torch, its graph in the draft folder, and how close they are."""

    merged: "PreTrainedModel"
    graph: DecoderGraph
    closeness: ParityReport


def prove(reference: Reference, exported: ExportedDecoder, settings: Settings) -> ParityReport:
    """Hold an exported graph to the recorded trained model. Raises `StageError` (ParityFailed)."""
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
    if precision == "fp32":
        parity.gate_greedy(reference.greedy_against(exported), precision=precision)
    return report


def convert(settings: Settings, compared: list[Example], stop: list[int], draft: Path, *, judge: Judge = prove) -> Converted:
    """Merge what lies in `final/`, export it into `draft` and compare. Raises `StageError` before anything doubtful is kept."""
    with tempfile.TemporaryDirectory(prefix=".parity-", dir=settings.output_dir) as scratch:
        with timed("trained model recorded and merged"):
            trained = merge.load_trained(settings)
            greedy = GREEDY_PROMPTS if settings.config.export.precision == "fp32" else 0  # rounding may part two greedy answers
            reference = Reference(compared, stop, Path(scratch), greedy_prompts=greedy)
            reference.record(trained)
            merged = merge.merge(trained)
            saved = merge.save_merged(merged, settings)
        with timed("exported to ONNX"):
            graph = export_onnx(merged, saved, draft, precision=settings.config.export.precision)
        with timed("compared"):
            exported = ExportedDecoder(draft / GRAPH_FILE, graph, threads=torch.get_num_threads())
            closeness = judge(reference, exported, settings)
    return Converted(merged, graph, closeness)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Log how long a step took, in seconds."""
    start = time.monotonic()
    yield
    log.info("%s in %.1f s", what, time.monotonic() - start)
