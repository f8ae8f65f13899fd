"""A repeated run: inputs are compared by content, wherever they are now."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pretended_trainer import pretended_trainer  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("pretended_trainer")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a manifest, its base model and its data."""
    folder = tmp_path / "clone"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "config.json").write_text("{}")
    (folder / "base" / "README.md").write_text("about it")
    (folder / "data").mkdir()
    (folder / "data" / "train.jsonl").write_text('{"messages": []}\n' * 3)
    write(folder, "base", "data/train.jsonl")
    return folder


def write(folder: Path, model: str, train: str, **told: str) -> None:
    spec: dict[str, Any] = {
        "task": "ChatCompletion",
        "model": {"source": {"path": model}},
        "data": {"train": [{"source": {"path": train}}]},
        "workers": {"replicas": 1, "env": [{"name": name, "value": value} for name, value in told.items()]},
    }
    raw = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "demo"}, "spec": spec}
    (folder / "job.yaml").write_text(json.dumps(raw))


def second(clone: Path) -> Path:
    return Path(shutil.copytree(clone, clone.with_name("second")))


def moved(clone: Path) -> Path:
    return clone.rename(clone.with_name("moved"))


def linked(clone: Path) -> Path:
    link = clone.with_name("link")
    link.symlink_to(clone)
    return link


def absolute(clone: Path) -> Path:
    other = second(clone)
    write(other, str(other / "base"), str(clone / "data" / "train.jsonl"))
    return other


def renamed(clone: Path) -> Path:
    (clone / "data" / "train.jsonl").rename(clone / "examples.jsonl")
    write(clone, "./base/", "examples.jsonl")
    return clone


def another_readme(clone: Path) -> Path:
    (clone / "base" / "README.md").write_text("more about it")
    return clone


def touched(clone: Path) -> Path:
    os.utime(clone / "data" / "train.jsonl", (1, 1))
    return clone


def stages(home) -> set[str]:
    return {child["metadata"]["uid"] for child in home.children(("default", "demo")) if child["kind"] == "Job"}


SAME = [second, moved, linked, absolute, renamed, another_readme, touched]


@pytest.mark.parametrize("change", SAME, ids=lambda change: change.__name__)
def test_the_same_content_in_another_folder_continues_the_job(call, home, clone: Path, change):
    assert call("run", str(clone / "job.yaml")).exit_code == 0
    before = stages(home)
    ended = call("run", str(change(clone) / "job.yaml"))
    assert ended.exit_code == 0, ended.stderr
    assert stages(home) == before, "nothing is trained again"


def test_a_stopped_training_resumes_from_another_folder(call, home, clone: Path, tmp_path: Path):
    fault = tmp_path / "fault"
    fault.touch()
    write(clone, "base", "data/train.jsonl", FAKE_FAIL="launch=64", FAKE_FAIL_WHILE=fault.as_uri())
    assert call("run", str(clone / "job.yaml")).exit_code == 1
    fault.unlink()
    other = moved(clone)
    ended = call("run", str(other / "job.yaml"))
    assert ended.exit_code == 0, ended.stderr


def other_data(clone: Path) -> str:
    (clone / "data" / "train.jsonl").write_text('{"messages": []}\n' * 4)
    return "data/train.jsonl"


def other_model(clone: Path) -> str:
    (clone / "base" / "config.json").write_text('{"a": 1}')
    return "base/config.json"


def one_more_file(clone: Path) -> str:
    (clone / "base" / "model.safetensors").write_text("weights")
    return "base/model.safetensors"


def one_file_less(clone: Path) -> str:
    (clone / "base" / "config.json").unlink()
    return "base/config.json"


@pytest.mark.parametrize("elsewhere", [False, True], ids=["there", "in another folder"])
@pytest.mark.parametrize("change", [other_data, other_model, one_more_file, one_file_less], ids=lambda change: change.__name__)
def test_other_content_is_refused_with_the_file_and_the_way_out(call, clone: Path, change, elsewhere: bool):
    assert call("run", str(clone / "job.yaml")).exit_code == 0
    folder = second(clone) if elsewhere else clone
    file = change(folder)
    ended = call("run", str(folder / "job.yaml"))
    assert ended.exit_code == 64
    assert f"{folder}/{file} differs from the job's input" in ended.stderr
    assert "tunewright delete demo" in ended.stderr


def test_the_way_out_works(call, clone: Path):
    assert call("run", str(clone / "job.yaml")).exit_code == 0
    other_data(clone)
    assert call("delete", "demo").exit_code == 0
    assert call("run", str(clone / "job.yaml")).exit_code == 0


def test_data_that_check_refused_can_be_corrected(call, clone: Path, tmp_path: Path):
    fault = tmp_path / "fault"
    fault.touch()
    write(clone, "base", "data/train.jsonl", FAKE_FAIL="check=65", FAKE_FAIL_WHILE=fault.as_uri())
    assert call("run", str(clone / "job.yaml")).exit_code == 1
    fault.unlink()
    other_data(clone)
    ended = call("run", str(clone / "job.yaml"))
    assert ended.exit_code == 0, ended.stderr


def fifo(clone: Path) -> None:
    (clone / "data" / "train.jsonl").unlink()
    os.mkfifo(clone / "data" / "train.jsonl")


def loop(clone: Path) -> None:
    (clone / "data" / "train.jsonl").unlink()
    (clone / "data" / "train.jsonl").symlink_to("train.jsonl")


@pytest.mark.parametrize("change", [fifo, loop], ids=lambda change: change.__name__)
def test_an_unreadable_input_is_refused_by_name(call, clone: Path, change):
    change(clone)
    ended = call("run", str(clone / "job.yaml"))
    assert ended.exit_code == 1
    assert f"{clone}/data/train.jsonl" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("get",), ("describe", "demo"), ("logs", "demo"), ("delete", "demo")], ids=" ".join)
def test_read_only_commands_create_no_files(call, home, command):
    call(*command)
    assert not home.layout.home.exists()
