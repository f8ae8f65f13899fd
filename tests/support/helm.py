"""The real helm, given the chart as it is committed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml  # the kubernetes client brings it, and unlike ours it has a parser in C: the CRD is long

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/tunewright"
RELEASE, NAMESPACE = "tunewright", "tunewright-system"
KUBE_VERSION = "1.35.0"  # of no cluster: what `helm template` is to assume
PATIENCE_SECONDS = 300

sys.path.append(str(ROOT / "tools"))
from chart import find_helm  # noqa: E402 - the program that the tools take
from levels import lacking  # noqa: E402

__all__ = ["CHART", "NAMESPACE", "RELEASE", "Helm", "committed_crd", "helm_program", "images_of", "kind_of"]


class Loader(yaml.CSafeLoader):
    """Numbers as Kubernetes reads them: 1e-08 is one."""


Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))


class Helm:
    """Runs helm against one cluster or none, with a home of its own."""

    def __init__(self, program: Path, home: Path, kubeconfig: Path | None = None) -> None:
        self._program, self._home, self._kubeconfig = program, home, kubeconfig
        self._rendered: dict[tuple[str, str, str], list[dict[str, Any]]] = {}

    def __call__(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "KUBECONFIG": str(self._kubeconfig or self._home / "no-cluster"),
            "HELM_NAMESPACE": NAMESPACE,
        }
        command = [str(self._program), *map(str, arguments)]
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)

    def template(
        self, values: Mapping[str, Any] | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
    ) -> Sequence[dict[str, Any]]:
        """Return what the chart makes of these values."""
        asked = (release, namespace, as_text(values or {}))
        if asked not in self._rendered:
            done = self.try_template(values, release=release, namespace=namespace)
            assert done.returncode == 0, done.stderr
            self._rendered[asked] = [manifest for manifest in yaml.load_all(done.stdout, Loader=Loader) if manifest]
        return deepcopy(self._rendered[asked])

    def try_template(
        self, values: Mapping[str, Any] | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
    ) -> subprocess.CompletedProcess[str]:
        options = ("--namespace", namespace, "--kube-version", KUBE_VERSION, "--values", "-")
        return self("template", release, CHART, *options, stdin=as_text(values or {}))


def helm_program() -> Path:
    """Return helm itself, or skip. It is never built here, since a build takes longer than a test may."""
    return find_helm() or lacking("there is no helm: put it on PATH, name it in HELM, or build it with `make test-cluster`")


def as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values)  # JSON is YAML


def committed_crd() -> dict[str, Any]:
    (path,) = (ROOT / "crds").glob("*.yaml")
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader))  # noqa: S506 - it is a safe one


def kind_of(manifests: Sequence[Mapping[str, Any]], kind: str) -> Sequence[Mapping[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def images_of(deployment: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the image of the operator and those that it gives to jobs."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    return {"operator": container["image"], "trainer": env["TUNEWRIGHT_TRAINER_IMAGE"], "server": env["TUNEWRIGHT_SERVER_IMAGE"]}
