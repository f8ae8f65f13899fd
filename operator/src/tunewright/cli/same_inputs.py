"""Checks that a repeated run has the inputs of its job: by content, wherever the files are now."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunewright.api.immutable import changed_inputs
from tunewright.api.v1alpha1.job import parse
from tunewright.cli.console import EXIT_REFUSED, fail
from tunewright.local.app import Home
from tunewright.local.contents import Content, dump, load, read_content
from tunewright.local.store import Object
from tunewright.local.world import CONTENTS, PLACES, locate, places_of

_SPLITS = ("train", "validation", "test")


def adopt(home: Home, raw: Mapping[str, Any], directory: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the manifest to store, and the annotations that identify the content of its `path` sources.

    The stored job keeps its first paths, because the names of its results depend on them. The annotations have the present paths of the
    same content. Exits if the job exists already with other inputs.
    """
    job = parse(raw)
    stored = next((item for item in home.jobs(job.metadata.namespace) if item["metadata"]["name"] == job.metadata.name), None)
    places = {written: locate(written, directory) for _, written in _sources(raw)}
    if stored is None:
        return dict(raw), _annotations({written: (written, place) for written, place in places.items()}, _read(raw, places, {}))
    name = job.metadata.name
    try:
        before = parse(stored)
    except ValidationError as error:
        fail(f"FineTuneJob {name} exists already, and was stored in a format that is no longer supported: {error}", _way_out(name))
    adopted = _with_paths_of(stored, raw)
    changed = changed_inputs(before, parse(adopted))
    if changed:
        _refuse(name, ", ".join(changed))
    then, now = _contents_then(stored), _read(raw, places, load(stored["metadata"].get("annotations", {}).get(CONTENTS)))
    moved = {field: written for (field, written), (_, former) in zip(_sources(raw), _sources(stored), strict=True) if written != former}
    differing = [text for field in now | then if (text := _difference(field, then.get(field), now.get(field), moved.get(field)))]
    if differing and (moved or _is_checked(stored)):
        _refuse(name, "; ".join(differing))
    words = {former: (written, places[written]) for (_, written), (_, former) in zip(_sources(raw), _sources(stored), strict=True)}
    return adopted, _annotations(words, now)


def _difference(field: str, then: Content | None, now: Content | None, moved: str | None) -> str:
    """Return how a source differs from the job's input, or an empty text."""
    if now is None:
        return (
            f"{field}: {moved} does not exist" if moved else ""
        )  # the same path, and missing: the job's own stages report it if they still need it
    if then is None:
        return f"{field}: {now.place} cannot be compared, because the earlier file is gone" if moved else ""
    names = then.differences(now)
    if not names:
        return ""
    files = ", ".join(f"{now.place}/{name}".rstrip("/") for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{field}: {files} differs from the job's input ({then.place})"


def _is_checked(stored: Object) -> bool:
    """Return whether Check has passed. Before that, no result depends on the data, so the user can correct it."""
    return bool(stored.get("status", {}).get("data"))


def _contents_then(stored: Object) -> dict[str, Content]:
    """Return the content of the job's inputs; for a job of a release that did not record it, the present content of the same paths."""
    annotations = stored["metadata"].get("annotations", {})
    known = load(annotations.get(CONTENTS))
    place = places_of(annotations)
    return known or _read(stored, {written: place(written) for _, written in _sources(stored)}, {})


def _read(raw: Mapping[str, Any], places: Mapping[str, Path], known: Mapping[str, Content]) -> dict[str, Content]:
    found = {field: read_content(places[written], known.get(field)) for field, written in _sources(raw)}
    return {field: content for field, content in found.items() if content is not None}


def _annotations(places: Mapping[str, tuple[str, Path]], contents: Mapping[str, Content]) -> dict[str, str]:
    return {PLACES: json.dumps({stored: str(place) for stored, (_, place) in places.items()}, sort_keys=True), CONTENTS: dump(contents)}


def _sources(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return (field, the manifest's value of it) of each `path` source, in a fixed order."""
    for field, source in _source_maps(raw):
        if source.get("path") is not None:
            yield f"{field}.path", str(source["path"])


def _source_maps(raw: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = raw["spec"]
    yield "spec.model.source", spec["model"]["source"]
    for split in _SPLITS:
        for index, item in enumerate((spec.get("data") or {}).get(split) or ()):
            yield f"spec.data.{split}[{index}].source", item["source"]


def _with_paths_of(stored: Object, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest with the stored job's path in each field where both have one."""
    adopted: dict[str, Any] = json.loads(json.dumps(raw))
    former = dict(_source_maps(stored))
    for field, source in _source_maps(adopted):
        if source.get("path") is not None and former.get(field, {}).get("path") is not None:
            source["path"] = former[field]["path"]
    return adopted


def _refuse(name: str, what: str) -> None:
    fail(
        f"FineTuneJob {name} exists already, and its inputs cannot change: {what}",
        _way_out(name),
        code=EXIT_REFUSED,
    )


def _way_out(name: str) -> str:
    return f"Restore the input, give the job another metadata.name, or remove the old job first: tunewright delete {name}"
