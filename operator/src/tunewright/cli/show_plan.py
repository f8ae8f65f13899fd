"""Prints a plan: the explanation, then the manifests as they would be applied."""

from pathlib import Path

from tunewright.cli.console import EXIT_REFUSED, fail, out, told
from tunewright.cli.listing import dump
from tunewright.cli.manifests import load
from tunewright.cli.preview import facts_of, references
from tunewright.plan.errors import PlanRejected
from tunewright.plan.explain import explain_text
from tunewright.plan.inputs import Defaults
from tunewright.plan.plan import forecast
from tunewright.render import render

HEADING = "# What would be applied. The job's uid, and with it the revision, is given when the job is created."


def show_plan(path: Path, *, style: str) -> None:
    """Plan a manifest as if every stage went well, and print it."""
    job, _ = load(path)
    with told():
        refs = references(job, path.parent)
        source = job.spec.model.source.path
        facts, how = facts_of(job, refs.folders[source] if source else None)
        try:
            decided = forecast(job, refs, Defaults(), model_facts=facts)
        except PlanRejected as error:
            fail(f"{error.reason}: {error}", code=EXIT_REFUSED)
        if style != "yaml":
            out.print(explain_text(decided), markup=False, end="")
            out.print(f"\nParameters: {how}\n", markup=False)
        if style != "explain":
            out.print(HEADING, markup=False)
            for manifest in render(decided).children:
                out.print(f"---\n{dump(manifest, style='yaml')}", markup=False)
