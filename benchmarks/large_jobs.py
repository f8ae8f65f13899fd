"""What the operator takes when it starts among FineTuneJobs of a megabyte each, stored through a definition without bounds.

    python benchmarks/large_jobs.py --jobs 120

A control plane of its own (`make test-cluster`); the operator has the allocator's settings of deploy/install.yaml. It is stopped and
started again, and its memory is read from /proc once it is ready and has looked at every job. The chart's limit is 512Mi.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "cluster")]

from api_server import ApiServer  # noqa: E402
from binaries import find  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from fake_kubelet import FakeKubelet  # noqa: E402
from operator_process import OperatorProcess  # noqa: E402
from poison import job_text, loosen, store  # noqa: E402
from scene import Scene, install_definition  # noqa: E402
from waiting import until  # noqa: E402

NAMESPACE = "large"


class Installed(OperatorProcess):
    """The operator as the chart runs it."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"MALLOC_ARENA_MAX": "2"}

    def megabytes(self, field: str) -> float:
        """Return VmRSS or VmHWM."""
        status = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith(field))


def text() -> str:
    """A megabyte of text, of which half remains when it is compressed."""
    return json.dumps({f"key-{number}": os.urandom(2000).hex() for number in range(250)})


def values() -> str:
    """As many values as are read of one object, and text beside them."""
    return json.dumps({"values": [[number] for number in range(30_000)], "text": os.urandom(350_000).hex()})


def too_many() -> str:
    """More values than are read of one object."""
    return json.dumps({"values": [[]] * 300_000})


SHAPES = {"text": text, "values": values, "too-many": too_many}


def main() -> None:
    """Print a row for each start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=120, help="jobs of a megabyte (120)")
    parser.add_argument("--shape", choices=SHAPES, default="text", help="what fills them (text)")
    arguments = parser.parse_args()
    jobs = arguments.jobs
    with ControlPlane(find()) as plane, tempfile.TemporaryDirectory() as folder:
        api = ApiServer(plane.kubeconfig)
        install_definition(api)
        loosen(api)
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, keep=True)
        operator = Installed(plane.kubeconfig, NAMESPACE, Path(folder))
        scene: Any = Scene(api=api, namespace=NAMESPACE, operator=operator, kubelet=FakeKubelet(api, NAMESPACE), audit=None)
        for number in range(jobs):
            store(scene, job_text(f"big-{number}", SHAPES[arguments.shape]()))
        for start in ("first", "second"):
            operator.start(patience=300)
            until(lambda: operator.metric("tunewright_jobs") >= jobs, "all are known", patience=300)
            until(lambda: operator.reconciles() >= jobs, "all have been looked at", patience=300)
            print(f"{start} start: {operator.megabytes('VmRSS'):.0f} MB, peak {operator.megabytes('VmHWM'):.0f} MB", flush=True)
            assert operator.stop() == 0


if __name__ == "__main__":
    main()
