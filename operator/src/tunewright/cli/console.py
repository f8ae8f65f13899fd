"""Where the command line writes: people's text to standard error, results to standard output, problems with their way out."""

from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from tunewright.api.manifest import ManifestError
from tunewright.errors import TunewrightError
from tunewright.local.app import Home

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

EXIT_FAILED = 1
EXIT_REFUSED = 64  # sysexits.h EX_USAGE: the manifest itself cannot be accepted
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def show_manifest_error(error: ManifestError) -> None:
    """Print every problem as `file:line:column: path`, its message, and its way out."""
    for problem in error.problems:
        place = f"{error.filename}:{problem.line}:{problem.column}:"
        err.print(f"{place} {problem.path}", style="bold", markup=False)
        err.print(f"    {problem.message} ({problem.code})", markup=False)
        if problem.way_out:
            err.print(f"    → {problem.way_out}", style="green", markup=False)


def fail(message: str, way_out: str = "", *, code: int = EXIT_FAILED) -> NoReturn:
    """Print one error with its way out, and leave."""
    err.print("error: ", style="bold red", end="")
    err.print(message, markup=False)
    if way_out:
        err.print(f"    → {way_out}", style="green", markup=False)
    raise typer.Exit(code)


def read_text(path: Path) -> str:
    """Read a manifest's file, or say why it cannot be read, and leave."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fail(f"{path}: {error.strerror}", "Name a file that holds a FineTuneJob, such as examples/quickstart.yaml.")
    except UnicodeDecodeError as error:
        fail(f"{path}: byte {error.start} is not UTF-8 text", "Save the manifest as UTF-8.", code=EXIT_REFUSED)


def home_at(folder: Path | None) -> Home:
    """Open the home folder, or say why it cannot be used, and leave."""
    try:
        return Home(folder)
    except TunewrightError as error:
        fail(str(error))
