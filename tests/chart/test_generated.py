"""`python tools/chart.py --check` finds generated files that are stale, with helm and, as far as possible, without."""

import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import chart
import pytest
from helm import ROOT

GENERATED = (
    "charts/tunewright/templates/crd.yaml",
    "charts/tunewright/Chart.yaml",
    "docs/install.md",
    "deploy/install.yaml",
    "charts/tunewright/templates/immutable-inputs.yaml",
)
CRD, POLICY, IN_CHART, INSTALL = "crds/finetunejobs.tunewright.io.yaml", "deploy/immutable-inputs.yaml", GENERATED[0], GENERATED[3]


class Edit(NamedTuple):
    """An edit of a file."""

    file: str
    before: str
    after: str


class Tool:
    """The tool at work on a copy of what it reads and writes."""

    def __init__(self, folder, monkeypatch, capsys):
        self._folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        for name in ("charts", "crds", "deploy"):
            shutil.copytree(ROOT / name, folder / name)
        (folder / "docs").mkdir()
        for name in ("docs/install.md", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        monkeypatch.setattr(chart, "ROOT", folder)

    def change(self, edit):
        path = self._folder / edit.file
        text = path.read_text(encoding="utf-8")
        assert edit.before in text
        path.write_text(text.replace(edit.before, edit.after, 1), encoding="utf-8")

    def run(self, *options):
        """Return the exit status and the output."""
        self._monkeypatch.setattr(sys, "argv", ["chart.py", *options])
        return chart.main(), self._capsys.readouterr().err

    def check(self):
        """Return the exit status and the files that are named."""
        code, said = self.run("--check")
        return code, {name for name in GENERATED if f"{name}, " in said or f"{name}: not" in said}


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    return Tool(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("named", "edit"),
    [
        ({IN_CHART, INSTALL}, Edit(CRD, "name: PHASE", "name: STAGE")),
        ({GENERATED[4], INSTALL}, Edit(POLICY, "failurePolicy: Fail", "failurePolicy: Ignore")),
        ({IN_CHART}, Edit(IN_CHART, "name: PHASE", "name: STAGE")),
        ({"charts/tunewright/Chart.yaml"}, Edit("pyproject.toml", '\nversion = "0.', '\nversion = "9.')),
        ({"docs/install.md", INSTALL}, Edit("charts/tunewright/values.yaml", "workers: 8", "workers: 9")),
        ({INSTALL}, Edit("charts/tunewright/templates/service.yaml", "type: ClusterIP", "type: NodePort")),
        ({INSTALL}, Edit(INSTALL, "replicas: 1", "replicas: 2")),
        (set(), Edit("charts/tunewright/templates/NOTES.txt", "Wait", "Hold on")),
    ],
    ids=["CRD", "policy", "CRD in the chart", "version", "values", "template", "install.yaml", "notes"],
)
def test_a_changed_file_is_detected_and_regenerated(tool, helm_program, named, edit):
    tool.change(edit)
    assert tool.check() == (int(bool(named)), named)

    assert tool.run()[0] == 0
    assert tool.check() == (0, set())


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        (0, Edit("charts/tunewright/templates/NOTES.txt", "Wait", "Hold on")),
        (1, Edit(INSTALL, "name: PHASE", "name: STAGE")),
        (0, Edit("charts/tunewright/templates/service.yaml", "type: ClusterIP", "type: NodePort")),
    ],
    ids=["nothing", "CRD", "what only helm can tell"],
)
def test_without_helm_only_the_other_files_are_generated_with_a_notice(tool, monkeypatch, code, edit):
    monkeypatch.setattr(chart, "find_helm", lambda: None)
    tool.change(edit)
    found, said = tool.run("--check")

    assert (found, "there is no helm here" in said) == (code, True)


def test_the_repository_is_up_to_date(helm_program):
    command = [sys.executable, str(ROOT / "tools/chart.py"), "--check"]
    done = subprocess.run(command, env={**os.environ, "HELM": str(helm_program)}, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
