"""Prints what a job's pods have printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.cli.console import fail, out, report_errors
from tunewright.cli.jobs import find
from tunewright.cli.places import Place, PodLog
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
