"""`tunewright run`: a FineTuneJob through all its stages on this machine, with live progress, to a served answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

import typer

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.cli import result
from tunewright.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED, err, log_to_console, out, show_error
from tunewright.cli.live import LiveView
from tunewright.cli.local_operator import Event, LocalOperator, StatusChanged
from tunewright.cli.places import Place, Run, settled
from tunewright.cli.same_inputs import adopt
from tunewright.cli.terminal import Stop
from tunewright.cli.watch import show_failure
from tunewright.local.app import Home
from tunewright.local.cluster_fields import cluster_fields_of
from tunewright_runtime.objects import Key

LOG_TAIL = 20  # lines of the failed pod's log


def run_job(home: Home, place: Place, job: FineTuneJob, raw: Mapping[str, Any], wanted: Run) -> int:
    """Run a manifest's job until it is served (or, without `serving`, exported). Returns 0, 1 failed, 130 stopped; exits with 64."""
    _report_cluster_fields(job)
    adopted, found = adopt(home, raw, wanted.path.parent)
    key = home.apply(adopted, wanted.path.parent, found=found)
    home.retry(key)
    log_to_console()
    return asyncio.run(_Run(home, place, key, wanted).to_the_end())


def _report_cluster_fields(job: FineTuneJob) -> None:
    """Name each field that has no effect here, and exit if one of them would change the job's result."""
    found = cluster_fields_of(job)
    for field in found:
        if not field.refused:
            err.print(f"note: {field.path} has no effect on this machine: {field.why}", style="dim", markup=False)
    for field in found:
        if field.refused:
            show_error(f"{field.path} is not supported on this machine: {field.why}", field.way_out)
    if any(field.refused for field in found):
        raise typer.Exit(EXIT_REFUSED)


class _Run:
    """One run of one job, in the foreground."""

    def __init__(self, home: Home, place: Place, key: Key, wanted: Run) -> None:
        self._home = home
        self._place = place
        self._key = key
        self._wanted = wanted
        self._operator = LocalOperator(home, key, on_event=self._on_event)
        self._stop = Stop(again=self._operator.hurry)
        self._view = LiveView(err, name=key[1])

    async def to_the_end(self) -> int:
        """Return the exit code."""
        self._stop.listen()
        async with self._operator as operator:
            with self._view:
                job = await self._stop.unless(operator.wait(settled))
            if job is not None and job["status"]["phase"] == "Failed":
                self._show_failure(job)
                return EXIT_FAILED
            if job is not None and await self._stop.unless(self._show_success(job)):
                await self._serve_on(job)
                return EXIT_FAILED if "failure" in job["status"] else 0
            err.print("stopping; training saves a checkpoint first. Press Ctrl-C again to kill it at once", markup=False)
        err.print(f"stopped. To resume from the last good checkpoint: tunewright run {self._wanted.path}", markup=False)
        return EXIT_INTERRUPTED

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StatusChanged):
            self._view.show(event.job.get("status", {}))
        elif self._wanted.verbose:
            self._view.note(f"{event.pod} | {event.text}")

    async def _show_success(self, job: Mapping[str, Any]) -> bool:
        """Show the results, and answers of the served model. Returns True if all of them were shown."""
        result.show_training(out, self._place.losses(job))
        result.show_parity(out, job)
        result.show_evaluation(out, job)
        if "failure" in job["status"]:  # rolled back, or its model is worse than its base: the previous server answers
            self._show_failure(job)
        if _is_served(job):
            await result.show_answers(out, result.questions(self._home, job), job, self._wanted.questions)
        result.show_places(out, self._home, job)
        return True

    async def _serve_on(self, job: Mapping[str, Any]) -> None:
        """Keep the server running until Ctrl-C if that was requested, and print what happens to it."""
        if not _is_served(job):
            return
        if self._wanted.keep_serving:
            err.print(f"\nserving {result.served_name(job)} at {job['status']['serving']['url']}/v1 until Ctrl-C", markup=False)
            with self._view:
                await self._stop.wait()
        err.print(f"\nThe server stops now. To chat with the model later: tunewright chat {self._key[1]}", markup=False)

    def _show_failure(self, job: Mapping[str, Any]) -> None:
        show_failure(job, "Correct that, then run the same command again: completed stages are kept.")
        log = self._home.logs(self._key).get((job["status"].get("failure") or {}).get("pod", ""))
        if log is not None and (lines := log.read_text(errors="replace").splitlines()[-LOG_TAIL:]):
            err.print(f"\nThe last lines of {log}:", style="dim", markup=False)
            err.print("\n".join(lines), style="dim", markup=False)


def _is_served(job: Mapping[str, Any]) -> bool:
    return bool(job["status"]["phase"] == "Serving")
