"""The entry points, and the commands that read a manifest. job_commands.py has those that name a stored job.

What a command does is in a module of its own, which is imported when the command runs.
"""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tunewright.cli import job_commands  # noqa: F401 - it adds its commands
from tunewright.cli.app import ContextName, HomeFolder, Kubeconfig, Namespace, Selection, app, at_a_place, selection

if TYPE_CHECKING:
    from tunewright.cli.places import Place

ManifestFile = Annotated[Path, typer.Argument(help="A YAML file with one FineTuneJob.", metavar="MANIFEST", show_default=False)]


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
    _context: typer.Context,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = None,
    home: HomeFolder = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.", show_default=False)
    ] = False,
) -> None:
    """From a FineTuneJob to a served model.

    A FineTuneJob names a base model, examples, a way to tune and a way to serve. Tunewright takes it through Check, Train (torchrun and
    DeepSpeed), Export (ONNX, compared with the trained model) and Serve (the OpenAI API).

    Commands work on this machine, where stages are processes. With --context or --kubeconfig they work in a cluster, as
    `kubectl tunewright` does: there the operator runs the stages in pods.
    """
    _context.obj = selection(_context).with_(context=context, kubeconfig=kubeconfig, namespace=namespace, home=home)


@app.command(
    short_help="Take a FineTuneJob through all its stages.",
    epilog="""
\b
Examples:
  tunewright run examples/quickstart.yaml
  tunewright run job.yaml --ask "Two flat whites, please." --ask "When do you close?"
  tunewright run job.yaml --keep-serving      then use the printed URL with any OpenAI client

\b
Exit codes: 0 done, 1 failed, 64 the manifest is refused, 130 stopped
""",
)
@at_a_place
def run(
    place: "Place",
    chosen: Selection,
    manifest: ManifestFile,
    ask: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="TEXT", help="A question for the served model, instead of held-out questions. Repeatable."),
    ] = None,
    keep_serving: Annotated[bool, typer.Option("--keep-serving", help="Continue to serve until Ctrl-C.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show the output of the pods.")] = False,
) -> None:
    """Take a FineTuneJob through all its stages.

    Shows live progress. At the end it shows the loss curve, the difference between export and trained model, the scores and answers of the
    base and of the tuned model, and the paths of all files.

    Ctrl-C stops after saving a checkpoint; the same command continues from the last good one. A second Ctrl-C kills at once. If this
    process is killed, the job's processes continue, and the same command adopts them.

    The inputs of a job's model cannot change. For other inputs, choose another metadata.name, or run `tunewright delete` on the old job.

    A field that has an effect only in a cluster, such as a node selector, is named and ignored. An image of your own is refused: the pods
    run this installation's Python.
    """
    from tunewright.cli.manifests import run_manifest
    from tunewright.cli.places import Run

    run_manifest(place, Run(path=manifest, questions=ask or (), keep_serving=keep_serving, verbose=verbose), chosen.namespace)


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
@at_a_place
def plan(
    place: "Place",
    chosen: Selection,
    manifest: ManifestFile,
    output: Annotated[
        Literal["text", "explain", "yaml"],
        typer.Option("--output", "-o", help="explain: the decision in words; yaml: the manifests; text: both."),
    ] = "text",
) -> None:
    """Show the stages, the ZeRO choice with its arithmetic, the memory per rank, and the manifests. Changes nothing."""
    from tunewright.cli.preview import show_plan

    show_plan(place, manifest, namespace=chosen.namespace, style=output)


@app.command(
    short_help="Print the completion script of a shell.",
    epilog="""
\b
Examples:
  source <(tunewright completion bash)
  tunewright completion zsh > "${fpath[1]}/_tunewright"

\b
`kubectl tunewright` is completed by kubectl's own script, if kubectl_complete-tunewright is on PATH.
""",
)
def completion(shell: Annotated[Literal["bash", "zsh"], typer.Argument(metavar="SHELL", help="bash or zsh.", show_default=False)]) -> None:
    """Print a script that completes commands, options, stages and names of jobs."""
    from tunewright.cli.completion import script

    typer.echo(script(shell))


def kubectl_plugin() -> None:
    """Run as `kubectl tunewright`: in the cluster of the current context, unless an option selects another one."""
    app(obj=Selection(in_cluster=True, program="kubectl tunewright"), prog_name="kubectl tunewright")


def complete_for_kubectl() -> None:
    """Run as `kubectl_complete-tunewright`."""
    from tunewright.cli import completion as words

    words.complete_for_kubectl()
