"""`tunewright` on real pods: each command that a user types, from `run` in the cluster to `delete`. Where one API server suffices, the
tests of tests/command_line cover rights, refusals and output."""

import json
from pathlib import Path

import pytest
from cluster_commands import User
from on_pods import EXAMPLES, QUICKSTART, QUICKSTART_JOB, WRONG_LINE, of, quickstart, short
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.repeat, pytest.mark.timeout(1800)]

QUESTION = "Hi, I would like two large oat lattes to go. My name is Jean."


@pytest.fixture(scope="module")
def user(node, desk, tmp_path_factory) -> User:
    return User(kubeconfig=node.kubeconfig, namespace=desk.namespace, home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def here(user) -> tuple[str, ...]:
    """The options that select the cluster and the namespace."""
    return ("tunewright", "--kubeconfig", str(user.kubeconfig), "--namespace", user.namespace)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("get", QUICKSTART_JOB), ("Serving", "100")),
        (("describe", QUICKSTART_JOB), ("Deployed", "loss", "Events")),
        (("logs", QUICKSTART_JOB, "--stage", "check"), ("the int8 export of the small model agrees",)),
        (("logs", QUICKSTART_JOB, "--stage", "train", "--rank", "1"), ("rank",)),
        (("logs", QUICKSTART_JOB, "--stage", "serve"), ("model",)),
        (("chat", QUICKSTART_JOB, QUESTION), ("Jean",)),
        (("plan", str(QUICKSTART)), ("kind: FineTuneJob", "memory")),
    ],
    ids=lambda value: " ".join(value)[:60],
)
def test_a_command_about_a_served_job_prints(served, user, here, command, shown):
    done = user.run(*here, *command)
    assert done.returncode == 0, done.stderr
    assert [words for words in shown if words not in done.stdout + done.stderr] == []


def test_run_applies_a_manifest_and_follows_it_while_it_is_suspended_and_resumed(desk, user, here, tmp_path):
    spec = short(quickstart())
    spec["training"] |= {"maxSteps": 60}
    manifest = written(tmp_path, "typed", spec)
    running = user.start(*here, "run", str(manifest))
    desk.until("typed", lambda status: status.get("progress", {}).get("step", 0) >= 5, "some steps")
    assert user.run(*here, "suspend", "typed").returncode == 0
    saved = desk.until_phase("typed", "Suspended")["checkpoint"]["step"]
    assert user.run(*here, "resume", "typed").returncode == 0

    printed, errors = running.communicate(timeout=900)
    assert running.returncode == 0, printed + errors
    done = desk.status("typed")
    assert (done["phase"], done["checkpoint"]["resumedFromStep"], done["attempts"]) == ("Complete", saved, 1)
    assert user.run(*here, "delete", "typed", "--yes").returncode == 0
    assert desk.get("finetunejob", "typed") is None


def test_retry_runs_a_failed_check_again_after_its_file_is_corrected(node, desk, user, here, tmp_path):
    (volume,) = (node.own.folder / "volumes").glob("*/wrong")
    wrong, lines = volume / "train.jsonl", (EXAMPLES / "data" / "support-train.jsonl").read_text(encoding="utf-8").splitlines()[:50]
    spec = short(quickstart())
    spec["training"] |= {"maxSteps": 5}
    spec["data"] = {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "wrong/train.jsonl"}}, "format": "messages"}]}
    spec["output"] |= {"storage": {"retain": False}, "onnx": {"precision": "fp32"}}
    refused = user.run(*here, "run", str(written(tmp_path, "corrected", spec)))
    assert (refused.returncode, f"train.jsonl:{WRONG_LINE}: not JSON" in refused.stdout + refused.stderr) == (1, True)

    before = wrong.read_text(encoding="utf-8")
    wrong.write_text("\n".join(lines), encoding="utf-8")
    try:
        assert user.run(*here, "retry", "corrected").returncode == 0
        until(lambda: desk.status("corrected")["phase"] != "Failed", "the check runs again")
        assert desk.until_phase("corrected", "Complete")["progress"]["step"] == 5
    finally:
        wrong.write_text(before, encoding="utf-8")
    assert len(desk.all("jobs", of("corrected", "checker"))) == 1
    assert user.run(*here, "delete", "corrected", "--yes").returncode == 0


def written(folder: Path, name: str, spec: dict) -> Path:
    """Write a manifest."""
    job = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}, "spec": spec}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path
