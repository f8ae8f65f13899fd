"""The program that enforces NetworkPolicies on a node: kube-router's controller for them, built from `policies/`. Standard library only.

What was tried: sigs.k8s.io/kube-network-policies needs the kernel's CONFIG_NFT_QUEUE, which small kernels lack. kube-router as a whole brings
a BGP router, and downloads and compiles for minutes. Its controller alone takes seconds beside Kubernetes, since both compile the same
client. It needs the Debian packages ipset and iptables (needs.py).

The build is kept apart from binaries.py's, so that a change of either does not build the other again.
"""

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from binaries import BUILD_ENVIRONMENT, HERE, NoProgramsError, cache

SOURCE = HERE / "policies"
PROGRAM = "policies"


def find_policies() -> Path:
    """Return the program: from `KUBEBUILDER_ASSETS` if that has it, else the one that was built. Raises `NoProgramsError`."""
    named = Path(os.environ.get("KUBEBUILDER_ASSETS") or os.devnull) / PROGRAM
    found = next((path for path in (named, _built()) if path.is_file()), None)
    if found is None:
        raise NoProgramsError(f"nothing enforces NetworkPolicies yet: `python {HERE.parent.name}/{HERE.name} policies` brings {_built()}")
    return found


def build_policies() -> Path:
    """Return the program, built if need be. Raises `NoProgramsError` without Go, and CalledProcessError when the build fails."""
    try:
        return find_policies()
    except NoProgramsError:
        if shutil.which("go") is None:
            raise
    cache().mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{PROGRAM}-", dir=cache()))
    try:
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(making / PROGRAM), "."]
        subprocess.run(command, cwd=SOURCE, env={**os.environ, **BUILD_ENVIRONMENT}, check=True)
        (making / PROGRAM).rename(_built())
    finally:
        shutil.rmtree(making)
    return _built()


def _built() -> Path:
    digest = sha256()
    for file in sorted(SOURCE.iterdir()):
        digest.update(sha256(file.read_bytes()).digest())
    return cache() / f"{PROGRAM}-{digest.hexdigest()[:16]}"
