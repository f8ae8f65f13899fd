"""The place on this machine: the jobs of a home folder, run as processes. See places.py for what each method promises."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.status import Phase
from tunewright.cli.console import err, home_at
from tunewright.cli.live import read_metrics
from tunewright.cli.local_operator import LocalOperator
from tunewright.cli.places import Child, Job, PlaceError, PodLog, PresentState, Run, is_exported, key_of, ready_of, settled
from tunewright.cli.result import output_folder
from tunewright.cli.terminal import Stop
from tunewright.local.logs import Follower
from tunewright.local.supervisor import Holder
from tunewright.local.world import KIND
from tunewright.plan.inputs import References
from tunewright.plan.names import names_of
from tunewright_contract.stages import SERVE, STAGES
from tunewright_runtime.objects import Key

STOPPED = "Stopped"  # the phase of an unfinished or serving job that no process runs
RESTING = {Phase.COMPLETE, Phase.FAILED, Phase.SUSPENDED}  # these phases need no process
PROCESS = "PROCESS"
LOOK_SECONDS = 0.3
_GANG = re.compile(r"-(\d+)-(\d+)-[a-z0-9]+$")  # `<job>-train-<attempt>-<rank>-<random>`


class ThisMachine:
    """The jobs of one home folder."""

    namespace = "default"
    listed: str | None = None
    columns: Sequence[str] = (PROCESS,)

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._home = home_at(folder)
        self.name = str(self._home.layout.home)

    def command(self, words: str, namespace: str | None = None) -> str:
        return f"tunewright {words}" + (f" -n {namespace}" if namespace not in (None, self.namespace) else "")

    def jobs(self, namespace: str | None) -> Sequence[Job]:
        return self._home.jobs(namespace or "*")

    def job(self, key: Key) -> Job | None:
        return next((job for job in self._home.jobs(key.namespace) if job["metadata"]["name"] == key.name), None)

    def elsewhere(self, name: str) -> Sequence[str]:
        return [job["metadata"]["namespace"] for job in self._home.jobs() if job["metadata"]["name"] == name]

    def changes(self, namespace: str | None, name: str | None = None) -> Iterator[tuple[Job, bool]]:
        before: dict[Key, Job] = {}
        while True:
            now = {key_of(job): job for job in self.jobs(namespace) if name in (None, job["metadata"]["name"])}
            yield from ((job, False) for key, job in now.items() if before.get(key) != job)
            yield from ((job, True) for key, job in before.items() if key not in now)
            before = now
            time.sleep(LOOK_SECONDS)

    def standing(self, job: Job) -> PresentState:
        holder = self._home.holder(key_of(job))
        phase = str(job.get("status", {}).get("phase") or "Pending")
        if holder is not None:
            process = f"{holder.pid} ({holder.command}) since {holder.since}"
            return PresentState(phase=phase, ready=ready_of(job), facts={"process": process}, cells={PROCESS: str(holder.pid)})
        if phase in RESTING:
            return PresentState(phase=phase, ready=ready_of(job), facts={"process": "none"})
        return PresentState(phase=STOPPED, ready="False", facts={"process": f"none; {self._way_on(job)}"})

    def children(self, job: Job) -> Sequence[Child]:
        found = self._home.children(key_of(job))
        return [Child(kind=one["kind"], name=one["metadata"]["name"], state=one.get("status", {}).get("phase", "")) for one in found]

    def events(self, job: Job) -> Sequence[Mapping[str, Any]]:
        return ()

    def losses(self, job: Job) -> list[dict[str, Any]]:
        folder = output_folder(self._home, job)
        metrics = folder / "metrics.jsonl" if folder else None
        return read_metrics(metrics) if metrics is not None and metrics.exists() else []

    def logs(self, job: Job) -> Sequence[PodLog]:
        found = self._home.logs(key_of(job))
        return [_pod_log(job["metadata"]["name"], pod, f"{path.stat().st_mtime_ns:020}") for pod, path in found.items()]

    def printed(self, job: Job, pod: PodLog, *, tail: int | None, previous: bool) -> Iterator[str]:
        if previous:
            raise PlaceError("--previous: on this machine a pod's log has the output of all its starts", "Leave --previous out.")
        text = self._home.logs(key_of(job))[pod.name].read_bytes().decode(errors="replace")
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip("\n").split("\n")]  # the last state of a progress bar
        yield from lines if tail is None else lines[max(len(lines) - tail, 0) :]

    def follow(self, job: Job, wanted: Callable[[PodLog], bool], *, tail: int | None) -> Iterator[tuple[str, str]]:
        name = job["metadata"]["name"]
        follower = Follower(self._home.log_folder(key_of(job)))
        before: dict[str, list[str]] = {}
        for pod, line in follower.new_lines():
            before.setdefault(pod, []).append(line)
        for pod, lines in before.items():
            if wanted(_pod_log(name, pod, "")):
                yield from ((pod, line) for line in (lines if tail is None else lines[max(len(lines) - tail, 0) :]))
        while True:
            yield from ((pod, line) for pod, line in follower.new_lines() if wanted(_pod_log(name, pod, "")))
            time.sleep(LOOK_SECONDS)

    def references(self, job: FineTuneJob, directory: Path) -> References:
        """Return where the manifest's `path` sources are, whether they exist or not: users can plan before the data exists."""
        spec = job.spec
        data = (*spec.data.train, *spec.data.validation, *spec.data.test)
        sources: list[Any] = [spec.model.source, *(item.source for item in data)]
        folders = {source.path: os.path.abspath(directory / source.path) for source in sources if source.path}  # noqa: PTH100 - keeps links
        return References(folders=folders, host_paths=True)

    def objections(self, raw: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def run(self, job: FineTuneJob, raw: Mapping[str, Any], wanted: Run) -> int:
        from tunewright.cli.run import run_job

        return run_job(home_at(self._folder, prepared=True), self, job, raw, wanted)

    def suspend(self, job: Job, *, suspended: bool) -> None:
        key = key_of(job)
        self._home.store.change(KIND, key.namespace, key.name, lambda stored: stored["spec"].update(suspend=suspended))

    def retry(self, job: Job) -> str:
        key = key_of(job)
        holder = self._home.holder(key)
        if holder is not None:
            raise PlaceError(f"process {holder.pid} runs {key.name}", f"Stop it first: press Ctrl-C there, or `kill {holder.pid}`.")
        self._home.retry(key)
        return f"{key.name} runs its failed stage again with the next `{self.command('run MANIFEST')}`"

    def delete(self, job: Job, *, keep_models: bool, confirm: Callable[[Sequence[Path]], bool]) -> Sequence[str]:
        key = key_of(job)
        self._home.prepare()
        outside = self._home.removal(key).outside()
        kept = asyncio.run(self._home.delete(key, keep_models=keep_models, outside=bool(outside) and confirm(outside)))
        return [f"{item.path} ({item.why})" for item in kept]

    @asynccontextmanager
    async def server(self, job: Job, stop: Stop) -> AsyncIterator[Job | None]:
        """Start the server if no process runs the job, and stop it afterwards."""
        key = key_of(job)
        holder = self._home.holder(key)
        if not is_exported(job) or (holder is not None and job["status"]["phase"] == SERVE.phase):
            raise PlaceError(*self._not_served(job, holder))
        if holder is not None:  # its server is up
            stop.listen()
            yield self._home.job(key)
            return
        self._home.prepare()
        operator = LocalOperator(self._home, key, on_event=lambda _: None)
        stop.again = operator.hurry
        stop.listen()
        async with operator:
            err.print(f"starting {key.name} …", style="dim", markup=False)
            started = await stop.unless(operator.wait(settled))
            if started is not None and started["status"]["phase"] != Phase.SERVING:
                raise PlaceError(f"{key.name}: {started['status'].get('message')}", f"See: {self.command(f'describe {key.name}')}")
            yield started

    def _way_on(self, job: Job) -> str:
        if is_exported(job):
            return f"`{self.command('chat ' + job['metadata']['name'])}` starts its server"
        return f"`{self.command('run MANIFEST')}` resumes from the last good checkpoint"

    def _not_served(self, job: Job, holder: Holder | None) -> tuple[str, str]:
        phase = job.get("status", {}).get("phase", "Pending")
        way_out = f"Process {holder.pid} runs it; wait for it." if holder else f"Run it first: {self.command('run MANIFEST')}"
        return f"{job['metadata']['name']} is not served yet (phase {phase})", way_out


def _pod_log(job: str, pod: str, since: str) -> PodLog:
    """Read the stage, the attempt and the rank from a pod's name: its log stays when the pod is gone."""
    names = names_of(job).stages
    stage = next((stage.name for stage in STAGES if pod.startswith(names[stage] + "-")), "")
    gang = _GANG.search(pod)
    return PodLog(name=pod, stage=stage, attempt=int(gang[1]) if gang else None, rank=int(gang[2]) if gang else None, since=since)
