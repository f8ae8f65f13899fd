"""`tunewright watch`: the progress of a job at any place, until it reaches its spec or fails, and then its loss curve."""

from collections.abc import Mapping
from typing import Any

import typer

from tunewright.cli import result
from tunewright.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, err, out, report_errors, show_error
from tunewright.cli.jobs import find
from tunewright.cli.live import LiveView
from tunewright.cli.places import Job, Place, is_stalled, key_of, settled
from tunewright_runtime.objects import Key


class Losses:
    """The losses that a job's status reported while it was watched, as rows of metrics.jsonl."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, job: Job) -> None:
        """Add the row of a status, unless its step is known with the same losses."""
        progress = job.get("status", {}).get("progress") or {}
        pairs = {"loss": progress.get("loss"), "eval_loss": progress.get("evalLoss")}
        row = {"step": progress.get("step"), **{name: value for name, value in pairs.items() if value is not None}}
        if row["step"] is not None and len(row) > 1 and row not in self.rows[-1:]:
            self.rows.append(row)


def watch_job(place: Place, key: Key) -> None:
    """Show a job's progress. Exits with 0, 1 failed or deleted, 130 stopped."""
    with report_errors():
        code = follow(place, find(place, key))
    raise typer.Exit(code)


def follow(place: Place, job: Job) -> int:
    """Show a job's progress and its results. Returns the exit code."""
    losses, key = Losses(), key_of(job)
    last, code = job, EXIT_FAILED
    try:
        with LiveView(err, name=key.name) as view:
            for seen, deleted in place.changes(*key):
                if deleted:
                    show_error(f"{key.name} was deleted")
                    return EXIT_FAILED
                last = seen
                losses.add(seen)
                view.show(seen.get("status") or {})
                if settled(seen):
                    code = 0
                    break
    except KeyboardInterrupt:
        err.print(
            f"no longer watching; the job continues. To watch again: {place.command(f'watch {key.name}', key.namespace)}", markup=False
        )
        code = EXIT_INTERRUPTED
    result.show_training(out, place.losses(last) or losses.rows)
    if code:
        return code
    if "failure" in last["status"] or is_stalled(last):
        show_failure(last, f"See: {place.command(f'describe {key.name}', key.namespace)}")
        return EXIT_FAILED
    result.show_parity(out, last)
    result.show_evaluation(out, last)
    return 0


def show_failure(job: Job, way_out: str) -> None:
    """Print why a job failed. `way_out` is for a failure without a suggestion."""
    status: Mapping[str, Any] = job["status"]
    failure = status.get("failure") or {"reason": status.get("reason"), "message": status.get("message")}
    where = f" in {failure['stage']}" if failure.get("stage") else ""
    err.print(f"{job['metadata']['name']} failed{where}: {failure['reason']}", style="bold red", markup=False)
    err.print(f"    {failure.get('message') or 'no message'}", markup=False)
    err.print(f"    → {failure.get('suggestion') or way_out}", style="green", markup=False)
