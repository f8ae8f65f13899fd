"""How fast the operator is, and what it takes: many jobs on a real control plane whose pods end at once.

    python benchmarks/operator_scale.py                                  # a minute of 10 jobs/s, 1,000 at once, 5,000 idle, a restart
    python benchmarks/operator_scale.py --steady 10 --burst 50 --idle 0  # a look, in two minutes
    python benchmarks/operator_scale.py --rate 1 2 3 --burst 0 --idle 0  # up to which rate a train Job is there within a second
    python benchmarks/operator_scale.py --steady 0 --burst 0             # the idle ones alone, in a few minutes; needs no quiet machine

etcd, kube-apiserver, kube-controller-manager (`make test-cluster`) and the operator share this machine with this program, which creates
jobs and plays the kubelet: each pod's status is written as Succeeded, with a real report as its termination message, as soon as it is
created. The controller manager's client limits (20 requests/s by default) are lifted: it would be what is measured otherwise.

Times are read from the API server's audit log, from when it received the request that creates a job to when it had answered the operator's
request that creates the child. The train Job comes after the check has ended, so its time has two controllers' and the kubelet's work in
it. CPU seconds and memory are the operator's own process's, from /proc. Idle jobs are copies of a job that did run (copies.py); that the
operator writes nothing for them shows that they are faithful. It runs with the allocator's settings of deploy/install.yaml.
"""

import argparse
import functools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "cluster")]

from api_server import ApiServer  # noqa: E402
from binaries import find  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from copies import Etcd, Original  # noqa: E402
from operator_process import OperatorProcess  # noqa: E402
from scene import CLAIM, JOB, SPEC, install_definition  # noqa: E402
from status_builders import CHECKED, EXPORTED, TRAINED  # noqa: E402

from tunewright.cli.console import columns  # noqa: E402
from tunewright_contract.reports import dump  # noqa: E402

NAMESPACE = "scale"
JOBS = f"/apis/{JOB[0]}/namespaces/{NAMESPACE}/finetunejobs"
LAST_WORDS = {"checker": dump(CHECKED), "trainer": dump(TRAINED), "exporter": dump(EXPORTED)}
USER_AGENT = "tunewright-operator"
PATIENCE_SECONDS = 3600


class UnthrottledPlane(ControlPlane):
    """A control plane whose controllers may ask as often as they like, and remove no pods, however many have ended (12,500 by default)."""

    def _run(self, name: str, command: list[str]) -> None:
        more = ["--kube-api-qps=2000", "--kube-api-burst=4000", "--concurrent-job-syncs=20", "--terminated-pod-gc-threshold=0"]
        super()._run(name, [*command, *more] if name == "kube-controller-manager" else command)

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self._etcd_port}"


class Wire:
    """Bare HTTP to the API server: this program shall take as little of the processor as it can."""

    def __init__(self, plane: ControlPlane) -> None:
        files = {"ca_certs": "ca.crt", "cert_file": "admin.crt", "key_file": "admin.key"}
        self.pool = urllib3.PoolManager(maxsize=16, retries=False, **{what: str(plane.folder / name) for what, name in files.items()})
        self.url = plane.url

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        answer = self.pool.request(method, self.url + path, body=json.dumps(body) if body else None, headers={"Content-Type": kind})
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data[:500]!r}")
        return json.loads(answer.data)

    def watch(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Yield events without end, from now on."""
        version = self.send("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        while True:
            query = f"watch=1&allowWatchBookmarks=true&resourceVersion={version}"
            with suppress(
                urllib3.exceptions.HTTPError
            ):  # the connection was cut: continue from there; at the end of a run no server answers
                time.sleep(0.1)
                answer = self.pool.request("GET", f"{self.url}{path}?{query}", preload_content=False, timeout=urllib3.Timeout(read=None))
                for line in answer:
                    event = json.loads(line)
                    if "object" not in event:  # an error's status: a definition that is only just known cannot be watched yet
                        time.sleep(0.5)
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event


class InstantKubelet:
    """Ends each pod as soon as it is there, and counts jobs that are complete."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._hands = ThreadPoolExecutor(4)
        self.complete = 0
        for look in (self._pods, self._jobs):
            threading.Thread(target=look, daemon=True).start()

    def wait_for(self, jobs: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.complete < jobs:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.complete} of {jobs} jobs are complete")
            time.sleep(0.2)

    def _pods(self) -> None:
        for event in self._wire.watch(f"/api/v1/namespaces/{NAMESPACE}/pods"):
            if event["type"] == "ADDED" and event["object"]["status"]["phase"] == "Pending":
                meta = event["object"]["metadata"]
                self._hands.submit(self._end, meta["name"], meta["labels"]["tunewright.io/component"])

    def _end(self, name: str, component: str) -> None:
        ended = {"exitCode": 0, "message": LAST_WORDS[component], "reason": "Completed", "finishedAt": "2026-01-01T10:00:00Z"}
        container = {"name": component, "image": "i", "imageID": "i", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
        status = {"phase": "Succeeded", "containerStatuses": [container]}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status"
        self._wire.send("PATCH", path, {"status": status}, "application/merge-patch+json")

    def _jobs(self) -> None:
        done = set()
        for event in self._wire.watch(JOBS):
            if (event["object"].get("status") or {}).get("phase") == "Complete":
                done.add(event["object"]["metadata"]["name"])
                self.complete = len(done)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of a process: CPU seconds so far; resident memory now and at its peak, in MB (10^6 bytes)."""

    cpu: float
    rss: float
    peak: float


def usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    memory = {name: int(status[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")}
    return Usage(cpu=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), rss=memory["VmRSS"], peak=memory["VmHWM"])


def as_installed() -> dict[str, str]:
    """Return what deploy/install.yaml sets for the operator besides its own settings."""
    manifests = YAML(typ="safe").load_all(ROOT / "deploy" / "install.yaml")
    (deployment,) = (each for each in manifests if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each and not each["name"].startswith("TUNEWRIGHT_")}


class Installed(OperatorProcess):
    """An operator with the environment that it is installed with."""

    def environment(self) -> dict[str, str]:
        return super().environment() | as_installed()


class Bench:
    """One run."""

    def __init__(self, plane: ControlPlane, folder: Path, *, kubelet: type[InstantKubelet] = InstantKubelet) -> None:
        self.plane, self.wire = plane, Wire(plane)
        self.operator = Installed(plane.kubeconfig, NAMESPACE, folder)
        self._lock = threading.Lock()
        self._names: list[str] = []
        api = ApiServer(plane.kubeconfig)
        install_definition(api)
        self.wire.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for claim in ("base", "corpora"):
            self.wire.send("POST", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims", {"metadata": {"name": claim}, "spec": CLAIM})
        self.kubelet = kubelet(self.wire)
        self.shares: list[list[str]] = []  # who spent the processor, a row for each load
        self.writes: Counter[str] = Counter()  # the operator's, by verb and resource, over all loads

    @property
    def pid(self) -> int:
        return int(self.operator._process.pid)  # noqa: SLF001 - what is measured

    @property
    def created(self) -> int:
        return len(self._names)

    def create(self) -> None:
        with self._lock:
            name = f"j{len(self._names):05d}"
            self._names.append(name)
        self.wire.send("POST", JOBS, {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": name}, "spec": SPEC})

    def at_a_rate(self, per_second: float, seconds: float) -> None:
        began = time.monotonic()
        for number in range(int(per_second * seconds)):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            self.create()

    def at_once(self, count: int) -> None:
        with ThreadPoolExecutor(8) as hands:
            list(hands.map(lambda _: self.create(), range(count)))

    def measure(self, title: str, load: Any) -> list[str]:
        """Run a load to its end and return a row."""
        first, since, before, began = self.created, self.plane.audit.end(), usage(self.pid), time.monotonic()
        reconciled, spent = self.operator.reconciles(), self._spent()
        load()
        self.kubelet.wait_for(self.created)
        took, after = time.monotonic() - began, usage(self.pid)
        names = self._names[first:]
        each = [f"{(now - then) / len(names) * 1000:.0f} ms" for then, now in zip(spent, self._spent(), strict=True)]
        self.shares.append([title, *each])
        children, trains, writes = self._times(since, names)
        assert len(children) == len(trains) == len(names)
        return [
            title,
            *(f"{quantile(times, share):.2f} s" for times in (children, trains) for share in (0.5, 0.99)),
            f"{len(names) / took:.1f}",
            f"{writes / len(names):.1f}",
            f"{(self.operator.reconciles() - reconciled) / len(names):.0f}",
            f"{(after.cpu - before.cpu) / len(names) * 1000:.0f} s",
            f"{after.peak:.0f} MB",
        ]

    def spenders(self) -> dict[str, int]:
        """Return all that takes part: the operator, the cluster, and this program, which plays the kubelet and the users."""
        return {"operator": self.pid, **self.plane.pids(), "this program": os.getpid()}

    def _spent(self) -> list[float]:
        return [usage(pid).cpu for pid in self.spenders().values()]

    def _times(self, since: int, names: list[str]) -> tuple[list[float], list[float], int]:
        """Return seconds to the first child, to the train Job, and how many requests of the operator's were writes."""
        born: dict[str, datetime] = {}
        first: dict[str, datetime] = {}
        train: dict[str, datetime] = {}
        writes = 0
        wanted = set(names)
        for event in self.plane.audit.events(since=since):
            if event["verb"] not in ("create", "patch", "delete") or event.get("responseStatus", {}).get("code", 500) >= 300:
                continue
            ref = event.get("objectRef") or {}
            if ref.get("resource") == "finetunejobs" and event["verb"] == "create":
                born[ref["name"]] = moment(event["requestReceivedTimestamp"])
            if event.get("userAgent") != USER_AGENT:
                continue
            writes += 1
            self.writes[written(event)] += 1
            job, _, rest = str(ref.get("name")).partition("-")
            if job in wanted and ref.get("resource") not in ("finetunejobs", "events"):
                at = moment(event["stageTimestamp"])
                first.setdefault(job, at)
                if ref["resource"] == "jobs" and rest == "train-0":
                    train.setdefault(job, at)
        to_first = [(first[name] - born[name]).total_seconds() for name in names]
        return to_first, [(train[name] - born[name]).total_seconds() for name in names], writes

    def grow(self, idle: int) -> list[str]:
        """Have so many complete jobs under the operator's eyes, most of them copies of the first, and return a row."""
        original = Original(Etcd(self.plane.etcd_url), NAMESPACE, self._names[0])
        before, children = usage(self.pid).cpu, self._children() // self.created
        names = [f"j{number:05d}" for number in range(self.created, idle)]
        since, began = self.plane.audit.end(), time.monotonic()
        with self._no_controllers():  # a child of no job would be garbage
            original.copy_what_is_below(names)
            self._names += names
            self.wait_until(lambda: self._children() >= children * self.created)
            looked_at = self.operator.reconciles()
            original.copy_jobs(names)
            self.wait_until(lambda: self.operator.reconciles() >= looked_at + len(names))
        return self._row("seen as they grew", since, began, before)

    def restart(self) -> list[str]:
        """Restart the operator with all these jobs present, wait until it has reconciled each of them, and return a row.

        After it is ready one more job is created; the row ends with the seconds until that job's first child.
        """
        self.operator.stop()
        since, began, looked_at = self.plane.audit.end(), time.monotonic(), self.created
        self.operator.start(patience=PATIENCE_SECONDS)
        row_of_one = self.plane.audit.end()
        self.create()
        self.wait_until(lambda: self.operator.reconciles() >= looked_at)
        self.kubelet.wait_for(self.created)
        (newcomer,), _, written = self._times(row_of_one, self._names[-1:])
        return self._row("restarted", since, began, 0.0, newcomer_writes=written, newcomer=f"{newcomer:.2f} s")

    def rest(self, seconds: float) -> list[str]:
        """Let it be for a while and return a row."""
        since, began, before = self.plane.audit.end(), time.monotonic(), usage(self.pid).cpu
        time.sleep(seconds)
        return self._row("idle", since, began, before)

    def _row(self, title: str, since: int, began: float, cpu: float, *, newcomer_writes: int = 0, newcomer: str = "-") -> list[str]:
        ours = [event for event in self.plane.audit.events(since=since) if event.get("userAgent") == USER_AGENT]
        writes = sum(event["verb"] not in ("get", "list", "watch") for event in ours) - newcomer_writes
        took, now = time.monotonic() - began, usage(self.pid)
        counts = [str(self.created), str(self._children()), f"{took:.0f} s", str(writes)]
        return [title, *counts, f"{now.cpu - cpu:.0f} s", f"{now.rss:.0f} MB", f"{now.peak:.0f} MB", newcomer]

    @contextmanager
    def _no_controllers(self) -> Iterator[None]:
        controllers = self.plane.pids()["kube-controller-manager"]
        os.kill(controllers, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(controllers, signal.SIGCONT)

    def wait_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):  # it may be too busy to answer in time
                if done():
                    return
            time.sleep(1.0)
        raise TimeoutError(self.operator.log.read_text()[-2000:])

    def _children(self) -> int:
        return round(self.operator.metric("tunewright_cached_objects") - self.operator.metric("tunewright_jobs"))


def written(event: Mapping[str, Any]) -> str:
    """Return what a request writes, such as `patch finetunejobs/status`."""
    ref = event.get("objectRef") or {}
    return f"{event['verb']} {'/'.join(filter(None, (ref.get('resource'), ref.get('subresource'))))}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that is not exceeded by this share of all (nearest rank)."""
    return sorted(values)[max(0, -(-len(values) * round(share * 100) // 100) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, nargs="+", default=[10.0], help="new jobs per second, one load after the other (10)")
    parser.add_argument("--steady", type=float, default=60.0, help="seconds of each of them (60)")
    parser.add_argument("--burst", type=int, default=1000, help="jobs created at once (1000)")
    parser.add_argument("--idle", type=int, default=5000, help="complete jobs to restart the operator among (5000)")
    parser.add_argument("--rest", type=float, default=0.0, help="seconds to leave the restarted operator alone (0)")
    arguments = parser.parse_args()
    with UnthrottledPlane(find()) as plane, tempfile.TemporaryDirectory() as folder:
        bench = Bench(plane, Path(folder))
        with bench.operator:
            at_rest = usage(bench.pid)
            bench.create()
            bench.kubelet.wait_for(1)  # from now on every watch has the new kind
            rows = []
            for rate in arguments.rate if arguments.steady else []:
                load = functools.partial(bench.at_a_rate, rate, arguments.steady)
                rows.append(bench.measure(f"{rate:g}/s for {arguments.steady:g} s", load))
            if arguments.burst:
                rows.append(bench.measure(f"{arguments.burst} at once", lambda: bench.at_once(arguments.burst)))
            idle = [bench.grow(arguments.idle), bench.restart(), bench.rest(arguments.rest)] if arguments.idle else []
            spenders = list(bench.spenders())
    print(f"Load average over the last minute, 5 and 15: {', '.join(f'{load:.1f}' for load in os.getloadavg())}; {os.cpu_count()} cores.")
    print(f"The operator before the first job: {at_rest.rss:.0f} MB.\n")
    times = ["first child p50", "p99", "train Job p50", "p99"]
    head = ["load", *times, "complete/s", "writes/job", "reconciles/job", "CPU per 1,000 jobs", "peak memory"]
    if rows:
        print(columns([head, *rows]), end="\n\n")
        print("Processor time per job:\n")
        print(columns([["load", *spenders], *bench.shares]), end="\n\n")
        print("Writes of the operator per job:\n")
        each = [[what, f"{count / bench.created:.2f}"] for what, count in bench.writes.most_common()]
        print(columns([["request", "per job"], *each]), end="\n\n")
    if idle:
        print(columns([["operator", "idle jobs", "children", "took", "writes", "CPU", "memory", "peak", "a new job's first child"], *idle]))


if __name__ == "__main__":
    main()
