"""Prints stored jobs, and the process that runs each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.cli.console import err, home_at, out, told
from tunewright.cli.jobs import stored_job
from tunewright.cli.listing import describe, dump, job_table
from tunewright.local.app import Home, utc_now
from tunewright.local.supervisor import Holder

Job = Mapping[str, Any]


def show_jobs(name: str | None, *, namespace: str | None, style: str, home_folder: Path | None) -> None:
    """Print one job, or all of them."""
    home = home_at(home_folder)
    with told():
        jobs: list[Job] = [stored_job(home, (namespace or "default", name))] if name else [*home.jobs(namespace or "*")]
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


def show_job(key: tuple[str, str], *, home_folder: Path | None) -> None:
    """Print everything about one job."""
    home = home_at(home_folder)
    with told():
        job = stored_job(home, key)
        out.print(describe(job, home.children(key), home.holder(key)), markup=False)


def _holder(home: Home, job: Job) -> Holder | None:
    return home.holder((job["metadata"]["namespace"], job["metadata"]["name"]))
