"""May the tests use the cluster that `KUBECONFIG` names? Only if the cluster has a namespace `tunewright-tests`.

People also export KUBECONFIG for their production cluster, so the variable is no permission. Without the namespace, the tests send only
this one request. `~/.kube/config` is not read, because the user did not name it.
"""

import os
import shutil
import subprocess
from pathlib import Path

CONSENT = "tunewright-tests"
_SECONDS = 10


def consenting(kubectl: Path | str | None = None) -> tuple[Path | None, str]:
    """Return the kubeconfig of a cluster that allows these tests, else None and the reason: empty where KUBECONFIG names nothing."""
    named = os.environ.get("KUBECONFIG")
    if not named:
        return None, ""
    if os.pathsep in named:
        return None, f"KUBECONFIG={named} names several files: a cluster of our own is used"
    if not Path(named).is_file():  # kubectl would use localhost:8080 instead
        return None, f"KUBECONFIG={named} is no file: a cluster of our own is used"
    kubectl = kubectl or shutil.which("kubectl")
    if kubectl is None:
        return None, f"KUBECONFIG={named} cannot be asked, there is no kubectl: a cluster of our own is used"
    question = ["get", "namespace", CONSENT, "--output=name", "--ignore-not-found", f"--request-timeout={_SECONDS}s"]
    asked = subprocess.run([str(kubectl), *question], capture_output=True, text=True, check=False)
    if asked.returncode:
        return None, f"KUBECONFIG={named} does not answer ({_last_line(asked.stderr)}): a cluster of our own is used"
    if not asked.stdout.strip():
        allow = f"`kubectl create namespace {CONSENT}` there would allow it"
        return None, f"KUBECONFIG={named} does not allow these tests, {allow}: a cluster of our own is used"
    return Path(named), f"KUBECONFIG={named} allows these tests: nothing is started"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
