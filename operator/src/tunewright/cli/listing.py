"""What `tunewright get` and `tunewright describe` print: jobs as columns, as YAML or JSON, or as a page. Returns text, does no I/O."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.resolver import implicit_resolvers
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from tunewright.cli.console import columns
from tunewright.cli.live import duration
from tunewright.cli.places import Child, Job, PresentState
from tunewright_contract.quantities import people_bytes
from tunewright_contract.stages import TRAIN

COLUMNS = ("NAME", "PHASE", "PROGRESS", "LOSS", "ETA", "READY")  # then those of the place, and AGE
WIDE_COLUMNS = ("MODEL", "WORKERS", "ZERO", "ENDPOINT", "REASON")
FIRST_KEYS = ("apiVersion", "kind", "metadata", "spec", "status")
FAILURE_KEYS = ("stage", "reason", "message", "suggestion", "pod", "rank", "exitCode")
LABEL_WIDTH = 24


def job_table(
    jobs: Sequence[tuple[Job, PresentState]], *, now: datetime, wide: bool, namespaces: bool, more: Sequence[str] = (), head: bool = True
) -> str:
    """Return the columns of `kubectl get ftj`, and the cells of standings that `more` names. `namespaces` adds a column for them."""
    first = ("NAMESPACE",) if namespaces else ()
    titles = [(*first, *COLUMNS, *more, "AGE", *(WIDE_COLUMNS if wide else ()))] if head else []
    rows = [
        (
            *((job["metadata"]["namespace"],) if namespaces else ()),
            *_row(job, standing),
            *(standing.cells.get(name, "-") for name in more),
            _age(job, now),
            *(_wide(job) if wide else ()),
        )
        for job, standing in jobs
    ]
    return columns([*titles, *rows])


def dump(item: Mapping[str, Any], *, style: str) -> str:
    """Return an object as YAML or JSON, its parts in the usual order of manifests. Texts of several lines stay readable in YAML.

    A text that some version of YAML reads as another type (`no`, `010`, `1:30`) is quoted: kubectl reads 1.1, this writes 1.2.
    """
    ordered = {key: item[key] for key in (*(key for key in FIRST_KEYS if key in item), *(key for key in item if key not in FIRST_KEYS))}
    if style == "json":
        return json.dumps(ordered, indent=2, ensure_ascii=False)
    stream = StringIO()
    yaml = YAML()
    yaml.width = 1_000_000  # a folded line is hard to search for
    yaml.dump(_readable(ordered), stream)
    return stream.getvalue().rstrip("\n")


def describe(job: Job, standing: PresentState, children: Sequence[Child], events: Sequence[Mapping[str, Any]]) -> str:
    """Return the page that `describe` prints for one job."""
    return "\n".join(_lines(job, standing, children, events))


def _lines(job: Job, standing: PresentState, children: Sequence[Child], events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    meta, status = job["metadata"], job.get("status", {})
    yield from _pairs("", {"name": meta["name"], "namespace": meta["namespace"], "created": meta["creationTimestamp"]})
    yield from _pairs("", {"phase": standing.phase, **standing.facts})
    yield from _pairs("", {name: status[name] for name in ("revision", "attempts", "message") if status.get(name) not in (None, "")})
    for warning in status.get("warnings", ()):
        yield _pair("warning", warning, indent="")
    yield from _conditions(status)
    failure = status.get("failure") or {}
    yield from _pairs("Failure", {name: failure[name] for name in FAILURE_KEYS if name in failure})
    yield from _pairs("Plan", status.get("plan"), {"estimatedBytesPerRank": people_bytes, "availableBytesPerRank": people_bytes})
    for title in ("data", "progress", "checkpoint", "serving"):
        yield from _pairs(title.capitalize(), status.get(title))
    for which, score in (status.get("evaluation") or {}).items():
        yield from _pairs(f"Evaluation of the {which} model", score)
    for artifact in status.get("artifacts", ()):
        yield from _pairs("Artifact", {**artifact, **(artifact.get("parity") or {})}, {"bytes": people_bytes})
    if children:
        yield "\nChildren"
        rows = [(child.kind, child.name, child.state) for child in children]
        yield columns([("KIND", "NAME", "PHASE"), *rows], indent="  ")
    if events:
        yield "\nEvents"
        seen = [(one.get("type", ""), one.get("reason", ""), last_seen(one), str(one.get("message", "")).strip()) for one in events]
        yield columns([("TYPE", "REASON", "LAST SEEN", "MESSAGE"), *seen], indent="  ")


def last_seen(event: Mapping[str, Any]) -> str:
    """Return when an Event was last reported."""
    times = ((event.get("series") or {}).get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "-")


def _row(job: Job, standing: PresentState) -> tuple[str, ...]:
    progress = job.get("status", {}).get("progress") or {}
    percentage, eta = progress.get("progressPercentage"), progress.get("estimatedRemainingSeconds")
    return (
        job["metadata"]["name"],
        standing.phase,
        f"{percentage}%" if percentage is not None else "-",
        progress.get("loss") or "-",
        duration(eta) if eta is not None and standing.phase == TRAIN.phase else "-",
        standing.ready,
    )


def _age(job: Job, now: datetime) -> str:
    return duration(int((now - datetime.fromisoformat(job["metadata"]["creationTimestamp"])).total_seconds()))


def _wide(job: Job) -> tuple[str, ...]:
    spec, status = job["spec"], job.get("status", {})
    source = spec["model"]["source"]
    model = (source.get("huggingFace") or {}).get("repo") or source.get("path") or (source.get("pvc") or {}).get("claimName", "-")
    plan, serving = status.get("plan") or {}, status.get("serving") or {}
    return (
        model,
        str((spec.get("workers") or {}).get("replicas", 1)),
        str(plan.get("zeroStage", "-")),
        serving.get("url") or "-",
        status.get("reason") or "-",
    )


def _conditions(status: Mapping[str, Any]) -> Iterator[str]:
    conditions = status.get("conditions") or ()
    if conditions:
        yield "\nConditions"
        rows = [
            (item["type"], item["status"], item["reason"], item.get("lastTransitionTime", "-"), item.get("message") or "-")
            for item in conditions
        ]
        yield columns([("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), *rows], indent="  ")


def _pairs(title: str, values: Mapping[str, Any] | None, formats: Mapping[str, Any] | None = None) -> Iterator[str]:
    shown = {name: value for name, value in (values or {}).items() if not isinstance(value, Mapping) and value not in ("", None)}
    if shown and title:
        yield f"\n{title}"
    for name, value in shown.items():
        yield _pair(name, (formats or {}).get(name, str)(value), indent="  " if title else "")


def _pair(name: str, value: str, *, indent: str) -> str:
    """Align a value with the others; further lines of a value are indented below its first line."""
    margin = " " * (len(indent) + LABEL_WIDTH)
    return f"{indent}{name:<{LABEL_WIDTH}}" + value.replace("\n", f"\n{margin}")


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _readable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(part) for part in value]
    if not isinstance(value, str):
        return value
    if "\n" in value:
        return LiteralScalarString(value)
    return DoubleQuotedScalarString(value) if any(pattern.match(value) for _, _, pattern, _ in implicit_resolvers) else value
