"""The command line's parser, to which main.py and job_commands.py add their commands, and the options that select a place.

They come before or after the command: `--context`, `--kubeconfig` and `-n` as of kubectl, and `--home`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from tunewright.cli.places import Place

app = typer.Typer(
    name="tunewright",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
completion_init()  # the shells for which `add_completion` would add options; `tunewright completion` prints their scripts


ContextName = Annotated[
    str | None,
    typer.Option("--context", metavar="CONTEXT", help="Work in a cluster: a context of the kubeconfig.", show_default=False),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", metavar="FILE", help="Work in a cluster: this kubeconfig.", show_default=False, dir_okay=False),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAMESPACE", help="The namespace. Default: the context's; on this machine `default`."),
]
HomeFolder = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="FOLDER",
        help="On this machine: the folder of jobs, volumes and logs. Default: $TUNEWRIGHT_HOME, else ~/.local/share/tunewright",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the options select. `in_cluster`: without an option, the current context's cluster instead of this machine."""

    context: str | None = None
    kubeconfig: Path | None = None
    namespace: str | None = None
    home: Path | None = None
    in_cluster: bool = False
    program: str = "tunewright"

    def with_(self, **options: Any) -> "Selection":
        """Return it with the given options, which replace those before the command."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def place(self) -> "Place":
        """Open the place. Raises TunewrightError, and typer's BadParameter if options contradict each other."""
        if self.in_cluster or self.context is not None or self.kubeconfig is not None:
            if self.home is not None:
                raise typer.BadParameter("--home is a folder of this machine, and the command works in a cluster: leave one of them out")
            from tunewright.cli.cluster import open_cluster

            return open_cluster(context=self.context, kubeconfig=self.kubeconfig, namespace=self.namespace, program=self.program)
        from tunewright.cli.machine import ThisMachine

        return ThisMachine(self.home)


OPTIONS = {"context": ContextName, "kubeconfig": Kubeconfig, "namespace": Namespace, "home": HomeFolder}
assert OPTIONS.keys() <= {field.name for field in fields(Selection)}  # noqa: S101 - checked when the module is imported


def selection(context: typer.Context) -> Selection:
    """Return what the options before the command select."""
    found: Selection = context.obj or Selection()
    return found


def at_a_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select a place. It is called with the place and the selection before its own options."""

    @wraps(command)
    def run(_context: typer.Context, **options: Any) -> None:
        chosen = selection(_context).with_(**{name: options.pop(name) for name in OPTIONS})
        from tunewright.cli.console import report_errors

        with report_errors():
            place = chosen.place()
        command(place, chosen, **options)

    own = list(inspect.signature(command).parameters.values())[2:]
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in OPTIONS.items()]
    first = inspect.Parameter("_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([first, *keywords, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (first, *own, *added)}
    del run.__wrapped__  # typer would read the signature of the wrapped function
    return run
