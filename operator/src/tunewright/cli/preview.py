"""`tunewright plan`: shows the whole plan before a run. It reads the manifest and the base model's headers, and writes nothing."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import typer

from tunewright.api.admission import ManifestError, read_job
from tunewright.api.v1alpha1.job import FineTuneJob, parse
from tunewright.api.yaml_nodes import read_document
from tunewright.cli.console import EXIT_REFUSED, fail, out, read_text, report_errors, show_error, show_manifest_error
from tunewright.cli.listing import dump
from tunewright.cli.manifests import in_namespace
from tunewright.cli.places import Place
from tunewright.local.files import NotRegularError, open_regular
from tunewright.plan.explain import explain_text
from tunewright.plan.inputs import Defaults
from tunewright.plan.library_arguments import lora_arguments
from tunewright.plan.memory.architectures import UnknownArchitecture
from tunewright.plan.memory.counts import model_facts, shapes_of_header
from tunewright.plan.plan import forecast
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render import render
from tunewright_contract.base import LARGEST_CONFIG
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.reports import ModelFacts

LARGEST_HEADER = 100_000_000  # bytes: what the safetensors library reads itself
FEWEST_LABELS = 2  # of a classifier: Check counts them; each costs one row of the head

HEADING = "# The manifests to apply. The API server sets the job's uid, and therefore the revision, when the job is created."


def facts_of(job: FineTuneJob, folder: str | None) -> tuple[ModelFacts | None, str]:
    """Count the base model from its config.json and safetensors headers, without loading it. Returns (facts or None, their source)."""
    if folder is None:
        return None, "the base model is not a folder on this machine: Check counts its parameters before training"
    model = Path(folder)
    try:
        config = _settings(model / "config.json")
        headers = {name: entry for file in sorted(model.glob("*.safetensors")) for name, entry in _header(file).items()}
    except (OSError, ValueError, RecursionError, NotRegularError, struct.error) as error:
        return None, f"the base model in {folder} cannot be read ({error}): Check reports the details"
    tuner, lora = TUNERS[job.spec.method.tuner], job.spec.method.effective_lora()
    if tuner.adapts and lora is None:
        return None, f"Check counts what the tuner {tuner.name} trains"
    arguments = lora_arguments(lora) if lora is not None else None
    try:
        shapes = shapes_of_header(headers) or None
        labels = FEWEST_LABELS if TASKS[job.spec.task].new_head else None
        return model_facts(config, shapes=shapes, lora=arguments, labels=labels), f"counted from the headers in {folder}"
    except (UnknownArchitecture, KeyError, TypeError, ValueError) as error:
        return None, f"the base model in {folder} cannot be counted from its configuration ({error}): Check counts it"


def _settings(file: Path) -> dict[str, Any]:
    with open_regular(file) as stream:
        raw = stream.read(LARGEST_CONFIG + 1)
    if len(raw) > LARGEST_CONFIG:
        raise ValueError(f"{file.name} has more than {LARGEST_CONFIG} bytes")
    settings = json.loads(raw)
    if not isinstance(settings, dict):
        raise ValueError(f"{file.name} is not a map of settings")  # noqa: TRY004 - a wrong file, not a wrong call
    return settings


def _header(file: Path) -> dict[str, Any]:
    """Read a safetensors header: 8 bytes of length, little-endian, then JSON."""
    with open_regular(file) as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(LARGEST_HEADER, os.fstat(stream.fileno()).st_size):
            raise ValueError(f"{file.name} is cut off, or is not a safetensors file")
        header: dict[str, Any] = json.loads(stream.read(length))
    return header


def show_plan(place: Place, path: Path, *, namespace: str | None, style: str) -> None:
    """Plan a manifest as if every stage succeeded, and print the plan. Print what the place would refuse, too."""
    with report_errors():
        job = _accepted(place, path, namespace)
        refs = place.references(job, path.parent)
        source = job.spec.model.source.path
        facts, how = facts_of(job, refs.folders.get(source) if source else None)
        decided = forecast(job, refs, Defaults(), model_facts=facts)
        if not isinstance(decided, FineTunePlan):
            fail(f"{decided.reason}: {decided}", code=EXIT_REFUSED)
        if style != "yaml":
            out.print(explain_text(decided), markup=False, end="")
            out.print(f"\nParameters: {how}\n", markup=False)
        if style != "explain":
            out.print(HEADING, markup=False)
            for manifest in render(decided).children:
                out.print(f"---\n{dump(manifest, style='yaml')}", markup=False)


def _accepted(place: Place, path: Path, namespace: str | None) -> FineTuneJob:
    """Return the manifest's job. Prints the problems that this program finds and those of the place, and exits with 64 if there is one."""
    text = read_text(path)
    problems: ManifestError | None = None
    try:
        read_job(text, str(path))
    except ManifestError as error:
        show_manifest_error(problems := error)
    raw = read_document(text).value
    if not isinstance(raw, dict) or not isinstance(raw.get("metadata"), dict) or not raw["metadata"].get("name"):
        raise typer.Exit(EXIT_REFUSED)  # nothing that a place could look at
    located = in_namespace(raw, place, namespace)
    refusals = place.objections(located)
    for refusal in refusals:
        show_error(f"{place.name} refuses it: {refusal}")
    if problems or refusals:
        raise typer.Exit(EXIT_REFUSED)
    return parse(located)
