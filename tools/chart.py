"""Generates the chart's CRD, policy and versions, `deploy/install.yaml` and the table of values. With `--check`, it only compares.

`deploy/install.yaml` is the CRD, the policy and the output of `helm template`. Without helm, only the first two are
compared, and a line reports that.
Helm is the program in $HELM, or the one on PATH, or the one that `make test-cluster` built.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from values_table import values_table

ROOT = Path(__file__).resolve().parent.parent
CHART = Path("charts/tunewright")
CRD = Path("crds/finetunejobs.tunewright.io.yaml")
POLICY = Path("deploy/immutable-inputs.yaml")
INSTALL = Path("deploy/install.yaml")
TABLE = Path("docs/install.md")
NAMESPACE = "tunewright-system"
KUBE_VERSION = "1.35.0"  # for charts that ask; a helm built from source says nothing sensible by itself
_TABLE = re.compile(r"(<!-- values:begin -->\n).*(<!-- values:end -->)", re.DOTALL)
_METADATA = re.compile(r"^metadata:\n", re.MULTILINE)
_OF_HELM = re.compile(r"^ +(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)\n|^# Source: .*\n", re.MULTILINE)

_INSTALL_HEAD = f"""\
# Generated from charts/tunewright by `python tools/chart.py`; do not edit. `kubectl apply --server-side -f install.yaml`
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
    pod-security.kubernetes.io/audit: restricted
---
"""
_REST = "# What follows is made by helm template.\n"

_CRD_HEAD = """\
{{- /* Generated from crds/ by `python tools/chart.py`; do not edit. */}}
{{- if .Values.crds.enabled }}
"""
_POLICY_HEAD = """\
{{- /* Generated from deploy/immutable-inputs.yaml by `python tools/chart.py`; do not edit. */}}
{{- if and .Values.crds.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
"""
_LABELS = """\
metadata:
  labels:
    {{- include "tunewright.labels" . | nindent 4 }}
"""
_CRD_METADATA = """\
metadata:
  labels:
    {{- include "tunewright.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


def main() -> int:
    """Return the exit status: 1 when `--check` finds another file than the generated one."""
    stale = []
    for path, text in generated():
        there = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else None
        if there == text:
            continue
        stale.append(path)
        if "--check" not in sys.argv[1:]:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        print(*stale, sep="\n", end="\n" if stale else "")
        return 0
    if stale:
        print(f"{', '.join(map(str, stale))}: not what is generated. Way out: make chart", file=sys.stderr)
    return int(bool(stale))


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each file and what it should hold. Later ones are made from what earlier ones hold on disk."""
    crd = read(CRD)
    yield CHART / "templates/crd.yaml", crd_template(crd)
    policy = read(POLICY)
    yield CHART / "templates/immutable-inputs.yaml", policy_template(policy)
    yield CHART / "Chart.yaml", with_version(read(CHART / "Chart.yaml"), project_version())
    table = values_table(read(CHART / "values.yaml"))
    yield TABLE, _TABLE.sub(lambda found: found[1] + table + found[2], read(TABLE))
    yield INSTALL, _INSTALL_HEAD + crd + "---\n" + policy + _REST + rest_of_install()


def read(path: Path) -> str:
    """Return a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def project_version() -> str:
    """Return the version of this project."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def with_version(chart: str, version: str) -> str:
    """Return Chart.yaml with the chart's and the application's version."""
    chart = re.sub(r"^version: .*$", f"version: {version}", chart, flags=re.MULTILINE)
    return re.sub(r"^appVersion: .*$", f'appVersion: "{version}"', chart, flags=re.MULTILINE)


def crd_template(crd: str) -> str:
    """Return the CRD as a template of the chart. As text: read and written again by Helm, large integers would become floats."""
    body = crd.replace("{{", '{{ "{{" }}').partition("\n")[2] if crd.startswith("#") else crd
    before, found, after = body.partition("metadata:\n")
    if not found:
        raise ValueError("the CRD has no metadata")
    return _CRD_HEAD + before + _CRD_METADATA + after + "{{- end }}\n"


def policy_template(policy: str) -> str:
    """Return the policy and its binding as a template of the chart."""
    return _POLICY_HEAD + _METADATA.sub(lambda _: _LABELS, policy.partition("\n")[2]) + "{{- end }}\n"


def rest_of_install() -> str:
    """Return the chart with its own values, less the CRD and what only Helm reads."""
    helm = find_helm()
    if helm is None:
        print(f"{INSTALL}: only its CRD is looked at, since there is no helm here", file=sys.stderr)
        return read(INSTALL).partition(_REST)[2]
    options = ["--no-hooks", "--namespace", NAMESPACE, "--kube-version", KUBE_VERSION, "--set", "crds.enabled=false"]
    done = subprocess.run([helm, "template", "tunewright", ROOT / CHART, *options], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"helm template: {done.stderr.strip()}")
    return _OF_HELM.sub("", done.stdout)


def find_helm() -> Path | None:
    """Return helm, if it is here."""
    named = os.environ.get("HELM") or shutil.which("helm")
    if named:
        return Path(named)
    sys.path.append(str(ROOT / "tests/cluster"))
    from binaries import HELM, NoProgramsError, find  # noqa: PLC0415 - only where it is needed

    try:
        return find(HELM).helm
    except NoProgramsError:
        return None


if __name__ == "__main__":
    sys.exit(main())
