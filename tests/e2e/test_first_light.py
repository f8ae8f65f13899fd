"""One FineTuneJob from its manifest to a served answer, with faults on the way. Real processes, the real command line."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from command_line import PATIENCE_SECONDS, Workplace
from ruamel.yaml import YAML

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE_SECONDS)]

NAME = "support-bot"
QUESTION = "Could you make two large soy cortados to go for Yara?"


def tiny(spec: dict[str, Any]) -> None:
    """Eight steps: enough to see every part work, not enough to learn anything."""
    spec["training"] |= {"maxSteps": 8, "saveSteps": 2, "evalSteps": 4, "loggingSteps": 1, "warmupSteps": 1, "perDeviceTrainBatchSize": 4}
    spec["evaluation"] |= {"generateSamples": 4, "maxSamples": 16}
    spec["output"]["onnx"] = {"precision": "fp32", "parity": {"minTop1Agreement": 0.98}}


def long_enough(spec: dict[str, Any]) -> None:
    """Time to interrupt it; without evaluation and server, which other tests see."""
    tiny(spec)
    spec["training"] |= {"maxSteps": 40, "evalStrategy": "no"}
    del spec["serving"], spec["data"]["test"], spec["data"]["validation"]
    spec["evaluation"]["generateSamples"] = 0


def diverging(spec: dict[str, Any]) -> None:
    """Three steps of a learning rate that no model survives."""
    tiny(spec)
    spec["training"] |= {"maxSteps": 3, "saveSteps": 3, "evalStrategy": "no", "warmupSteps": 0, "learningRate": 10.0}
    spec["training"] |= {"lrSchedulerType": "constant"}
    spec["method"] = {"type": "sft", "tuner": "full"}
    del spec["deepspeed"]
    spec["workers"]["replicas"] = 1
    spec["evaluation"] |= {"generateSamples": 0, "maxSamples": 8}


def status_of(place: Workplace) -> dict[str, Any]:
    shown = place.tunewright("get", NAME, "-o", "json")
    assert shown.returncode == 0, shown.stderr
    status: dict[str, Any] = json.loads(shown.stdout)["status"]
    return status


def checkpoints(place: Workplace) -> list[Path]:
    """Return finished checkpoints, the newest last: their manifest is written last."""
    found = [path.parent for path in place.made("checkpoint-*/MANIFEST.json")]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def steps_logged(place: Workplace) -> list[int]:
    (path,) = place.made("metrics.jsonl")
    return [row["step"] for row in map(json.loads, path.read_text().splitlines()) if "loss" in row]


def train_jobs(place: Workplace) -> list[str]:
    return [path.stem for path in sorted((place.home / "objects").rglob("Job/*-train-*.json"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workplace, subprocess.CompletedProcess[str]]]:
    """A job that went all the way, and what the command printed."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    place.write(tiny)
    done = place.tunewright("run", "job.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    yield place, done
    place.kill_everything()


def test_a_run_ends_with_curve_parity_scores_answers_and_places(finished):
    _, done = finished
    for shown in ("training loss", "ONNX against torch", "same top token", "base ", "tuned ", "served: ", "Where everything is"):
        assert shown in done.stdout
    lines = done.stderr.splitlines()
    stages = [line.split(": ", 1)[1].split(" · ")[0] for line in lines if line.startswith(f"{NAME}: ")]
    assert list(dict.fromkeys(stages))[-5:] == ["check", "train", "export", "serve", "serving"]
    assert re.search(r"step 8/8 · loss \d", done.stderr)


def test_the_served_model_answers_held_out_questions_as_torch_did(finished):
    place, done = finished
    (path,) = place.made("evaluation.json")
    answers = json.loads(path.read_text())["answers"]
    assert len(answers) == 4
    served = re.findall(r"^served:\s+(.*(?:\n {11}.*)*)", done.stdout, flags=re.MULTILINE)
    shown = [re.sub(r"\n {11}", "\n", text) for text in served]
    assert shown == [item["tuned"].strip() for item in answers[: len(shown)]]
    assert shown


def test_the_model_folder_records_its_inputs(finished):
    place, _ = finished
    (path,) = place.made("tunewright.json")
    lineage = json.loads(path.read_text())
    assert str(lineage).count(status_of(place)["data"]["sha256"]) >= 1
    assert (path.parent / "tokenizer.json").read_bytes() == (place.base / "tokenizer.json").read_bytes()


def test_no_process_runs_after_the_end_and_status_shows_it(finished):
    place, _ = finished
    assert place.left_running() == []
    row = place.tunewright("get").stdout.splitlines()[1].split()
    assert row[:2] == [NAME, "Stopped"]


def test_the_output_of_get_is_a_manifest(finished):
    place, _ = finished
    copy = place.folder / "copy.yaml"
    copy.write_text(place.tunewright("get", NAME, "-o", "yaml").stdout)
    assert list(YAML(typ="safe").load(copy.read_text())) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert place.tunewright("validate", "copy.yaml").returncode == 0


def test_chat_starts_the_server_answers_and_stops_it(finished):
    place, _ = finished
    said = place.tunewright("chat", NAME, QUESTION)
    assert (said.returncode, said.stdout.strip() != "") == (0, True), said.stderr
    assert place.tunewright("chat", NAME, typed=f"{QUESTION}\n").stdout == said.stdout
    assert place.left_running() == []


def test_a_port_that_another_process_took_is_replaced(finished):
    place, _ = finished
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(status_of(place)["serving"]["url"].rpartition(":")[2])))
        taken.listen()
        said = place.tunewright("chat", NAME, QUESTION)
    assert said.returncode == 0, said.stderr


def test_a_killed_server_is_started_again_and_ctrl_c_ends_serving(finished):
    place, _ = finished
    run = place.start("run", "job.yaml", "--keep-serving", "--ask", QUESTION)
    url = run.until(lambda: re.search(r"serving \S+ at (\S+) until Ctrl-C", run.output))[1]
    before = ask(url)
    (server,) = [process for process in place.processes("tunewright_server") if not {"shim", "template_process"} & set(words_of(process))]
    server.kill()
    run.until(lambda: not psutil.pid_exists(server.pid) or server.status() == psutil.STATUS_ZOMBIE)
    assert run.until(lambda: answers_again(url)) == before
    assert run.send(signal.SIGINT) == 0
    assert place.left_running() == []


def words_of(process: psutil.Process) -> list[str]:
    return re.split(r"[^a-z_]+", " ".join(process.cmdline()))


def ask(url: str) -> str:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=30)
    messages = [{"role": "user", "content": QUESTION}]
    return client.chat.completions.create(model=NAME, messages=messages, max_tokens=16).choices[0].message.content or ""


def answers_again(url: str) -> str:
    try:
        return ask(url)
    except openai.APIError:  # not yet
        return ""


def test_delete_removes_everything_but_the_users_files(finished, tmp_path: Path):
    place, _ = finished
    brought = sorted(path.name for path in place.data.iterdir())
    assert place.tunewright("delete", NAME).returncode == 0
    assert [path for path in place.home.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert sorted(path.name for path in place.data.iterdir()) == brought
    gone = place.tunewright("describe", NAME)
    assert (gone.returncode, "there is no FineTuneJob" in gone.stderr) == (1, True)


def test_after_kill_9_the_next_run_adopts_the_second_gang_and_after_ctrl_c_fewer_workers_resume(place: Workplace):
    """The kills are of a rank and of the command. Workers resume from the newest intact checkpoint."""
    place.write(long_enough)
    run = place.start("run", "job.yaml")
    run.until(lambda: checkpoints(place))
    for process in second_rank(place):
        process.kill()
    run.until(lambda: train_jobs(place) == [f"{NAME}-train-0", f"{NAME}-train-1"] and second_rank(place))
    run.send(signal.SIGKILL)
    assert second_rank(place), "the gang goes on without a supervisor"
    left = step_of(checkpoints(place)[-1])
    again = place.start("run", "job.yaml")
    again.until(lambda: len(checkpoints(place)) >= 2 and step_of(checkpoints(place)[-1]) > left)
    assert again.send(signal.SIGINT) == 130
    assert "tunewright run job.yaml" in again.output
    assert place.left_running() == []
    status = status_of(place)
    assert (status["attempts"], train_jobs(place)) == (2, [f"{NAME}-train-0", f"{NAME}-train-1"]), "nothing was started again"
    assert status["checkpoint"]["resumedFromStep"] >= 2
    logged = place.tunewright("logs", NAME, "--stage", "train", "--all").stdout
    assert {f"{NAME}-train-0-0", f"{NAME}-train-0-1", f"{NAME}-train-1-0", f"{NAME}-train-1-1"} <= set(
        re.findall(rf"^({NAME}-train-\d-\d)", logged, flags=re.MULTILINE)
    )
    *_, previous, newest = checkpoints(place)
    assert step_of(newest) == steps_logged(place)[-1], "what was done was saved"
    weights = newest / "adapter_model.safetensors"
    weights.write_bytes(bytes(byte ^ 0xFF for byte in weights.read_bytes()))

    def alone(spec: dict[str, Any]) -> None:
        long_enough(spec)
        spec["workers"]["replicas"] = 1

    place.write(alone)
    last = place.tunewright("run", "job.yaml")
    assert last.returncode == 0, last.stderr
    status = status_of(place)
    assert (status["phase"], status["plan"]["worldSize"]) == ("Complete", 1)
    assert status["checkpoint"]["resumedFromStep"] == step_of(previous)
    assert "failure" not in status
    assert steps_logged(place) == list(range(1, 41)), "each step once, and as many as with two"
    assert newest.name in place.tunewright("logs", NAME, "--stage", "train", "--all").stdout
    assert place.left_running() == []


def second_rank(place: Workplace) -> list[psutil.Process]:
    """Return the running processes of the gang's second pod, without the one that watches them."""
    found = place.processes("tunewright_trainer", "PET_NODE_RANK=1")
    return [process for process in found if "shim" not in words_of(process)]


@pytest.mark.repeat
def test_a_diverged_run_fails_and_its_model_is_kept_but_not_served(place: Workplace):
    place.write(diverging)
    failed = place.tunewright("run", "job.yaml")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    status = status_of(place)
    assert (status["phase"], status["reason"]) == ("Failed", "ModelRegressed")
    base, tuned = (float(status["evaluation"][which]["loss"]) for which in ("base", "tuned"))
    assert not tuned <= 1.05 * base
    for figure in (status["evaluation"]["base"]["loss"], "tuned model's loss is", "evaluation.allowRegression"):
        assert figure in failed.stderr
    assert len(status["artifacts"]) == 1
    assert place.made("model.onnx"), "the model is kept"
    assert list((place.home / "objects").rglob("Deployment/*.json")) == []
    assert place.left_running() == []


def lines_of(place: Workplace) -> list[bytes]:
    return (place.data / "support-train.jsonl").read_bytes().splitlines(keepends=True)[:64]


def write_lines(place: Workplace, third: bytes) -> None:
    lines = lines_of(place)
    lines[2] = third
    (place.data / "support-train.jsonl").write_bytes(b"".join(lines))


def break_json(place: Workplace) -> None:
    write_lines(place, b'{"messages": [\n')


def lengthen(place: Workplace) -> None:
    write_lines(
        place,
        json.dumps({"messages": [{"role": "user", "content": "more " * 400}, {"role": "assistant", "content": "no"}]}).encode() + b"\n",
    )


def leave_pickle_only(place: Workplace) -> None:
    (place.base / "model.safetensors").rename(place.base / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        pytest.param(break_json, ["support-train.jsonl:3", "JSON"], marks=pytest.mark.repeat),
        pytest.param(lengthen, ["support-train.jsonl:3", "128", "overlongPolicy"]),
        pytest.param(leave_pickle_only, ["pytorch_model.bin", "safetensors"], marks=pytest.mark.repeat),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)  # the data, the tokenized data, the base; more rows are in tests/trainer/test_data.py and tests/trainer/test_check.py
def test_bad_input_is_refused_with_its_way_out_before_training(place: Workplace, spoil, named: list[str]):
    place.write(tiny)
    spoil(place)
    failed = place.tunewright("run", "job.yaml")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    told = failed.stderr.split("The last lines of")[0]
    assert [word for word in named if word not in told] == [], told
    assert "Traceback" not in told
    assert "→" in told, "there is a way out"
    assert train_jobs(place) == []
    assert place.left_running() == []
