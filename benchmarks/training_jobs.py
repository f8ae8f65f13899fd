"""What jobs in training cost while their pods report progress: processor time of the operator and of the cluster, in cores.

    python benchmarks/training_jobs.py                        # 100 jobs, a report of each every 2 s, for a minute
    python benchmarks/training_jobs.py --jobs 20 --every 15

It needs the control plane of `operator_scale.py`. Check's pods end at once; the pods of the gangs run, and their first rank posts a report
with the pod's own token, each time with a later step, as the trainer does. Before the measurement each job has reported once, and has its
token reviewed. The share of this program, which posts the reports, is not part of the sum.
"""

import argparse
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import urllib3
from operator_scale import JOBS, LAST_WORDS, NAMESPACE, Bench, InstantKubelet, UnthrottledPlane, Wire, columns, find, usage
from pod_reports import mounted_audience, url_of

from tunewright_contract import progress as words

MAX_STEPS = 100_000
SETTLE_SECONDS = 20.0  # until the first reports are in status, and nothing is left to write


class GangsKubelet(InstantKubelet):
    """Ends the pods of Check, and lets those of gangs run."""

    def __init__(self, wire: Wire) -> None:
        self.ranks: list[tuple[str, str]] = []  # of each gang's first rank: the address for reports, and the pod's token
        self._lock = threading.Lock()
        super().__init__(wire)

    def _end(self, name: str, component: str) -> None:
        if component in LAST_WORDS and component != "trainer":
            super()._end(name, component)
            return
        container = {"name": component, "image": "i", "imageID": "i", "ready": True, "restartCount": 0}
        container["state"] = {"running": {"startedAt": "2026-01-01T10:00:00Z"}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status"
        status = {"phase": "Running", "containerStatuses": [container]}
        pod = self._wire.send("PATCH", path, {"status": status}, "application/merge-patch+json")
        if pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "0":
            with self._lock:
                self.ranks.append((url_of(pod), self._token(pod)))

    def _token(self, pod: Any) -> str:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec = {"audiences": [mounted_audience(pod)], "expirationSeconds": 3600, "boundObjectRef": bound}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token"
        return str(self._wire.send("POST", path, request)["status"]["token"])


class Reporters:
    """Posts the reports of all gangs, evenly spread over the time between two reports of one."""

    def __init__(self, ranks: list[tuple[str, str]], every: float) -> None:
        self._ranks, self._every = ranks, every
        self._pool = urllib3.PoolManager(maxsize=16, retries=False)
        self.posted = 0

    def run(self, seconds: float) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as hands:
            for number in range(int(seconds / self._every * len(self._ranks))):
                time.sleep(max(0.0, began + number * self._every / len(self._ranks) - time.monotonic()))
                hands.submit(self.post, number)
        self.posted = int(seconds / self._every * len(self._ranks))

    def post(self, number: int) -> None:
        url, token = self._ranks[number % len(self._ranks)]
        step = 1 + number // len(self._ranks) + self.posted
        numbers = {words.STEP: step, words.MAX_STEPS: MAX_STEPS, words.LOSS: 1.0 + 1.0 / step, words.LEARNING_RATE: 2e-4}
        metrics = [{"name": name, "value": str(value)} for name, value in numbers.items()]
        body = {
            "trainerStatus": {"progressPercentage": 100 * step // MAX_STEPS, "metrics": metrics, "lastUpdatedTime": "2026-01-01T10:00:00Z"}
        }
        answer = self._pool.request("POST", url, body=json.dumps(body), headers={"Authorization": f"Bearer {token}"})
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status} {answer.data[:300]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100, help="jobs in training (100)")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two reports of a job (2)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the measurement (60)")
    arguments = parser.parse_args()
    with UnthrottledPlane(find()) as plane, tempfile.TemporaryDirectory() as folder:
        bench = Bench(plane, Path(folder), kubelet=GangsKubelet)
        assert isinstance(bench.kubelet, GangsKubelet)
        ranks = bench.kubelet.ranks
        with bench.operator:
            bench.at_once(arguments.jobs)
            bench.wait_until(lambda: len(ranks) == arguments.jobs)
            reporters = Reporters(ranks, arguments.every)
            reporters.run(arguments.every)
            time.sleep(SETTLE_SECONDS)
            since, before = plane.audit.end(), {name: usage(pid).cpu for name, pid in bench.spenders().items()}
            reporters.run(arguments.seconds)
            cores = {name: (usage(pid).cpu - before[name]) / arguments.seconds for name, pid in bench.spenders().items()}
            shown = sum(event["verb"] == "patch" and event["requestURI"].startswith(JOBS) for event in plane.audit.events(since=since))
    own = cores.pop("this program")
    head = ["reports/s", "status writes/s", *cores, "together", "this program"]
    rates = [f"{reporters.posted / arguments.seconds:.1f}", f"{shown / arguments.seconds:.1f}"]
    print(columns([head, [*rates, *(f"{share:.3f}" for share in (*cores.values(), sum(cores.values()), own))]]))


if __name__ == "__main__":
    main()
