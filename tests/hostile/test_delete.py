"""`tunewright delete`: what a manifest with the job's uid lists is removed, and nothing else, whatever the job and its claims are called.

To add a case, add a row: the job's `output`, the content of the claims before, and the part that must stay.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tunewright.local.app import Home
from tunewright_contract.folders import MANIFEST_NAME, RUN_MANIFEST_NAME, RunFolder
from tunewright_runtime.errors import Gone, Invalid

OTHER = "00000000-0000-4000-8000-000000000000"
RUN_ENTRIES = ["metrics.jsonl", "final", "checkpoints/checkpoint-*", "checkpoints/.partial-*", ".partial-final"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", environ={})
    home.prepare()
    return home


def stored(home: Home, tmp_path: Path, name: str, output: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
    spec = {
        "task": "ChatCompletion",
        "model": {"source": {"pvc": {"claimName": "models", "path": "phi3"}}},
        "data": {"train": [{"source": {"path": "missing.jsonl"}}]},
        "output": dict(output),
    }
    raw = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": spec}
    key = home.apply(raw, tmp_path)
    return key, home.job(key)["metadata"]["uid"]


def write(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("content")


def model_of(folder: Path, uid: str) -> None:
    """A finished model of a job."""
    write(folder, "model.onnx", "onnx/model.onnx.data")
    listed = [{"path": "model.onnx"}, {"path": "onnx/model.onnx.data"}]
    (folder / MANIFEST_NAME).write_text(json.dumps({"lineage": {"uid": uid}, "files": listed}))


def run_of(folder: Path, uid: str, *, manifest: bool = True) -> None:
    """A run of a job that was killed: a whole checkpoint, one half written, and a half written result."""
    write(folder, "metrics.jsonl", "checkpoints/checkpoint-5/model.safetensors", "checkpoints/.partial-9/part", ".partial-final/x")
    listed = {"files": [{"path": "model.safetensors", "bytes": 7, "sha256": ""}]}
    (folder / "checkpoints/checkpoint-5/MANIFEST.json").write_text(json.dumps(listed))
    if manifest:
        mark = RunFolder(namespace="default", job="x", uid=uid, revision=folder.name, entries=RUN_ENTRIES)
        (folder / RUN_MANIFEST_NAME).write_text(mark.model_dump_json())


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


ELSEWHERE = {"destinations": [{"pvc": {"claimName": "models"}}]}
SHARED = {"storage": {"claimName": "models"}, "destinations": [{"pvc": {"claimName": "models"}}]}


@pytest.mark.parametrize("yes", [False, True])
@pytest.mark.parametrize("output", [ELSEWHERE, SHARED, {"destinations": [{"pvc": {"claimName": "models", "path": "phi3"}}]}])
@pytest.mark.parametrize("name", ["phi3", "models", "runs", "cache", "checkpoints", "final"])
async def test_a_job_without_files_removes_nothing(home: Home, tmp_path: Path, name: str, output: Mapping[str, Any], yes: bool):
    key, _ = stored(home, tmp_path, name, output)
    claim = home.layout.claim("default", "models")
    write(claim, "phi3/config.json", "phi3/model.safetensors", f"{name}/mine.txt", f"runs/{name}/notes.txt", "cache/hub/mine")
    model_of(claim / "models" / "0123456789", OTHER)
    model_of(claim / name / "0123456789", OTHER)
    run_of(claim / "runs" / name / "0123456789", OTHER)
    before = files(claim)
    await home.delete(key, outside=yes)
    assert files(claim) == before


@pytest.mark.parametrize(
    ("left", "outside"),
    [(set(), True), ({"tunewright.json", "model.onnx", "onnx/model.onnx.data"}, False)],
    ids=["confirmed", "not confirmed"],
)
async def test_files_in_a_given_claim_are_removed_after_a_confirmation(home: Home, tmp_path: Path, left: set[str], outside: bool):
    key, uid = stored(home, tmp_path, "phi3", ELSEWHERE)
    claim = home.layout.claim("default", "models")
    write(claim, "phi3/config.json")
    model_of(claim / "phi3" / "0123456789", uid)
    kept = await home.delete(key, outside=outside)
    assert files(claim) == {"phi3/config.json"} | {f"phi3/0123456789/{name}" for name in left}
    assert [item.path for item in kept] == [claim / "phi3" / ("config.json" if outside else "")]


# Content of the claim that was created for the job, and the part that must stay.
OWN = {
    "all of it is the job's": (lambda claim, uid: (model_of(claim / "models/j/0a", uid), run_of(claim / "runs/j/0a", uid)), set()),
    "a file beside": (lambda claim, uid: (model_of(claim / "models/j/0a", uid), write(claim, "notes.txt")), {"notes.txt"}),
    "a file in a model": (
        lambda claim, uid: (model_of(claim / "models/j/0a", uid), write(claim, "models/j/0a/mine")),
        {"models/j/0a/mine"},
    ),
    "a file in a checkpoint": (
        lambda claim, uid: (run_of(claim / "runs/j/0a", uid), write(claim, "runs/j/0a/checkpoints/checkpoint-5/mine")),
        {"runs/j/0a/checkpoints/checkpoint-5/mine"},
    ),
    "a copy of a checkpoint": (
        lambda claim, uid: (run_of(claim / "runs/j/0a", uid), write(claim, "runs/j/0a/checkpoints/best/weights")),
        {"runs/j/0a/checkpoints/best/weights"},
    ),
    "a model of an earlier job of that name": (
        lambda claim, uid: (model_of(claim / "models/j/0a", OTHER), model_of(claim / "models/j/0b", uid)),
        {"models/j/0a/tunewright.json", "models/j/0a/model.onnx", "models/j/0a/onnx/model.onnx.data"},
    ),
    "another job's models": (
        lambda claim, _: model_of(claim / "models/k/0a", OTHER),
        {"models/k/0a/tunewright.json", "models/k/0a/model.onnx", "models/k/0a/onnx/model.onnx.data"},
    ),
    "a run without a manifest": (
        lambda claim, uid: run_of(claim / "runs/j/0a", uid, manifest=False),
        {
            *("runs/j/0a/metrics.jsonl", "runs/j/0a/.partial-final/x", "runs/j/0a/checkpoints/.partial-9/part"),
            *("runs/j/0a/checkpoints/checkpoint-5/MANIFEST.json", "runs/j/0a/checkpoints/checkpoint-5/model.safetensors"),
        },
    ),
    "downloads": (lambda claim, _: write(claim, "cache/hub/blob", "cache/mine"), {"cache/mine"}),
    "a manifest that leads out": (
        lambda claim, uid: (
            write(claim, "mine", "models/j/0a/model.onnx"),
            (claim / "models/j/0a" / MANIFEST_NAME).write_text(
                json.dumps(
                    {"lineage": {"uid": uid}, "files": [{"path": "../../../mine"}, {"path": "/etc/hostname"}, {"path": "model.onnx"}]}
                )
            ),
        ),
        {"mine"},
    ),
    "a manifest of nonsense": (
        lambda claim, _: (write(claim, "models/j/0a/x"), (claim / "models/j/0a" / MANIFEST_NAME).write_text("[" * 100_000)),
        {"models/j/0a/x", "models/j/0a/tunewright.json"},
    ),
}


@pytest.mark.parametrize(("content", "left"), OWN.values(), ids=OWN)
@pytest.mark.parametrize("linked", [False, True], ids=["a folder", "a link as the claim"])
async def test_the_jobs_files_in_a_created_claim_are_removed(home: Home, tmp_path: Path, content, left: set[str], linked: bool):
    key, uid = stored(home, tmp_path, "j", {})
    claim = home.layout.claim("default", "j-output")
    real = tmp_path / "disk" if linked else claim
    real.mkdir(parents=True)
    if linked:
        claim.parent.mkdir(parents=True, exist_ok=True)
        claim.symlink_to(real)
    content(real, uid)
    kept = await home.delete(key)
    assert files(real) == left
    assert bool(kept) == bool(left or linked), "what stays is named"
    assert claim.exists() == (linked or bool(left))


LINKS = {
    "the folder of runs": "runs",
    "the folder of the job": "runs/j",
    "a revision": "runs/j/0a",
    "a folder of a revision": "runs/j/0a/checkpoints",
    "a checkpoint": "runs/j/0a/checkpoints/checkpoint-5",
}


@pytest.mark.parametrize("place", LINKS.values(), ids=LINKS)
async def test_a_link_in_a_claim_is_not_followed(home: Home, tmp_path: Path, place: str):
    key, uid = stored(home, tmp_path, "j", {})
    claim, outside = home.layout.claim("default", "j-output"), tmp_path / "elsewhere"
    run_of(claim / "runs/j/0a", uid)
    (claim / place).rename(outside)
    (claim / place).symlink_to(outside)
    before = files(outside)
    await home.delete(key)
    assert files(outside) == before


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", "x\n", "-"])
async def test_a_name_that_is_a_path_is_refused(home: Home, tmp_path: Path, name: str):
    stored(home, tmp_path, "j", {})
    before = files(tmp_path)
    with pytest.raises((Gone, Invalid), match=r"is not a DNS name|there is no FineTuneJob"):
        await home.delete(("default", name))
    assert files(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0 and shutil.which("chmod") is None, reason="needs modes")
@pytest.mark.parametrize("mode", [0o1777, 0o755, 0o700])
def test_no_command_changes_the_mode_of_a_folder_that_exists(tmp_path: Path, mode: int):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    Home(folder, environ={}).prepare()
    assert folder.stat().st_mode & 0o7777 == mode
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o700}, "what it creates there is private"
