"""Prints jobs as they are stored."""

from pathlib import Path

import typer

from tunewright.cli.console import err, fail, home_at, out
from tunewright.cli.listing import describe, dump, job_table
from tunewright.errors import TunewrightError
from tunewright.local.app import utc_now

STYLES = ("table", "wide", "yaml", "json")


def show_jobs(name: str | None, *, namespace: str, style: str, home_folder: Path | None) -> None:
    """Print one job, or all of them."""
    if style not in STYLES:
        raise typer.BadParameter(f"{style} is none of {', '.join(STYLES)}", param_hint="--output")
    home = home_at(home_folder)
    try:
        jobs = [home.job((namespace or "default", name))] if name else home.jobs(namespace or "*")
    except TunewrightError as error:
        fail(str(error), "List them all: tunewright get")
    if style in ("yaml", "json"):
        out.print(dump(jobs[0] if name else jobs, style=style), markup=False)
    elif jobs:
        out.print(job_table(jobs, now=utc_now(), wide=style == "wide"))
    else:
        err.print(f"no FineTuneJobs in {home.layout.home}", markup=False)


def show_job(key: tuple[str, str], *, home_folder: Path | None) -> None:
    """Print everything about one job."""
    home = home_at(home_folder)
    try:
        describe(out, home.job(key), home.children(key))
    except TunewrightError as error:
        fail(str(error), "List them all: tunewright get")
