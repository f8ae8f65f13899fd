"""User errors: one line with the cause, a way out, an exit code, and no traceback."""

import os
from pathlib import Path

import pytest
from stored_jobs import FAILED, QUICKSTART, SERVING, TRAINING, make_raw

from tunewright.local.app import utc_now
from tunewright.local.supervisor import hold

NAMED = [["get"], ["describe"], ["logs"], ["chat"], ["delete"]]


def told(ended, code: int, *words: str) -> None:
    assert ended.exit_code == code, ended.output
    assert [word for word in words if word not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.output
    assert ended.stdout == ""


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 1, ["No such file", "examples/quickstart.yaml"]),
        (b"\xff\xfea: 1", 64, ["byte 0 is not UTF-8", "Save the manifest as UTF-8"]),
        (b"", 64, ["job.yaml:1:1:", "no document", "examples/"]),
        (b"a: [1\n", 64, ["job.yaml:2:1:", "malformed YAML"]),
        (b"- 1\n", 64, ["job.yaml:1:1:", "no map of fields"]),
        (b"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", 64, ["job.yaml:2:1: kind", "'Pod'", "FineTuneJob"]),
        (b"a: 1\n---\nb: 2\n", 64, ["job.yaml:2:1:", "one FineTuneJob per file"]),
    ],
    ids=["missing", "not UTF-8", "empty", "broken", "a list", "a Pod", "two documents"],
)
def test_every_command_refuses_a_file_that_is_not_a_manifest(call, tmp_path: Path, *, command: str, content, code: int, words):
    path = tmp_path / "job.yaml"
    if content is not None:
        path.write_bytes(content)
    told(call(command, str(path)), code, *words)


def test_for_a_folder_the_manifests_in_it_are_named(call, manifest):
    path = manifest("a: 1")
    told(call("run", str(path.parent)), 1, "is a folder", "job.yaml")


@pytest.mark.parametrize("command", NAMED, ids=lambda value: value[0])
@pytest.mark.parametrize(
    ("existing", "name", "hint"),
    [
        ([], "support-bot", "tunewright run MANIFEST"),
        (["support-bot", "other"], "suport-bot", "Did you mean support-bot?"),
        (["support-bot", "other"], "xyz", "There are: other, support-bot"),
    ],
    ids=["none", "misspelt", "unlike any"],
)
def test_an_unknown_name_gets_a_hint(call, stored, *, command, existing: list[str], name: str, hint: str):
    for job in existing:
        stored(raw=make_raw(job))
    told(call(*command, name), 1, f"no FineTuneJob {name} in namespace default", hint)


def test_a_job_of_another_namespace_is_named(call, stored):
    stored(raw=make_raw(namespace="team-a"))
    told(call("describe", "support-bot"), 1, "add -n team-a")


@pytest.mark.parametrize("command", [["run", str(QUICKSTART)], ["delete", "support-bot"]], ids=["run", "delete"])
def test_a_job_that_another_process_runs_is_refused(call, home, stored, command):
    key = home.apply(_quickstart(), QUICKSTART.parent)
    with hold(home.layout, *key, now=utc_now()):
        told(call(*command), 1, f"is being run by process {os.getpid()}", "press Ctrl-C there")
    assert home.job(key)


@pytest.mark.parametrize(
    ("place", "words"),
    [("file", ["Not a directory", "--home"]), ("/proc/nothing", ["cannot use /proc/nothing", "--home"])],
    ids=["a file", "not writable"],
)
def test_an_unusable_home_folder_is_named(call, tmp_path: Path, place: str, words):
    (tmp_path / "file").write_text("")
    told(call("run", str(QUICKSTART), "--home", str(tmp_path / place)), 1, *words)


def test_a_corrupt_stored_object_is_named(call, home, stored):
    stored()
    (home.layout.objects / "default" / "FineTuneJob" / "support-bot.json").write_text("{")
    told(call("get"), 1, "support-bot.json is not JSON", "Remove the file")


def test_a_folder_with_an_objects_name_is_named(call, home, stored):
    stored()
    (home.layout.objects / "default" / "FineTuneJob" / "other.json").mkdir()
    told(call("get"), 1, "other.json: Is a directory")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw["spec"].update(task="TextGeneration"), ["spec.task"]),
        (lambda raw: raw["spec"]["workers"].update(acceleratorMemory="8Gi"), ["spec.workers.acceleratorMemory"]),
        (lambda raw: raw["spec"]["model"]["source"].update(path="other"), ["spec.model"]),
    ],
    ids=["task", "accelerator memory", "model"],
)
def test_changed_inputs_of_a_job_are_refused(call, home, tmp_path: Path, change, words):
    raw = _quickstart()
    change(raw)
    key = home.apply(raw, QUICKSTART.parent)
    before = home.job(key)
    told(call("run", str(QUICKSTART)), 64, *words, "another metadata.name", "tunewright delete support-bot")
    assert home.job(key) == before


def test_a_stored_job_in_an_unsupported_format_can_be_deleted(call, home):
    raw = _quickstart()
    raw["spec"]["task"] = "Juggling"
    home.apply(raw, QUICKSTART.parent)
    told(call("run", str(QUICKSTART)), 1, "no longer supported", "tunewright delete support-bot")
    assert call("delete", "support-bot").exit_code == 0


@pytest.mark.parametrize(
    ("status", "spec", "code", "words"),
    [
        (None, {}, 1, ["phase Pending", "tunewright run MANIFEST"]),
        (TRAINING, {}, 1, ["phase Training", "tunewright run MANIFEST"]),
        (FAILED, {}, 1, ["has failed: chat.jsonl, line 3", "tunewright describe support-bot"]),
        (SERVING, {"serving": None}, 64, ["requests no server", "serving: {replicas: 1}"]),
        (SERVING, {"serving": {"replicas": 0}}, 64, ["requests no server"]),
    ],
    ids=["new", "training", "failed", "no serving", "no replicas"],
)
def test_chat_reports_why_there_is_no_server(call, stored, *, status, spec, code: int, words):
    raw = make_raw()
    raw["spec"] |= spec
    raw["spec"] = {name: value for name, value in raw["spec"].items() if value is not None}
    stored(status, raw)
    told(call("chat", "support-bot", "hello"), code, *words)


def test_chat_with_an_unfinished_job_names_its_process(call, home, stored):
    key = stored(TRAINING)
    with hold(home.layout, *key, now=utc_now()):
        told(call("chat", "support-bot", "hello"), 1, f"Process {os.getpid()} runs it; wait for it.")


def test_chat_with_a_server_that_does_not_answer_names_its_url(call, home, stored):
    key = stored({**SERVING, "serving": {"url": "http://127.0.0.1:9"}})
    with hold(home.layout, *key, now=utc_now()):
        told(call("chat", "support-bot", "hello"), 1, "no answer from http://127.0.0.1:9")


def test_logs_of_a_job_without_output_name_describe(call, stored):
    stored()
    told(
        call("logs", "support-bot", "--stage", "train", "--rank", "1"),
        1,
        "printed nothing in train as rank 1",
        "tunewright describe support-bot",
    )


def _quickstart():
    from tunewright.api.yaml_nodes import read_document

    return dict(read_document(QUICKSTART.read_text()).value)
