"""`tunewright watch` and `tunewright logs`: a job's progress at any place, until it reaches its spec or fails, and its pods' output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from tunewright.cli import result
from tunewright.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, err, fail, out, report_errors, show_error
from tunewright.cli.jobs import find
from tunewright.cli.live import LiveView
from tunewright.cli.places import Job, Place, PodLog, is_stalled, key_of, settled
from tunewright_runtime.objects import Key


@dataclass(frozen=True, kw_only=True)
class Which:
    """The selected pods. None: any; without a stage, the one with the newest output; without an attempt, the last."""

    stage: str | None
    rank: int | None
    attempt: int | None
    everything: bool

    def matches(self, pod: PodLog) -> bool:
        """Return whether a pod satisfies each given option."""
        pairs = ((self.stage, pod.stage), (self.rank, pod.rank), (self.attempt, pod.attempt))
        return all(wanted is None or wanted == has for wanted, has in pairs)

    def newest(self, pods: Sequence[PodLog]) -> Sequence[PodLog]:
        """Return the pods of the selected stage that worked last, together or alone; with `everything` all of its pods."""
        stage = self.stage
        if stage is None and pods:
            stage = max(pods, key=lambda pod: pod.since).stage
        found = [pod for pod in pods if stage == pod.stage and self.attempt in (None, pod.attempt)]
        if found and not self.everything:
            last = max(found, key=lambda pod: pod.since)
            found = [pod for pod in found if pod == last or (last.attempt is not None and pod.attempt == last.attempt)]
        return [pod for pod in found if self.matches(pod)]

    def __str__(self) -> str:
        words = (("in", self.stage), ("in attempt", self.attempt), ("as rank", self.rank))
        return "".join(f" {word} {value}" for word, value in words if value is not None)


def show_logs(place: Place, key: Key, which: Which, *, tail: int | None, previous: bool, follow: bool) -> None:
    """Print the logs of the selected pods. `tail` is a number of lines of each pod."""
    with report_errors():
        job = find(place, key)
        pods = which.newest(place.logs(job))
        if follow:
            _follow(place, key, which, pods, tail)
        if not pods:
            way_out = f"To see its state: {place.command(f'describe {key.name}', key.namespace)}"
            fail(f"{key.name} has printed nothing{which} yet", way_out)
        for one in pods:
            for line in place.printed(job, one, tail=tail, previous=previous):
                out.print(f"{one.name} | {line}" if len(pods) > 1 else line, markup=False)


def _follow(place: Place, key: Key, which: Which, pods: Sequence[PodLog], tail: int | None) -> None:
    """Print the logs of the selected pods, then follow them and later ones. Without a named stage, follow later stages, too."""
    job = find(place, key)
    early, present = {pod.name for pod in place.logs(job)}, {pod.name for pod in pods}
    for pod, line in place.follow(job, lambda pod: pod.name in present or (pod.name not in early and which.matches(pod)), tail=tail):
        out.print(f"{pod} | {line}", markup=False)


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
