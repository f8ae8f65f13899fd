"""The command line's parser, to which main.py and job_commands.py add their commands."""

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

app = typer.Typer(
    name="tunewright",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
completion_init()  # the shells for which `add_completion` would add options; `tunewright completion` prints their scripts
