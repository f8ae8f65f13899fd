"""`tunewright run` in a cluster: applies the manifest as `tunewright-cli`, and watches the job that the operator runs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.cli import result
from tunewright.cli.console import EXIT_INTERRUPTED, EXIT_REFUSED, err, fail, out
from tunewright.cli.places import Job, Place, Run, asks_for_a_server, key_of
from tunewright.cli.terminal import Stop
from tunewright.cli.watch import follow
from tunewright.plan.inputs import Defaults
from tunewright.plan.plan import forecast
from tunewright.plan.plan_types import FineTunePlan


def run_job(place: Place, apply: Callable[[Mapping[str, Any]], Job], job: FineTuneJob, raw: Mapping[str, Any], wanted: Run) -> int:
    """Apply a manifest and watch its job. `apply` stores the manifest at the place, and returns the job as stored.

    Returns the exit code: 0, 1 failed, 130 no longer watched. Exits with 64 if the manifest or an option is refused.
    """
    if wanted.keep_serving:
        fail("--keep-serving: in a cluster the server stays until the job is deleted", "Leave it out.", code=EXIT_REFUSED)
    if wanted.verbose:
        way_out = f"Leave it out, and follow them: {place.command(f'logs -f {job.metadata.name}', job.metadata.namespace)}"
        fail("--verbose: in a cluster the output of pods is in their logs", way_out, code=EXIT_REFUSED)
    decided = forecast(job, place.references(job, wanted.path.parent), Defaults(), model_facts=None)
    if not isinstance(decided, FineTunePlan):
        fail(f"{decided.reason}: {decided}", code=EXIT_REFUSED)
    stored = apply(raw)
    err.print(f"FineTuneJob {job.metadata.namespace}/{job.metadata.name} applied in {place.name}", markup=False)
    code = follow(place, stored)
    if code == 0 and wanted.questions and asks_for_a_server(stored):
        return asyncio.run(_answer(place, stored, wanted.questions))
    return code


async def _answer(place: Place, stored: Job, questions: Sequence[str]) -> int:
    stop = Stop(again=lambda: None)
    async with place.server(place.job(key_of(stored)) or stored, stop) as job:
        if job is None or await stop.unless(_show(job, questions)) is None:
            return EXIT_INTERRUPTED
    return 0


async def _show(job: Job, questions: Sequence[str]) -> bool:
    await result.show_answers(out, [], job, questions)
    return True
