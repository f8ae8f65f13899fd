"""The commands of `tunewright` and their options. Each command is in its own module, which is imported when the command runs."""

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from tunewright_contract.stages import STAGES
from tunewright_runtime.objects import Key

app = typer.Typer(
    name="tunewright",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

StageName = StrEnum("StageName", [(stage.name, stage.name) for stage in STAGES])  # type: ignore[misc]
ManifestFile = Annotated[Path, typer.Argument(help="A YAML file with one FineTuneJob.", metavar="MANIFEST", show_default=False)]
Name = Annotated[str, typer.Argument(help="The FineTuneJob's metadata.name.", metavar="NAME", show_default=False)]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The job's namespace.", metavar="NAMESPACE")]
HomeFolder = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="TUNEWRIGHT_HOME",
        metavar="FOLDER",
        help="Folder of jobs, volumes and logs. Default: ~/.local/share/tunewright",
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tunewright {version('tunewright')}")
        raise typer.Exit


@app.callback(
    epilog="""
\b
Start here:
  tunewright validate examples/quickstart.yaml    all problems of a manifest, with line and column
  tunewright plan examples/quickstart.yaml        the plan, with the memory arithmetic; changes nothing
  tunewright run examples/quickstart.yaml         from the manifest to a served answer
  tunewright chat support-bot                     chat with the tuned model
  tunewright delete support-bot                   remove what it made

\b
Exit codes:
  0    done
  1    failed; the error names the cause and the way out
  2    the command line itself is wrong
  64   the manifest is refused; nothing was started
  130  stopped by Ctrl-C or SIGTERM; the same command resumes
"""
)
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.", show_default=False)
    ] = False,
) -> None:
    """From a FineTuneJob to a served model.

    A FineTuneJob names a base model, examples, a way to tune and a way to serve. Tunewright takes it through Check, Train (torchrun and
    DeepSpeed), Export (ONNX, compared with the trained model) and Serve (the OpenAI API), as processes of this machine.
    """


@app.command(
    epilog="""
\b
Examples:
  tunewright run examples/quickstart.yaml
  tunewright run job.yaml --ask "Two flat whites, please." --ask "When do you close?"
  tunewright run job.yaml --keep-serving      then use the printed URL with any OpenAI client

\b
Exit codes: 0 done, 1 failed, 64 the manifest is refused, 130 stopped
"""
)
def run(
    manifest: ManifestFile,
    ask: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="TEXT", help="A question for the served model, instead of held-out questions. Repeatable."),
    ] = None,
    keep_serving: Annotated[bool, typer.Option("--keep-serving", help="Continue to serve until Ctrl-C.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show the output of the pods.")] = False,
    home: HomeFolder = None,
) -> None:
    """Take a FineTuneJob through all its stages on this machine.

    Shows live progress. At the end it shows the loss curve, the difference between export and trained model, the scores and answers of the
    base and of the tuned model, and the paths of all files.

    Ctrl-C stops after saving a checkpoint; the same command continues from the last good one. A second Ctrl-C kills at once. If this
    process is killed, the job's processes continue, and the same command adopts them.

    The inputs of a job's model cannot change. For other inputs, choose another metadata.name, or run `tunewright delete` on the old job.

    A field that has an effect only in a cluster, such as a node selector, is named and ignored. An image of your own is refused: the pods
    run this installation's Python.
    """
    from tunewright.cli.run import run_job

    run_job(manifest, home_folder=home, questions=ask or (), keep_serving=keep_serving, verbose=verbose)


@app.command(
    short_help="Report every problem of a manifest.",
    epilog="""
\b
Examples:
  tunewright validate job.yaml
  tunewright validate examples/*.yaml

\b
Exit codes: 0 valid, 1 a file cannot be read, 64 a manifest has problems
""",
)
def validate(
    manifests: Annotated[list[Path], typer.Argument(help="YAML files with one FineTuneJob each.", metavar="MANIFEST", show_default=False)],
) -> None:
    """Check manifests and name every problem as file:line:column with its way out. Changes nothing."""
    from tunewright.cli.manifests import show_problems

    show_problems(manifests)


@app.command(
    short_help="Show the plan of a FineTuneJob, and why.",
    epilog="""
\b
Examples:
  tunewright plan job.yaml -o explain
  tunewright plan job.yaml -o yaml | kubectl apply --dry-run=client -f -

\b
Exit codes: 0 there is a plan, 1 the file cannot be read, 64 the manifest is refused or fits no memory
""",
)
def plan(
    manifest: ManifestFile,
    output: Annotated[
        Literal["text", "explain", "yaml"],
        typer.Option("--output", "-o", help="explain: the decision in words; yaml: the manifests; text: both."),
    ] = "text",
) -> None:
    """Show the stages, the ZeRO choice with its arithmetic, the memory per rank, and the manifests. Changes nothing."""
    from tunewright.cli.preview import show_plan

    show_plan(manifest, style=output)


@app.command(
    epilog="""
\b
Examples:
  tunewright get
  tunewright get -o wide
  tunewright get support-bot -o yaml

\b
PROCESS is the process that runs the job now. An unfinished or serving job without a process is Stopped.
"""
)
def get(
    name: Annotated[str | None, typer.Argument(help="Name of a FineTuneJob. Default: all.", metavar="NAME", show_default=False)] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Only this one. Default: all; with NAME, `default`.")
    ] = None,
    output: Annotated[Literal["table", "wide", "yaml", "json"], typer.Option("--output", "-o", help="Output format.")] = "table",
    home: HomeFolder = None,
) -> None:
    """List FineTuneJobs: phase, progress, loss, ETA, readiness."""
    from tunewright.cli.jobs import show_jobs

    show_jobs(name, namespace=namespace, style=output, home_folder=home)


@app.command(short_help="Show everything about one FineTuneJob.", epilog="Example: tunewright describe support-bot")
def describe(name: Name, namespace: Namespace = "default", home: HomeFolder = None) -> None:
    """Show everything about one FineTuneJob: conditions, failure, plan, data, parity, evaluation, children."""
    from tunewright.cli.jobs import show_job

    show_job(Key(namespace, name), home_folder=home)


@app.command(
    short_help="Print the logs of a job's pods.",
    epilog="""
\b
Examples:
  tunewright logs support-bot                         of the stage with the newest output
  tunewright logs support-bot -f                      follow this stage and the next ones
  tunewright logs support-bot --stage train --rank 1 --tail 50
""",
)
def logs(
    name: Name,
    stage: Annotated[
        StageName | None,
        typer.Option("--stage", help="Only this stage. Default: the one with the newest output."),
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=0, metavar="N", help="Only this pod of the gang.")] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Include earlier attempts and replaced servers.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, metavar="N", help="Only the last lines of each pod.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow new output until Ctrl-C.")] = False,
    namespace: Namespace = "default",
    home: HomeFolder = None,
) -> None:
    """Print what a job's pods have printed; several pods' lines begin with the pod's name."""
    from tunewright.cli.show_logs import show_logs

    show_logs(Key(namespace, name), stage=stage, rank=rank, everything=everything, tail=tail, follow=follow, home_folder=home)


@app.command(
    epilog="""
\b
Examples:
  tunewright chat support-bot
  tunewright chat support-bot "Two flat whites, please."
  tunewright chat support-bot < questions.txt        one conversation, a line a turn
  tunewright chat notice-reader "Who brings it?" --context notice.txt
"""
)
def chat(
    name: Name,
    message: Annotated[
        str | None, typer.Argument(help="One message; without it, a conversation until Ctrl-D.", metavar="MESSAGE", show_default=False)
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            "--context", metavar="FILE", help="For a QuestionAnswering job: the text that the questions are about.", dir_okay=False
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, metavar="N", help="Most tokens of an answer. Default: the rest of the context."),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, max=2.0, metavar="T", help="0 always takes the most likely token.")
    ] = 0.0,
    namespace: Namespace = "default",
    home: HomeFolder = None,
) -> None:
    """Chat with a job's model through the OpenAI API.

    Starts the server if it is not running, and stops it afterwards. For a TextGeneration job each line is a prompt to continue.
    For a SingleLabelClassification job each line is a text, and the answer is its label. For NamedEntityRecognition the answer is its
    entities.
    """
    from tunewright.cli.chat import chat_with
    from tunewright.cli.console import home_at

    chat_with(home_at(home, prepared=True), Key(namespace, name), message, context=context, max_tokens=max_tokens, temperature=temperature)


@app.command(
    epilog="""
\b
Examples:
  tunewright delete support-bot
  tunewright delete support-bot --keep-models
  tunewright delete support-bot --yes
"""
)
def delete(
    name: Name,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the finished model folders.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; also remove the job's files in claims that it did not create.")
    ] = False,
    namespace: Namespace = "default",
    home: HomeFolder = None,
) -> None:
    """Remove the files of a job, and nothing else.

    Removes checkpoints, models and logs, but only those that a manifest with this job's uid lists. It prints what stays. It refuses a job
    that a process runs: stop that process first. A claim with `output.storage.retain: true` stays.
    """
    from tunewright.cli.remove import remove

    remove(Key(namespace, name), keep_models=keep_models, yes=yes, home_folder=home)
