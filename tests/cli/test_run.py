"""`run`, `logs` and `delete` with a fake trainer: the output of a whole job, in seconds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pretended_trainer import pretended_trainer  # noqa: F401 - a fixture

from tunewright.cli.local_operator import LocalOperator

pytestmark = pytest.mark.usefixtures("pretended_trainer")


@pytest.fixture
def job(tmp_path: Path):
    """Write a manifest whose pods run the pretending trainer; `told` are its orders."""
    (tmp_path / "model").mkdir()
    (tmp_path / "chat.jsonl").write_text('{"messages": []}\n' * 3)

    def write(workers: dict[str, Any] | None = None, **told: str) -> str:
        variables = told
        spec: dict[str, Any] = {
            "task": "ChatCompletion",
            "model": {"source": {"path": "model"}},
            "data": {"train": [{"source": {"path": "chat.jsonl"}}]},
            "workers": {"replicas": 2, "env": [{"name": name, "value": value} for name, value in variables.items()], **(workers or {})},
        }
        path = tmp_path / "job.yaml"
        raw = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "demo"}, "spec": spec}
        path.write_text(json.dumps(raw))
        return str(path)

    return write


def test_a_job_completes_and_prints_all_paths(call, home, job):
    ended = call("run", job())
    assert ended.exit_code == 0, ended.stderr
    stages = [line.split(": ")[1].split(" · ")[0] for line in ended.stderr.splitlines() if line.startswith("demo: ")]
    assert list(dict.fromkeys(stages))[-1] == "complete"
    assert "Where everything is" in ended.stdout
    places = re.findall(r"^  .+?   (/.+)$", ended.stdout, flags=re.MULTILINE)
    assert places
    assert [place for place in places if not Path(place).exists()] == []
    assert "chat" not in ended.output, "there is no server to talk to"
    assert call("run", job()).exit_code == 0, "what is done is done"


def test_a_field_with_an_effect_only_in_a_cluster_is_named(call, home, job):
    ended = call("run", job({"nodeSelector": {"zone": "a"}}))
    assert ended.exit_code == 0, ended.stderr
    notes = [line for line in ended.stderr.splitlines() if line.startswith("note: ")]
    assert notes == ["note: spec.workers.nodeSelector has no effect on this machine: there is one machine, and no scheduler"]


def test_a_field_that_would_change_the_result_is_refused_before_storing(call, home, job):
    ended = call("run", job({"image": "registry.example/own-trainer:1", "nodeSelector": {"zone": "a"}}))
    assert (ended.exit_code, ended.stdout) == (64, "")
    assert "spec.workers.image is not supported on this machine" in ended.stderr
    assert "run the job in a cluster" in ended.stderr
    assert call("get").stdout == ""


def test_output_of_pods_is_shown_with_an_option_and_always_kept(call, home, job):
    ended = call("run", job(), "--verbose")
    assert re.search(r"^demo-train-0-0-\w+ \| rank 0 starts at step 0$", ended.stderr, flags=re.MULTILINE)
    assert call("logs", "demo", "--stage", "train", "--rank", "0").stdout.startswith("rank 0 starts at step 0\n")


def test_a_failure_names_stage_reason_way_out_and_the_last_lines_of_the_log(call, home, job):
    ended = call("run", job(FAKE_FAIL="check=65"))
    assert (ended.exit_code, ended.stdout) == (1, "")
    head, tail = ended.stderr.split("\nThe last lines of ")
    assert re.search(r"demo failed in check\w*: FakeFailure\n    .*\n    → do not tell it to", head), head
    path, lines = tail.split(":\n", 1)
    assert lines.strip() == Path(path).read_text().strip() == "check fails as it was told to"
    assert "Traceback" not in head


def test_after_the_cause_is_corrected_the_same_command_retries(call, home, job, tmp_path: Path):
    (tmp_path / "chat.jsonl").rename(tmp_path / "elsewhere")
    missing = call("run", job())
    assert (missing.exit_code, f"{tmp_path}/chat.jsonl does not exist" in missing.stderr) == (1, True)
    assert "→ Correct that, then run the same command again" in missing.stderr
    (tmp_path / "elsewhere").rename(tmp_path / "chat.jsonl")
    assert call("run", job()).exit_code == 0


def test_delete_prints_what_it_removed_and_kept(call, home, job):
    assert call("run", job()).exit_code == 0
    ended = call("delete", "demo", "--keep-models")
    assert ended.exit_code == 0
    first, kept = ended.stdout.splitlines()
    assert first == "FineTuneJob default/demo deleted"
    assert list(Path(kept.removeprefix("kept: ").removesuffix(" (--keep-models)")).rglob("model.onnx"))
    assert call("get").stdout == ""


def test_an_unexpected_error_shows_its_traceback(call, job, monkeypatch: pytest.MonkeyPatch):
    async def broken(_self, _until) -> None:
        raise AssertionError("this cannot be")

    monkeypatch.setattr(LocalOperator, "wait", broken)
    ended = call("run", job())
    assert isinstance(ended.exception, AssertionError)
