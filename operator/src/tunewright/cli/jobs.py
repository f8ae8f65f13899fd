"""`tunewright get` and `tunewright describe`: stored jobs, found by name, or a hint where the job may be."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from tunewright.cli.console import err, fail, home_at, out, report_errors
from tunewright.cli.listing import Job, describe, dump, job_table
from tunewright.local.app import Home, utc_now
from tunewright.local.supervisor import Holder
from tunewright_runtime.objects import Key

SHOWN_NAMES = 8


def stored_job(home: Home, key: Key) -> Mapping[str, Any]:
    """Return a job, or print which jobs exist instead, and exit."""
    found = next((job for job in home.jobs() if (job["metadata"]["namespace"], job["metadata"]["name"]) == key), None)
    return found if found is not None else _nothing(home, key)


def _nothing(home: Home, key: Key) -> NoReturn:
    namespace, name = key
    jobs = home.jobs()
    here = [job["metadata"]["name"] for job in jobs if job["metadata"]["namespace"] == namespace]
    elsewhere = [job["metadata"]["namespace"] for job in jobs if job["metadata"]["name"] == name]
    if elsewhere:
        hint = f"It is in namespace {elsewhere[0]}: add -n {elsewhere[0]}"
    elif close := get_close_matches(name, here, n=1):
        hint = f"Did you mean {close[0]}?"
    elif here:
        hint = f"There are: {', '.join(here[:SHOWN_NAMES])}{' …' if len(here) > SHOWN_NAMES else ''}"
    else:
        hint = "There are none yet. Create one: tunewright run MANIFEST"
    fail(f"there is no FineTuneJob {name} in namespace {namespace} of {home.layout.home}", hint)


def show_jobs(name: str | None, *, namespace: str | None, style: str, home_folder: Path | None) -> None:
    """Print one job, or all of them."""
    home = home_at(home_folder)
    with report_errors():
        jobs: list[Job] = [stored_job(home, Key(namespace or "default", name))] if name else [*home.jobs(namespace or "*")]
        if style in ("yaml", "json"):
            shown = jobs[0] if name else {"apiVersion": "v1", "kind": "List", "items": jobs}
            out.print(dump(shown, style=style), markup=False)
        elif jobs:
            several = not name and not namespace and {job["metadata"]["namespace"] for job in jobs} != {"default"}
            rows = [(job, _holder(home, job)) for job in jobs]
            out.print(job_table(rows, now=utc_now(), wide=style == "wide", namespaces=several), markup=False)
        else:
            where = f" in namespace {namespace}" if namespace else ""
            err.print(f"no FineTuneJobs{where} in {home.layout.home}", markup=False)


def show_job(key: Key, *, home_folder: Path | None) -> None:
    """Print everything about one job."""
    home = home_at(home_folder)
    with report_errors():
        job = stored_job(home, key)
        out.print(describe(job, home.children(key), home.holder(key)), markup=False)


def _holder(home: Home, job: Job) -> Holder | None:
    return home.holder(Key(job["metadata"]["namespace"], job["metadata"]["name"]))
