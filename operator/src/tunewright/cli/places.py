"""The port of the command line: a place where FineTuneJobs are stored and run. `machine.py` and `cluster.py` implement it.

A command calls its place and prints; it does not depend on which place it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.status import ConditionType, Phase
from tunewright.cli.terminal import Stop
from tunewright.plan.inputs import References
from tunewright_contract.stages import SERVE
from tunewright_runtime.errors import TunewrightError
from tunewright_runtime.objects import Key

Job = Mapping[str, Any]  # a FineTuneJob as stored

_SETTLED = frozenset({ConditionType.READY, ConditionType.STALLED})


class PlaceError(TunewrightError):
    """A place refused a request or did not answer. The message has the cause."""

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.way_out = way_out


@dataclass(frozen=True, kw_only=True)
class PresentState:
    """The present state of a job. `facts` and `cells` are what only this place reports: lines of `describe`, and columns of `get`."""

    phase: str
    ready: str
    facts: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Child:
    """An object of a job, for people."""

    kind: str
    name: str
    state: str


@dataclass(frozen=True, kw_only=True)
class PodLog:
    """A pod that can have printed. `attempt` and `rank` are those of a gang; `since` orders pods by their output or start."""

    name: str
    stage: str
    attempt: int | None
    rank: int | None
    since: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the user wants of `tunewright run`."""

    path: Path
    questions: Sequence[str]
    keep_serving: bool
    verbose: bool


class Place(Protocol):
    """A place of FineTuneJobs. Methods raise TunewrightError."""

    name: str  # for messages
    namespace: str  # of names without one
    listed: str | None  # the namespace that `get` lists without an option; None: all
    columns: Sequence[str]  # additional columns of `get`: names of a standing's cells

    def command(self, words: str, namespace: str | None = None) -> str:
        """Return the command line of a command at this place, for messages."""

    def jobs(self, namespace: str | None) -> Sequence[Job]:
        """Return the jobs of a namespace, or of all."""

    def job(self, key: Key) -> Job | None:
        """Return a job, or None."""

    def elsewhere(self, name: str) -> Sequence[str]:
        """Return the other namespaces with a job of this name, as far as this user can read them."""

    def changes(self, namespace: str | None, name: str | None = None) -> Iterator[tuple[Job, bool]]:
        """Yield each job, then each change of one, without end; with True if it was deleted."""

    def standing(self, job: Job) -> PresentState:
        """Return a job's present state."""

    def children(self, job: Job) -> Sequence[Child]:
        """Return a job's objects."""

    def events(self, job: Job) -> Sequence[Mapping[str, Any]]:
        """Return the Events about a job, the oldest first."""

    def losses(self, job: Job) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl, as far as this place has the file."""

    def logs(self, job: Job) -> Sequence[PodLog]:
        """Return the pods that can have printed, the oldest first."""

    def printed(self, job: Job, pod: PodLog, *, tail: int | None, previous: bool) -> Iterator[str]:
        """Yield the lines that a pod has printed; `previous`: its container before the last restart."""

    def follow(self, job: Job, wanted: Callable[[PodLog], bool], *, tail: int | None) -> Iterator[tuple[str, str]]:
        """Yield (pod, line) of the wanted pods, present and later ones, without end."""

    def references(self, job: FineTuneJob, directory: Path) -> References:
        """Return what a plan can assume about the objects that a manifest names."""

    def objections(self, raw: Mapping[str, Any]) -> Sequence[str]:
        """Return why this place would refuse a manifest, beside the rules that `validate` checks."""

    def run(self, job: FineTuneJob, raw: Mapping[str, Any], wanted: Run) -> int:
        """Take a job through its stages, and show it. Returns the exit code."""

    def suspend(self, job: Job, *, suspended: bool) -> None:
        """Set spec.suspend."""

    def retry(self, job: Job) -> str:
        """Run the failed stage of a job again. Returns what happens next."""

    def delete(self, job: Job, *, keep_models: bool, confirm: Callable[[Sequence[Path]], bool]) -> Sequence[str]:
        """Delete a job, and return what stays and why. `confirm` asks about folders in claims that the job did not create."""

    def server(self, job: Job, stop: Stop) -> AbstractAsyncContextManager[Job | None]:
        """Make the job's server reachable: the job with the server's address in status, or None if the user stopped that."""


def asks_for_a_server(job: Job) -> bool:
    """Return whether a job has a server at all."""
    serving = job["spec"].get("serving")
    return serving is not None and (serving.get("autoscaling") is not None or bool(serving.get("replicas", 1)))


def is_exported(job: Job) -> bool:
    """Return whether a job's model exists, so that only its server can be missing."""
    return job.get("status", {}).get("phase") in (Phase.SERVING, SERVE.phase)


def ready_of(job: Job) -> str:
    """Return the status of the Ready condition."""
    conditions = job.get("status", {}).get("conditions", ())
    return next((item["status"] for item in conditions if item["type"] == ConditionType.READY), "Unknown")


def key_of(job: Job) -> Key:
    """Return a job's namespace and name."""
    return Key(job["metadata"]["namespace"], job["metadata"]["name"])


def settled(job: Job) -> bool:
    """Return whether a job has reached its spec, or cannot reach it without a change (kstatus: Current or Failed)."""
    status = job.get("status", {})
    if status.get("observedGeneration") != job["metadata"]["generation"]:
        return False
    return any(item["type"] in _SETTLED and item["status"] == "True" for item in status.get("conditions", ()))


def is_stalled(job: Job) -> bool:
    """Return whether only a change or a retry lets a job continue."""
    return any(item["type"] == ConditionType.STALLED and item["status"] == "True" for item in job.get("status", {}).get("conditions", ()))
