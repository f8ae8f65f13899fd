"""What Kubernetes alone takes for the pods of a FineTuneJob: the floor under `operator_scale.py`, on the same machine.

    python benchmarks/bare_jobs.py --count 300

Three bare Jobs with one, two and one pods, as Check, Train and Export have, stand for each FineTuneJob, and nothing else: no operator, no
custom resource, no other child. Pods end at once. All are created at once, so that complete/s is the most that this machine can do.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from operator_scale import NAMESPACE, InstantKubelet, UnthrottledPlane, Wire, columns, find, usage

PATH = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = {"checker": 1, "trainer": 2, "exporter": 1}


class KubeletOfJobs(InstantKubelet):
    """Counts by threes the Jobs that are complete."""

    def _jobs(self) -> None:
        done = set()
        for event in self._wire.watch(PATH):
            conditions = event["object"].get("status", {}).get("conditions") or ()
            if any(found["type"] == "Complete" and found["status"] == "True" for found in conditions):
                done.add(event["object"]["metadata"]["name"])
                self.complete = len(done) // len(PODS)


def bare(name: str, component: str) -> dict[str, Any]:
    """Return a Job."""
    container = {"name": component, "image": "i"}
    template = {
        "metadata": {"labels": {"tunewright.io/component": component}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    spec = {"completionMode": "Indexed", "completions": PODS[component], "parallelism": PODS[component], "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="of three Jobs each (300)")
    count = parser.parse_args().count
    jobs = [bare(f"j{number}-{component}", component) for number in range(count) for component in PODS]
    with UnthrottledPlane(find()) as plane:
        wire = Wire(plane)
        wire.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        kubelet = KubeletOfJobs(wire)
        time.sleep(2)  # until it watches
        before, began = {name: usage(pid).cpu for name, pid in plane.pids().items()}, time.monotonic()
        with ThreadPoolExecutor(8) as hands:
            list(hands.map(lambda job: wire.send("POST", PATH, job), jobs))
        kubelet.wait_for(count)
        took = time.monotonic() - began
        each = [f"{(usage(pid).cpu - before[name]) / count * 1000:.0f} ms" for name, pid in plane.pids().items()]
    print(columns([["complete/s", *before], [f"{count / took:.1f}", *each]]))


if __name__ == "__main__":
    main()
