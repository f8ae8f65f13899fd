"""`tunewright get` and `tunewright describe`: stored jobs, found by name, or a hint where the job may be."""

from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import NoReturn

from tunewright.cli.console import err, fail, out, report_errors
from tunewright.cli.listing import describe, dump, job_table
from tunewright.cli.places import Job, Place, key_of
from tunewright_runtime.objects import Key

SHOWN_NAMES = 8


def find(place: Place, key: Key) -> Job:
    """Return a job, or print which jobs exist instead, and exit."""
    found = place.job(key)
    return found if found is not None else _nothing(place, key)


def _nothing(place: Place, key: Key) -> NoReturn:
    here = [job["metadata"]["name"] for job in place.jobs(key.namespace)]
    elsewhere = place.elsewhere(key.name)
    if elsewhere:
        hint = f"It is in namespace {elsewhere[0]}: add -n {elsewhere[0]}"
    elif close := get_close_matches(key.name, here, n=1):
        hint = f"Did you mean {close[0]}?"
    elif here:
        hint = f"There are: {', '.join(here[:SHOWN_NAMES])}{' …' if len(here) > SHOWN_NAMES else ''}"
    else:
        hint = f"There are none yet. Create one: {place.command('run MANIFEST')}"
    fail(f"there is no FineTuneJob {key.name} in namespace {key.namespace} of {place.name}", hint)


def show_jobs(place: Place, name: str | None, *, namespace: str | None, style: str, watch: bool) -> None:
    """Print one job, or all jobs of a namespace or of all namespaces (None). `watch`: then each change."""
    with report_errors():
        jobs = [find(place, Key(namespace or place.namespace, name))] if name else [*place.jobs(namespace)]
        if not watch:
            _print(place, jobs, one=name is not None, several=_several(jobs, name, namespace, place), style=style, head=True)
            if not jobs and style in ("table", "wide", "name"):
                where = f" in namespace {namespace}" if namespace else ""
                err.print(f"no FineTuneJobs{where} in {place.name}", markup=False)
            return
        head = True
        for job, deleted in place.changes(namespace or (place.namespace if name else None), name):
            if deleted:
                err.print(f"{key_of(job).namespace}/{key_of(job).name} was deleted", markup=False)
                continue
            _print(place, [job], one=True, several=not namespace and not name, style=style, head=head)
            head = False


def _several(jobs: Sequence[Job], name: str | None, namespace: str | None, place: Place) -> bool:
    return not name and not namespace and {job["metadata"]["namespace"] for job in jobs} != {place.namespace}


def _print(place: Place, jobs: Sequence[Job], *, one: bool, several: bool, style: str, head: bool) -> None:
    if style in ("yaml", "json"):
        out.print(dump(jobs[0] if one else {"apiVersion": "v1", "kind": "List", "items": jobs}, style=style), markup=False)
    elif style == "name":
        for job in jobs:
            out.print(f"finetunejob.tunewright.io/{job['metadata']['name']}", markup=False)
    elif jobs:
        rows = [(job, place.standing(job)) for job in jobs]
        now = datetime.now(UTC)
        text = job_table(rows, now=now, wide=style == "wide", namespaces=several, more=place.columns, head=head)
        out.print(text, markup=False)


def show_job(place: Place, key: Key) -> None:
    """Print everything about one job."""
    with report_errors():
        job = find(place, key)
        out.print(describe(job, place.standing(job), place.children(job), place.events(job)), markup=False)
