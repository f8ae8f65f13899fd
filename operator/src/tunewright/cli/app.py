"""The command line's parser, to which main.py and job_commands.py add their commands."""

import typer

app = typer.Typer(
    name="tunewright",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
