"""Output of the command line: text for people to standard error, results to standard output, problems with their way out."""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.logging import RichHandler

from tunewright.api.admission import ManifestError
from tunewright.api.yaml_nodes import LARGEST_TEXT
from tunewright.cli.ask import AskError
from tunewright.local.app import Home
from tunewright.local.files import NotRegularError, open_regular
from tunewright_contract.text import plain
from tunewright_runtime.errors import TunewrightError


class Terminal(Console):
    """A console that prints untrusted text (logs, statuses, answers of models) without control characters: no cursor moves, no titles."""

    def print(self, *objects: Any, **how: Any) -> None:
        """Print as rich does, without the control characters of texts."""
        super().print(*(plain(item) if isinstance(item, str) else item for item in objects), **how)


out = Terminal(soft_wrap=True, highlight=False)
err = Terminal(stderr=True, soft_wrap=True, highlight=False)

LARGEST_MANIFEST = 4 * LARGEST_TEXT  # bytes; a character of UTF-8 has at most 4
MOST_NAMES_SHOWN = 20  # of the files of a folder

EXIT_FAILED = 1
EXIT_REFUSED = 64  # sysexits.h EX_USAGE: the manifest itself cannot be accepted
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def show_manifest_error(error: ManifestError) -> None:
    """Print every problem as `file:line:column: path`, its message, and its way out."""
    for problem in error.problems:
        place = f"{error.filename}:{problem.line}:{problem.column}:"
        err.print(f"{place} {problem.path}".rstrip(), style="bold", markup=False)
        err.print(f"    {problem.message} ({problem.code})", markup=False)
        if problem.way_out:
            err.print(f"    → {problem.way_out}", style="green", markup=False)


def show_error(message: str, way_out: str = "") -> None:
    """Print one error with its way out."""
    err.print("error: ", style="bold red", end="")
    err.print(message, markup=False)
    if way_out:
        err.print(f"    → {way_out}", style="green", markup=False)


def fail(message: str, way_out: str = "", *, code: int = EXIT_FAILED) -> NoReturn:
    """Print one error with its way out, and exit."""
    show_error(message, way_out)
    raise typer.Exit(code)


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn each expected error within the block into one message with its way out, and Ctrl-C into an exit without a traceback."""
    try:
        yield
    except (TunewrightError, AskError) as error:
        fail(str(error), getattr(error, "way_out", ""))
    except OSError as error:
        if error.errno == errno.EPIPE:  # `| head` has closed the pipe
            raise
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}", "Check the permissions and the free space there, or name another folder with --home.")
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Align cells with three spaces between columns, as kubectl does. Never wraps, so that `grep` finds whole lines."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = ("   ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"{indent}{line}".rstrip() for line in padded)


def log_to_console() -> None:
    """Show warnings of the operator's other packages without breaking the updated line."""
    handler = RichHandler(console=err, show_time=False, show_path=False, show_level=False)
    handler.setFormatter(_PlainFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def read_text(path: Path) -> str:
    """Read a manifest's file, or print why it cannot be read, and exit. Never blocks: a pipe or a device is refused."""
    try:
        content = _content(path)
        return content.decode()
    except IsADirectoryError:
        found = sorted(file.name for file in islice(path.glob("*.y*ml"), MOST_NAMES_SHOWN))
        fail(f"{path} is a folder", f"Name one file of it: {', '.join(found)}." if found else "Name a YAML file; this folder holds none.")
    except OSError as error:
        fail(f"{path}: {error.strerror}", "Name a file that holds a FineTuneJob, such as examples/quickstart.yaml.")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        place = f"{path}:{line}:{column}"
        fail(f"{place}: byte {error.start} is not UTF-8 text", "Save the manifest as UTF-8.", code=EXIT_REFUSED)


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_MANIFEST + 1)
    except NotRegularError as error:
        fail(str(error), "Name a file that holds a FineTuneJob, such as examples/quickstart.yaml.")
    if len(content) > LARGEST_MANIFEST:
        fail(f"{path} has more than {LARGEST_MANIFEST} bytes", "Take large texts out of the manifest.", code=EXIT_REFUSED)
    return content


def home_at(folder: Path | None, *, prepared: bool = False) -> Home:
    """Open the home folder, or print why it cannot be used, and exit. `prepared`: for a command that changes something there."""
    try:
        home = Home(folder)
        if prepared:
            home.prepare()
    except TunewrightError as error:
        fail(str(error), "Name a folder that you may write to, with --home or TUNEWRIGHT_HOME.")
    return home
