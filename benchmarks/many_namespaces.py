"""Memory and watches of an operator that watches many namespaces, without jobs.

    python benchmarks/many_namespaces.py --namespaces 60

A control plane of its own (`make test-cluster`); the operator has the allocator's settings of deploy/install.yaml. It runs twice: with a
watch for each kind and namespace, and with one for each kind (rbac.readCluster). Watches are counted in the API server's metrics.
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "cluster")]

from api_server import ApiServer  # noqa: E402
from binaries import find  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from large_jobs import Installed  # noqa: E402
from scene import install_definition  # noqa: E402

SETTLE_SECONDS = 20.0


class Watching(Installed):
    """The operator as the chart runs it, with or without rbac.readCluster."""

    read_cluster = "false"

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_READ_CLUSTER": self.read_cluster}


def watches(plane: ControlPlane) -> int:
    """Return the watches that the API server serves."""
    metrics = plane.kubectl("get", "--raw", "/metrics").stdout
    numbers = re.findall(r'^apiserver_longrunning_requests\{.*verb="WATCH".*\} (\S+)$', metrics, re.MULTILINE)
    return sum(int(float(number)) for number in numbers)


def main() -> None:
    """Print a row for each way to watch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespaces", type=int, nargs="+", default=[60], help="numbers of namespaces (60)")
    arguments = parser.parse_args()
    with ControlPlane(find()) as plane, tempfile.TemporaryDirectory() as folder:
        api = ApiServer(plane.kubeconfig)
        install_definition(api)
        names = [f"team-{number}" for number in range(max(arguments.namespaces))]
        for name in names:
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, keep=True)
        time.sleep(SETTLE_SECONDS)
        for count in arguments.namespaces:
            for read_cluster in ("false", "true"):
                before = watches(plane)
                operator = Watching(plane.kubeconfig, ",".join(names[:count]), Path(folder))
                operator.read_cluster = read_cluster
                operator.start(patience=300)
                time.sleep(SETTLE_SECONDS)
                row = f"{watches(plane) - before} watches, {operator.megabytes('VmRSS'):.0f} MB, peak {operator.megabytes('VmHWM'):.0f} MB"
                print(f"{count} namespaces, readCluster {read_cluster}: {row}", flush=True)
                assert operator.stop() == 0
                time.sleep(SETTLE_SECONDS / 4)


if __name__ == "__main__":
    main()
