"""`python tests/cluster build` builds the programs; `python tests/cluster shell` gives a person a shell with kubectl pointed at a control plane."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from binaries import NoProgramsError, build
from control_plane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]


def build_or_say() -> int:
    """Build. Without Go that is no failure, unless REQUIRE_CLUSTER=1: the tests that need it will say that they were skipped."""
    try:
        print(f"test cluster: {build().apiserver.parent}")
    except NoProgramsError as lacking:
        print(f"{lacking}\n  tests on a real API server will be skipped", file=sys.stderr)
        return int(os.environ.get("REQUIRE_CLUSTER") == "1")
    return 0


def shell() -> int:
    """Start a control plane with the CRD in it and a shell on top; both end together."""
    try:
        programs = build()
    except NoProgramsError as lacking:
        print(lacking, file=sys.stderr)
        return 1
    with ControlPlane(programs) as plane:
        applied = plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        print(applied.stdout + applied.stderr, end="")
        print(
            "A control plane without nodes: objects are stored and checked, Jobs make pods, no pod runs. kubectl is pointed at it. Leave with `exit`."
        )
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for what runs in the shell
        path = f"{programs.kubectl.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.call([os.environ.get("SHELL", "/bin/sh")], env={**os.environ, "KUBECONFIG": str(plane.kubeconfig), "PATH": path})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["build", "shell"])
    sys.exit({"build": build_or_say, "shell": shell}[parser.parse_args().command]())
