"""The commands of `tunewright`, and their options. Each hands over to a module of its own at once; heavy ones are imported when called."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="tunewright",
    help="From a FineTuneJob to a served model. Start with: tunewright run examples/quickstart.yaml",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Manifest = Annotated[Path, typer.Argument(help="A YAML file with one FineTuneJob.", metavar="MANIFEST")]
Name = Annotated[str, typer.Argument(help="The FineTuneJob's metadata.name.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The job's namespace.")]
HomeFolder = Annotated[
    Path | None,
    typer.Option("--home", envvar="TUNEWRIGHT_HOME", help="Where jobs, volumes and logs are kept. Default: ~/.local/share/tunewright"),
]


@app.command()
def run(
    manifest: Manifest,
    home: HomeFolder = None,
    ask: Annotated[
        list[str] | None, typer.Option("--ask", help="Ask the served model this instead of held-out questions; repeatable.")
    ] = None,
    keep_serving: Annotated[bool, typer.Option("--keep-serving", help="Go on serving until Ctrl-C.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the pods print, too.")] = False,
) -> None:
    """Take a FineTuneJob through Check, Train, Export and Serve on this machine.

    Shows live progress, and at the end the loss curve, parity, base against tuned, and answers of the served model. Ctrl-C stops after
    saving; the same command goes on from the last good checkpoint. Exit codes: 0 done, 1 failed, 64 refused, 130 stopped.
    """
    from tunewright.cli.run import run_job

    run_job(manifest, home_folder=home, questions=ask or (), keep_serving=keep_serving, verbose=verbose)


@app.command()
def validate(manifests: Annotated[list[Path], typer.Argument(help="YAML files with one FineTuneJob each.", metavar="MANIFEST...")]) -> None:
    """Check manifests and name every problem with line and column. Touches nothing. Exit codes: 0 all good, 64 a problem."""
    from tunewright.cli.console import EXIT_REFUSED, out
    from tunewright.cli.manifests import load

    refused = False
    for path in manifests:
        try:
            job, _ = load(path)
            out.print(f"{path}: FineTuneJob {job.metadata.namespace}/{job.metadata.name} is valid", markup=False)
        except typer.Exit:
            refused = True
    if refused:
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def plan(
    manifest: Manifest,
    output: Annotated[
        str, typer.Option("--output", "-o", help="text (explanation and manifests), explain, or yaml (manifests only).")
    ] = "text",
) -> None:
    """Show the stages, the ZeRO choice with its arithmetic, the memory per rank and the manifests. Touches nothing."""
    from tunewright.cli.show_plan import show_plan

    show_plan(manifest, style=output)


@app.command()
def get(
    name: Annotated[str | None, typer.Argument(help="One FineTuneJob; all of them when left out.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Only this namespace; with NAME: `default`.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="table, wide, yaml or json.")] = "table",
    home: HomeFolder = None,
) -> None:
    """List FineTuneJobs: phase, progress, loss, ETA, readiness."""
    from tunewright.cli.show_jobs import show_jobs

    show_jobs(name, namespace=namespace, style=output, home_folder=home)


@app.command()
def describe(name: Name, namespace: Namespace = "default", home: HomeFolder = None) -> None:
    """Show everything about one FineTuneJob: conditions, plan, data, parity, evaluation, children."""
    from tunewright.cli.show_jobs import show_job

    show_job((namespace, name), home_folder=home)


@app.command()
def logs(
    name: Name,
    stage: Annotated[str | None, typer.Option("--stage", help="check, train, export or serve; the newest pod's when left out.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Only this pod of the gang.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is printed from now on, until Ctrl-C.")] = False,
    namespace: Namespace = "default",
    home: HomeFolder = None,
) -> None:
    """Print what a job's pods have printed."""
    from tunewright.cli.show_logs import show_logs

    show_logs((namespace, name), stage=stage, rank=rank, follow=follow, home_folder=home)


@app.command()
def chat(
    name: Name,
    message: Annotated[str | None, typer.Argument(help="One message; without it, a conversation until Ctrl-D.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=2.0, help="0 always takes the likeliest token.")] = 0.0,
    namespace: Namespace = "default",
    home: HomeFolder = None,
) -> None:
    """Talk to a job's model through the OpenAI API. Starts the server when it is not running, and stops it again."""
    from tunewright.cli.chat import chat_with
    from tunewright.cli.console import home_at

    chat_with(home_at(home), (namespace, name), message, max_tokens=max_tokens, temperature=temperature)


@app.command()
def delete(
    name: Name,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Leave the finished model folders.")] = False,
    namespace: Namespace = "default",
    home: HomeFolder = None,
) -> None:
    """Stop a job and remove what it made: processes, checkpoints, models, logs."""
    from tunewright.cli.remove import remove

    remove((namespace, name), keep_models=keep_models, home_folder=home)
