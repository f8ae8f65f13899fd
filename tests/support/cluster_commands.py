"""The command line as a user of a cluster runs it: in this process, or as the installed programs."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from typer.testing import CliRunner

from tunewright.cli.app import Selection
from tunewright.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent  # where `tunewright` and `kubectl-tunewright` are installed
JOB = ("tunewright.io/v1alpha1", "FineTuneJob")
PATIENCE_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class User:
    """One person with a kubeconfig, in one namespace."""

    kubeconfig: Path
    namespace: str
    home: Path
    kubectl: Path | None = None

    def call(self, *arguments: str, typed: str | None = None, plugin: bool = True) -> Any:
        """Run a command in this process, as the plugin would in this user's namespace, or as `tunewright`."""
        environment = {"KUBECONFIG": str(self.kubeconfig), "TUNEWRIGHT_HOME": str(self.home)}
        obj = Selection(in_cluster=True, namespace=self.namespace, program="kubectl tunewright") if plugin else None
        return CliRunner().invoke(app, list(arguments), obj=obj, env=environment, input=typed)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run an installed program."""
        return subprocess.run(
            command, env=self.environment(**environment), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start an installed program. SIGINT has its default, which a background run of the tests does not leave to its processes."""
        command = ("env", "--default-signal=INT", *command)
        return subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig), "TUNEWRIGHT_HOME": str(self.home), "COLUMNS": "100", **more}


def roles_of_users() -> list[dict[str, Any]]:
    """Return the chart's roles that are aggregated to `view` and `edit`, as deploy/install.yaml has them."""
    manifests = YAML(typ="safe").load_all((ROOT / "deploy" / "install.yaml").read_text(encoding="utf-8"))
    return [
        one
        for one in manifests
        if one and one["kind"] == "ClusterRole" and any("aggregate-to" in name for name in one["metadata"]["labels"])
    ]


def binding(user: str, role: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def write_kubeconfig(path: Path, source: Path, **changes: Mapping[str, Any]) -> Path:
    """Write a kubeconfig with some of its cluster, user and context replaced; its files stay where they are."""
    config = json.loads(source.read_text(encoding="utf-8"))
    (cluster,), (user,), (context,) = config["clusters"], config["users"], config["contexts"]
    for part, key in ((cluster, "cluster"), (user, "user"), (context, "context")):
        for name in ("certificate-authority", "client-certificate", "client-key"):
            if name in part[key]:
                part[key][name] = str(source.parent / part[key][name])
        part[key] |= {name: value for name, value in changes.get(key, {}).items() if value is not None}
        for name in [name for name, value in changes.get(key, {}).items() if value is None]:
            part[key].pop(name, None)
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
