"""What Kubernetes takes for the pods of a FineTuneJob: the floor under `operator_scale.py`, on the same machine.

    python benchmarks/bare_jobs.py --count 300                # what it takes for pods alone
    python benchmarks/bare_jobs.py --count 300 --as-rendered  # and for what no operator of FineTuneJobs can do without

Three bare Jobs with one, two and one pods, as Check, Train and Export have, stand for each FineTuneJob, and nothing else: no operator, no
custom resource, no other child. With `--as-rendered` they are the Jobs that are rendered, and each three have a FineTuneJob, whose status
is written for each of its four states: an operator that costs nothing, and makes neither claim nor Service, policy, budget or Event.
Pods end at once. All are created at once, so that complete/s is the most that this machine can do.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from operator_scale import JOBS, NAMESPACE, ApiServer, InstantKubelet, UnthrottledPlane, Wire, columns, find, install_definition, usage
from plan_jobs import past_of
from scene import JOB, SPEC
from status_builders import CHECKED, EXPORTED, TRAINED

from tunewright.api.v1alpha1.job import parse
from tunewright.observe import Observation
from tunewright.plan.inputs import Defaults, References, StageOutcome, StageState, TrainOutcome
from tunewright.plan.plan import plan
from tunewright.render import render
from tunewright.status import summarise

PATH = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = {"checker": 1, "trainer": 2, "exporter": 1}
MERGE = "application/merge-patch+json"


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


def make_bare(wire: Wire, number: int) -> None:
    """Create the Jobs of one."""
    for component in PODS:
        wire.send("POST", PATH, bare(f"j{number}-{component}", component))


def make_as_rendered(wire: Wire, number: int) -> None:
    """Create a FineTuneJob, its Jobs, and write its status four times."""
    name = f"j{number}"
    raw = wire.send("POST", JOBS, {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": name}, "spec": SPEC})
    jobs, statuses = what_is_written(raw)
    for job, status in zip([*jobs, None], statuses, strict=True):
        if job is not None:
            wire.send("POST", PATH, job)
        wire.send("PATCH", f"{JOBS}/{name}/status", {"status": status}, MERGE)


def what_is_written(raw: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return a FineTuneJob's three Jobs, and its status as they are made, and at the end."""
    job, well = parse(raw), StageState.SUCCEEDED
    check, train = StageOutcome(state=well, report=CHECKED), TrainOutcome(state=well, report=TRAINED, attempts=1, replicas=2)
    export = StageOutcome(state=well, report=EXPORTED)
    pasts = (past_of(), past_of(check=check), past_of(check=check, train=train), past_of(check=check, train=train, export=export))
    plans = [plan(job, References(), past, Defaults()) for past in pasts]
    now = datetime.now(UTC)
    statuses = [
        summarise(job, each, Observation(past=past), serving=render(each).serving, progress=None, now=now, previous=None).wire()
        for each, past in zip(plans, pasts, strict=True)
    ]
    return [child for child in render(plans[-1]).children if child["kind"] == "Job"], statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="of three Jobs each (300)")
    parser.add_argument("--as-rendered", action="store_true", help="the Jobs as they are rendered, and a FineTuneJob with its statuses")
    arguments = parser.parse_args()
    count: int = arguments.count
    make: Callable[[Wire, int], None] = make_as_rendered if arguments.as_rendered else make_bare
    with UnthrottledPlane(find()) as plane:
        wire = Wire(plane)
        wire.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        install_definition(ApiServer(plane.kubeconfig))
        kubelet = KubeletOfJobs(wire)
        time.sleep(2)  # until it watches
        before, began = {name: usage(pid).cpu for name, pid in plane.pids().items()}, time.monotonic()
        with ThreadPoolExecutor(8) as hands:
            list(hands.map(lambda number: make(wire, number), range(count)))
        kubelet.wait_for(count)
        took = time.monotonic() - began
        each = [f"{(usage(pid).cpu - before[name]) / count * 1000:.0f} ms" for name, pid in plane.pids().items()]
    print(columns([["complete/s", *before], [f"{count / took:.1f}", *each]]))


if __name__ == "__main__":
    main()
