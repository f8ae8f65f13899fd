"""Completion for bash, zsh and `kubectl tunewright`. typer writes the scripts; the words come from the parser and from the place."""

import os
import shlex
import sys
from typing import Any

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from tunewright.cli.app import OPTIONS, Selection, app, selection
from tunewright_runtime.errors import TunewrightError

COMPLETE_VARIABLE = "_TUNEWRIGHT_COMPLETE"
NO_FILES = ":4"  # kubectl's directive: do not complete names of files


def script(shell: str) -> str:
    """Return the script that a shell loads."""
    return str(get_completion_script(prog_name="tunewright", complete_var=COMPLETE_VARIABLE, shell=shell))


def job_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of jobs at the selected place. An error gives none: a message would stand in the user's command line."""
    chosen = selection(context)
    for level in (context.parent, context):
        chosen = chosen.with_(**{name: level.params.get(name) for name in OPTIONS} if level else {})
    try:
        place = chosen.place()
        names = [job["metadata"]["name"] for job in place.jobs(chosen.namespace or place.namespace)]
    except (TunewrightError, typer.Exit, typer.BadParameter, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_for_kubectl() -> None:
    """Run as `kubectl_complete-tunewright`, which kubectl calls with the words after the plugin's name."""
    words: list[str] = sys.argv[1:]
    variables = {
        "COMP_WORDS": shlex.join(["tunewright", *words]),
        "COMP_CWORD": str(max(len(words), 1)),
        COMPLETE_VARIABLE: "complete_bash",
    }
    os.environ.update(variables)
    options: dict[str, Any] = {"obj": Selection(in_cluster=True, program="kubectl tunewright"), "prog_name": "tunewright"}
    try:
        app(args=[], **options)
    except SystemExit:  # after the words are printed
        sys.stdout.write(f"{NO_FILES}\n")
