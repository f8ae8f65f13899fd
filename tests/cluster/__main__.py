"""`python tests/cluster build` builds the programs; `policies` what enforces NetworkPolicies on two nodes; `kstatus` and
`argocd` the verdicts of Flux and Argo CD; `shell` is a shell with kubectl and helm on a cluster of one's own, a whole node where one can run, else a control plane; `demo` runs the quickstart on a node.
"""

import argparse
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from argocd import ARGOCD
from binaries import NODE, NoProgramsError, Programs, build
from control_plane import ControlPlane, StartError
from demo import Demo, DemoError
from enforcement import POLICIES
from go_programs import GoProgram
from kstatus import KSTATUS
from needs import what_is_missing
from node import Node

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {program.name: program for program in (POLICIES, KSTATUS, ARGOCD)}
IMAGES = [sys.executable, str(ROOT / "tools" / "images.py")]
sys.path.append(str(ROOT / "tools"))


def build_or_say() -> int:
    """Build. Without Go that is no failure, unless REQUIRE_CLUSTER=1: the tests that need it are skipped with that reason."""
    try:
        print(f"test cluster: {build().apiserver.parent}")
    except NoProgramsError as lacking:
        print(f"{lacking}\n  tests that need it will be skipped", file=sys.stderr)
        return int(os.environ.get("REQUIRE_CLUSTER") == "1")
    return 0


def program_or_say(program: GoProgram) -> int:
    """Build a program of thorough tests; without Go as above."""
    try:
        print(f"{program.name}: {program.build()}")
    except NoProgramsError as lacking:
        print(f"{lacking}\n  tests that need it will be skipped", file=sys.stderr)
        return int(os.environ.get("REQUIRE_CLUSTER") == "1")
    return 0


def shell() -> int:
    """Start the best cluster that this machine can run, with the CRD in it, and a shell on top; they end together."""
    missing = what_is_missing()
    try:
        programs = build(() if missing else NODE)
    except NoProgramsError as lacking:
        print(lacking, file=sys.stderr)
        return 1
    with ControlPlane(programs) if missing else Node(programs) as cluster:
        applied = cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        print(applied.stdout + applied.stderr, end="")
        if missing:
            print(f"A control plane without nodes: objects are stored and checked, Jobs make pods, no pod runs. ({missing})")
        else:
            print("A whole node: pods run. Images come from archives only: `make cluster-demo` shows the way.")
        print("kubectl and helm are pointed at it. Leave with `exit`.")
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for what runs in the shell
        path = f"{programs.kubectl.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.call(
            [os.environ.get("SHELL", "/bin/sh")], env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path}
        )


def demo() -> int:
    """Bring up a node and take the quickstart to an answer."""
    if missing := what_is_missing():
        print(f"{missing}\nwithout a cluster: make demo", file=sys.stderr)
        return 1
    base = os.environ.get("TUNEWRIGHT_BASE_IMAGE") or "debian"  # as `make test`: its images serve here too
    if subprocess.call([*IMAGES, "build", f"--base={base}"]):
        return 1
    try:
        programs = build(NODE)
        run_demo(programs)
    except (NoProgramsError, StartError, DemoError) as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run_demo(programs: Programs) -> None:
    import image_inputs
    from images import archives

    built = archives()
    if changed := sorted(image_inputs.IMAGES.keys() - built.keys()):
        raise DemoError(f"what goes into {', '.join(changed)} changed while images were built: start again")

    with Node(programs) as node:
        Demo(node).run(built)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = {"build": build_or_say, "shell": shell, "demo": demo}
    commands |= {name: partial(program_or_say, program) for name, program in PROGRAMS.items()}
    parser.add_argument("command", choices=list(commands))
    sys.exit(commands[parser.parse_args().command]())
