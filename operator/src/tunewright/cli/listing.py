"""`tunewright get` and `tunewright describe`: what is stored, as columns, as YAML or JSON, or as a page to read."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from tunewright.cli.live import duration
from tunewright.plan.quantities import people_bytes

Job = Mapping[str, Any]
COLUMNS = ("NAME", "PHASE", "PROGRESS", "LOSS", "ETA", "READY", "AGE")
WIDE_COLUMNS = ("MODEL", "WORKERS", "ZERO", "ENDPOINT", "REASON")


def job_table(jobs: Sequence[Job], *, now: datetime, wide: bool) -> Table:
    """Return the columns of `kubectl get ftj`."""
    table = Table(box=None, pad_edge=False)
    for name in (*COLUMNS, *(WIDE_COLUMNS if wide else ())):
        table.add_column(name, overflow="fold")
    for job in jobs:
        table.add_row(*_row(job, now), *(_wide(job) if wide else ()))
    return table


def dump(job: Job | Sequence[Job], *, style: str) -> str:
    """Return stored objects as YAML or JSON."""
    if style == "json":
        return json.dumps(job, indent=2, ensure_ascii=False)
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(job, stream)
    return stream.getvalue().rstrip("\n")


def describe(console: Console, job: Job, children: Sequence[Mapping[str, Any]]) -> None:
    """Print everything a person may want to know of one job."""
    meta, status = job["metadata"], job.get("status", {})
    console.print(
        f"{meta['namespace']}/{meta['name']}  {status.get('phase', 'Pending')}  revision {status.get('revision', '-')}",
        style="bold",
        markup=False,
    )
    if status.get("message"):
        console.print(status["message"], markup=False)
    _conditions(console, status)
    _pairs(console, "Plan", status.get("plan"), {"estimatedBytesPerRank": people_bytes, "availableBytesPerRank": people_bytes})
    for title in ("data", "progress", "checkpoint", "failure", "serving"):
        _pairs(console, title.capitalize(), status.get(title))
    for which, score in (status.get("evaluation") or {}).items():
        _pairs(console, f"Evaluation of the {which} model", score)
    for artifact in status.get("artifacts", ()):
        _pairs(console, "Artifact", {**artifact, **artifact.get("parity", {})})
    for warning in status.get("warnings", ()):
        console.print(f"warning: {warning}", style="yellow", markup=False)
    table = Table("kind", "name", box=None, title="Children", title_justify="left")
    for child in children:
        table.add_row(child["kind"], child["metadata"]["name"])
    console.print(table)


def _row(job: Job, now: datetime) -> tuple[str, ...]:
    status = job.get("status", {})
    progress = status.get("progress") or {}
    percentage, eta = progress.get("progressPercentage"), progress.get("estimatedRemainingSeconds")
    age = now - datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    return (
        job["metadata"]["name"],
        status.get("phase", "Pending"),
        f"{percentage}%" if percentage is not None else "",
        progress.get("loss", ""),
        duration(eta) if eta is not None else "",
        next((item["status"] for item in status.get("conditions", ()) if item["type"] == "Ready"), "Unknown"),
        duration(int(age.total_seconds())),
    )


def _wide(job: Job) -> tuple[str, ...]:
    spec, status = job["spec"], job.get("status", {})
    source = spec["model"]["source"]
    model = (source.get("huggingFace") or {}).get("repo") or source.get("path") or (source.get("pvc") or {}).get("claimName", "")
    plan, serving = status.get("plan") or {}, status.get("serving") or {}
    return (
        model,
        str((spec.get("workers") or {}).get("replicas", 1)),
        str(plan.get("zeroStage", "")),
        serving.get("url", ""),
        status.get("reason", ""),
    )


def _conditions(console: Console, status: Mapping[str, Any]) -> None:
    table = Table("condition", "status", "reason", "since", "message", box=None, title="Conditions", title_justify="left")
    for item in status.get("conditions", ()):
        table.add_row(item["type"], item["status"], item["reason"], item.get("lastTransitionTime", ""), item.get("message", ""))
    console.print(table)


def _pairs(console: Console, title: str, values: Mapping[str, Any] | None, formats: Mapping[str, Any] | None = None) -> None:
    if not values:
        return
    console.print(title, style="bold")
    for name, value in values.items():
        if not isinstance(value, Mapping):
            console.print(f"  {name:<26} {(formats or {}).get(name, str)(value)}", markup=False)
