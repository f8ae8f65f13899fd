"""The commands that name a stored job, and their options."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tunewright.cli.app import Selection, app, at_a_place
from tunewright_contract import environment
from tunewright_contract.stages import STAGES
from tunewright_runtime.objects import Key

if TYPE_CHECKING:
    from tunewright.cli.places import Place

StageName = StrEnum("StageName", [(stage.name, stage.name) for stage in STAGES])  # type: ignore[misc]


def _job_names(context: typer.Context, incomplete: str) -> list[str]:
    from tunewright.cli.completion import job_names

    return job_names(context, incomplete)


Name = Annotated[
    str, typer.Argument(help="The FineTuneJob's metadata.name.", metavar="NAME", show_default=False, autocompletion=_job_names)
]


@app.command(
    short_help="List FineTuneJobs.",
    epilog="""
\b
Examples:
  tunewright get
  tunewright get -o wide
  tunewright get support-bot -o yaml
  kubectl tunewright get -A -w

\b
On this machine, PROCESS is the process that runs the job now. An unfinished or serving job without a process is Stopped.
""",
)
@app.command("list", hidden=True)
@at_a_place
def get(
    place: "Place",
    chosen: Selection,
    name: Annotated[
        str | None,
        typer.Argument(help="Name of a FineTuneJob. Default: all.", metavar="NAME", show_default=False, autocompletion=_job_names),
    ] = None,
    output: Annotated[Literal["table", "wide", "yaml", "json", "name"], typer.Option("--output", "-o", help="Output format.")] = "table",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Then print each change until Ctrl-C.")] = False,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="List all namespaces.")] = False,
) -> None:
    """List FineTuneJobs: phase, progress, loss, ETA, readiness. `list` is the same command.

    Without -n it lists all namespaces of this machine; in a cluster, the namespace of the context.
    """
    from tunewright.cli.jobs import show_jobs

    if everywhere and (name or chosen.namespace):
        raise typer.BadParameter("--all-namespaces contradicts a name and --namespace: leave one of them out")
    namespace = None if everywhere else chosen.namespace or (None if name else place.listed)
    show_jobs(place, name, namespace=namespace, style=output, watch=watch)


@app.command(short_help="Show everything about one FineTuneJob.", epilog="Example: tunewright describe support-bot")
@at_a_place
def describe(place: "Place", chosen: Selection, name: Name) -> None:
    """Show everything about one FineTuneJob: conditions, failure, plan, data, parity, evaluation, objects, Events."""
    from tunewright.cli.jobs import show_job

    show_job(place, Key(chosen.namespace or place.namespace, name))


@app.command(
    short_help="Print the logs of a job's pods.",
    epilog="""
\b
Examples:
  tunewright logs support-bot                         of the stage with the newest output
  tunewright logs support-bot -f                      follow this stage and the next ones
  tunewright logs support-bot --stage train --rank 1 --tail 50
  kubectl tunewright logs support-bot --stage train --attempt 0
""",
)
@at_a_place
def logs(
    place: "Place",
    chosen: Selection,
    name: Name,
    stage: Annotated[
        StageName | None,
        typer.Option("--stage", help="Only this stage. Default: the one with the newest output."),
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=0, metavar="N", help="Only this pod of the gang.")] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", min=0, metavar="N", help="Only this attempt of the gang, from 0.")] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Include earlier attempts and replaced servers.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, metavar="N", help="Only the last lines of each pod.")] = None,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of containers before their last restart.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow new output until Ctrl-C.")] = False,
) -> None:
    """Print what a job's pods have printed; several pods' lines begin with the pod's name."""
    from tunewright.cli.watch import Which, show_logs

    which = Which(stage=stage, rank=rank, attempt=attempt, everything=everything)
    show_logs(place, Key(chosen.namespace or place.namespace, name), which, tail=tail, previous=previous, follow=follow)


@app.command(
    short_help="Follow a job's progress.",
    epilog="""
\b
Examples:
  tunewright watch support-bot
  kubectl tunewright watch support-bot -n team-a

\b
Exit codes: 0 the job has reached its spec, 1 failed, 130 stopped
""",
)
@app.command("progress", hidden=True)
@at_a_place
def watch(place: "Place", chosen: Selection, name: Name) -> None:
    """Show a job's progress until it is served, complete or failed; then the loss curve. `progress` is the same command.

    A terminal shows a bar; elsewhere each change is one line. Ctrl-C ends the command and not the job. The curve of a job in a cluster has
    the losses that its status reported meanwhile.
    """
    from tunewright.cli.watch import watch_job

    watch_job(place, Key(chosen.namespace or place.namespace, name))


@app.command(
    short_help="Chat with a job's model.",
    epilog="""
\b
Examples:
  tunewright chat support-bot
  tunewright chat support-bot "Two flat whites, please."
  tunewright chat support-bot < questions.txt        one conversation, a line a turn
  tunewright chat notice-reader "Who brings it?" --context-file notice.txt
""",
)
@app.command("ask", hidden=True)
@at_a_place
def chat(
    place: "Place",
    chosen: Selection,
    name: Name,
    message: Annotated[
        str | None, typer.Argument(help="One message; without it, a conversation until Ctrl-D.", metavar="MESSAGE", show_default=False)
    ] = None,
    context_file: Annotated[
        Path | None,
        typer.Option(
            "--context-file", metavar="FILE", help="For a QuestionAnswering job: the text that the questions are about.", dir_okay=False
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, metavar="N", help="Most tokens of an answer. Default: the rest of the context."),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, max=2.0, metavar="T", help="0 always takes the most likely token.")
    ] = 0.0,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", envvar=environment.API_KEY, metavar="KEY", help="Key of the server. Other users see options of a process."
        ),
    ] = None,
) -> None:
    """Chat with a job's model through the OpenAI API. `ask` is the same command.

    On this machine it starts the server if it is not running, and stops it afterwards. In a cluster it forwards a port of 127.0.0.1 to a
    ready pod, until it ends.

    For a TextGeneration job each line is a prompt to continue. For a classification job each line is a text, and the answer is
    its label. For NamedEntityRecognition the answer is its entities.
    """
    from tunewright.cli.chat import Answering, chat_with

    options = Answering(max_tokens=max_tokens, temperature=temperature, api_key=api_key)
    chat_with(place, Key(chosen.namespace or place.namespace, name), message, context=context_file, options=options)


@app.command(
    short_help="Stop training after a checkpoint.",
    epilog="""
\b
Examples:
  tunewright suspend support-bot
  tunewright resume support-bot
""",
)
@at_a_place
def suspend(place: "Place", chosen: Selection, name: Name) -> None:
    """Set spec.suspend: training saves a checkpoint, stops, and releases its accelerators.

    If a GitOps repository has another value, its controller reverts the change: make it there.
    """
    from tunewright.cli import change

    change.suspend(place, Key(chosen.namespace or place.namespace, name), suspended=True)


@app.command(short_help="Continue a suspended job.", epilog="Example: tunewright resume support-bot")
@at_a_place
def resume(place: "Place", chosen: Selection, name: Name) -> None:
    """Clear spec.suspend: training resumes from the last good checkpoint.

    If a GitOps repository has another value, its controller reverts the change: make it there.
    """
    from tunewright.cli import change

    change.suspend(place, Key(chosen.namespace or place.namespace, name), suspended=False)


@app.command(short_help="Run the failed stage of a job again.", epilog="Example: tunewright retry support-bot")
@at_a_place
def retry(place: "Place", chosen: Selection, name: Name) -> None:
    """Run the failed stage of a job again, after its cause is removed: a full disk, a missing permission. Earlier results are kept.

    In a cluster it sets the annotation tunewright.io/retry, which GitOps controllers leave unless the repository has it, too. On this
    machine the stage runs with the next `tunewright run`.
    """
    from tunewright.cli import change

    change.retry(place, Key(chosen.namespace or place.namespace, name))


@app.command(
    short_help="Delete a job, and print what stays.",
    epilog="""
\b
Examples:
  tunewright delete support-bot
  tunewright delete support-bot --keep-models
  tunewright delete support-bot --yes
""",
)
@at_a_place
def delete(
    place: "Place",
    chosen: Selection,
    name: Name,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the finished model folders.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; also remove the job's files in claims that it did not create.")
    ] = False,
) -> None:
    """Delete a job and what it made, and nothing else. It prints what stays.

    On this machine it removes checkpoints, models and logs, but only those that a manifest with this job's uid lists. It refuses a job that
    a process runs: stop that process first. In a cluster it deletes the FineTuneJob and its objects, and no file of a claim that stays.
    A claim with `output.storage.retain: true` stays in both places.
    """
    from tunewright.cli.change import remove

    remove(place, Key(chosen.namespace or place.namespace, name), keep_models=keep_models, yes=yes)
