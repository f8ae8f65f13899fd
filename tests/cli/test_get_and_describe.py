"""Jobs as columns, as YAML and JSON, and as a page."""

import io
import json
import re

import pytest
from ruamel.yaml import YAML
from stored_jobs import FAILED, SERVING, TRAINING, make_raw

from tunewright.api.admission import read_job
from tunewright.api.yaml_nodes import read_document
from tunewright.cli.listing import dump
from tunewright.local.app import utc_now
from tunewright.local.supervisor import hold


def cells(line: str) -> list[str]:
    return re.split(r" {3,}", line)


def load(text: str):
    return YAML(typ="safe").load(io.StringIO(text))


def test_without_jobs_the_home_folder_is_named(call, home):
    ended = call("get")
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert str(home.layout.home) in ended.stderr


@pytest.mark.parametrize(
    ("status", "row"),
    [
        (None, ["support-bot", "Stopped", "-", "-", "-", "False", "-"]),
        (TRAINING, ["support-bot", "Stopped", "25%", "2.51", "-", "False", "-"]),
        (SERVING, ["support-bot", "Stopped", "100%", "1.4", "-", "False", "-"]),
        (FAILED, ["support-bot", "Failed", "-", "-", "-", "Unknown", "-"]),
    ],
    ids=["new", "interrupted", "server stopped", "failed"],
)
def test_an_unfinished_job_without_a_process_is_stopped(call, stored, status, row: list[str]):
    stored(status)
    head, line = call("get").stdout.splitlines()
    assert cells(head) == ["NAME", "PHASE", "PROGRESS", "LOSS", "ETA", "READY", "PROCESS", "AGE"]
    assert cells(line)[:-1] == row


@pytest.mark.parametrize(
    ("status", "row"),
    [
        (TRAINING, ["support-bot", "Training", "25%", "2.51", "2 min 05 s", "False"]),
        (SERVING, ["support-bot", "Serving", "100%", "1.4", "-", "True"]),
    ],
    ids=["training", "serving"],
)
def test_a_job_with_a_process_shows_its_phase_and_process(call, stored, home, status, row: list[str]):
    key = stored(status)
    with hold(home.layout, *key, now=utc_now()) as lease:
        line = call("get").stdout.splitlines()[1]
    assert cells(line)[:-1] == [*row, str(lease.holder.pid)]


def test_wide_columns_are_never_wrapped(call, stored):
    stored(SERVING, make_raw(model={"source": {"path": "a/" + "very-long/" * 20 + "folder"}}))
    head, line = call("get", "-o", "wide").stdout.splitlines()
    assert cells(head)[-5:] == ["MODEL", "WORKERS", "ZERO", "ENDPOINT", "REASON"]
    assert cells(line)[-4:] == ["2", "2", "http://127.0.0.1:20001", "Serving"]
    assert head.index("WORKERS") == line.index("   2  ") + 3


def test_jobs_of_several_namespaces_show_theirs(call, stored):
    stored()
    stored(raw=make_raw("other", "team-a"))
    assert [cells(line)[:2] for line in call("get").stdout.splitlines()] == [
        ["NAMESPACE", "NAME"],
        ["default", "support-bot"],
        ["team-a", "other"],
    ]
    assert [cells(line)[0] for line in call("get", "-n", "team-a").stdout.splitlines()] == ["NAME", "other"]


def test_yaml_output_is_a_manifest_in_the_usual_order(call, stored):
    stored(SERVING)
    text = call("get", "support-bot", "-o", "yaml").stdout
    shown = load(text)
    assert list(shown) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert shown["status"] == json.loads(call("get", "support-bot", "-o", "json").stdout)["status"] == SERVING
    assert read_job(text, "job.yaml").metadata.name == "support-bot"


@pytest.mark.parametrize(
    "word", ["no", "y", "on", "010", "1:30", "2e-4", "1_000", "null", "~", "2026-01-01", "", "0x1f", "=", " x", "a: b", "# c", "two\nlines"]
)
def test_texts_that_yaml_could_read_as_another_type_are_quoted(word: str):
    text = dump({"spec": {"word": word}}, style="yaml")
    for version in ((1, 1), (1, 2)):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        assert yaml.load(text) == {"spec": {"word": word}}
    assert read_document(text).problems == []


@pytest.mark.parametrize("style", ["yaml", "json"])
def test_several_jobs_are_a_list_as_kubectl_prints_it(call, stored, style: str):
    stored()
    stored(raw=make_raw("other"))
    shown = load(call("get", "-o", style).stdout)
    assert (shown["apiVersion"], shown["kind"], [item["metadata"]["name"] for item in shown["items"]]) == (
        "v1",
        "List",
        ["other", "support-bot"],
    )


def test_describe_shows_every_section(call, stored, home):
    key = stored(SERVING)
    home.store.create(
        {
            "kind": "Pod",
            "metadata": {"name": "support-bot-serve-x", "ownerReferences": [{"uid": home.job(key)["metadata"]["uid"]}]},
            "spec": {},
        }
    )
    page = call("describe", "support-bot").stdout
    expected = {
        "name": "support-bot",
        "phase": "Stopped",
        "process": "none; `tunewright chat support-bot` starts its server",
        "revision": "3f9a1c2b00",
        "warning": "2 of 3000 examples are longer than maxLength",
        "  zeroStage": "2",
        "  estimatedBytesPerRank": "50.0 MiB",
        "  url": "http://127.0.0.1:20001",
        "  exactMatch": "0.42",
        "  bytes": "7.50 MiB",
        "  top1Agreement": "0.998",
        "  Pod": "support-bot-serve-x",
    }
    pairs = dict(re.findall(r"^( *[\w]+) {2,}(.+)$", page, flags=re.MULTILINE))
    assert {name: pairs.get(name) for name in expected} == expected
    titles = re.findall(r"^(?=[A-Z])(.+)$", page, flags=re.MULTILINE)
    assert titles == [
        "Conditions",
        "Plan",
        "Progress",
        "Serving",
        "Evaluation of the base model",
        "Evaluation of the tuned model",
        "Artifact",
        "Children",
    ]
    assert re.search(r"^  Ready +True +Serving +2026-01-01T12:00:00Z +the model answers$", page, flags=re.MULTILINE)


def test_describe_shows_why_a_job_failed_and_the_way_out(call, stored):
    stored(FAILED)
    page = call("describe", "support-bot").stdout
    assert re.search(
        r"Failure\n +stage +check\n +reason +BadData\n +message +chat.jsonl, line 3: not JSON\n +suggestion +correct the line", page
    )
    assert re.search(r"^process +none$", page, flags=re.MULTILINE)


def test_describe_of_an_interrupted_job_names_the_command_to_resume(call, stored):
    stored(TRAINING)
    assert "none; `tunewright run MANIFEST` resumes from the last good checkpoint" in call("describe", "support-bot").stdout
