"""What pods report, which any trainer image can write: a termination message and progress posts.

To add a case, add a row: the words that status must contain, and the message.
"""

import json
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from child_builders import REVISION, a_job, a_pod, ended
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from plan_builders import quickstart_plan
from pydantic import ValidationError
from ruamel.yaml import YAML
from status_builders import CHECKED, EXPORTED, NOON, TRAINED
from status_builders import a_job as a_fine_tune_job

from tunewright.observe import observe
from tunewright.status import summarise, summarise_defect
from tunewright_contract.progress import ProgressReport
from tunewright_contract.reports import Failure, dump
from tunewright_contract.text import holds_control, one_line, plain

(CRD,) = (Path(__file__).parents[2] / "crds").glob("*.yaml")
SCHEMA = YAML(typ="safe").load(CRD)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
ACCEPTED = Draft202012Validator(SCHEMA)
STAGES = {"checker": CHECKED, "trainer": TRAINED, "exporter": EXPORTED}
NUL, ESC, OVERRIDE = "\x00", "\x1b", "\u202e"


def changed(report: Any, path: str, value: Any) -> str:
    """Return a report of ours in which one value is another."""
    whole = json.loads(dump(report))
    *steps, last = path.split(".")
    place = whole
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = value
    return json.dumps(whole)


def failed(**fields: Any) -> str:
    return json.dumps({"kind": "failure", "reason": "DataInvalid", "message": "line 3"} | fields)


def status_of(*children: Any, progress: Any = None, previous: Any = None) -> dict[str, Any]:
    """Return the status as it is written; assert that the API server would store it, and that no control character is in it."""
    seen = observe(children, revision=REVISION, status=previous)
    status = summarise(a_fine_tune_job(), quickstart_plan(), seen, serving=None, progress=progress, now=NOON, previous=previous).wire()
    assert_stored(status)
    return status


def assert_stored(status: dict[str, Any]) -> None:
    ACCEPTED.validate(status)
    for leaf in leaves(status):
        assert not isinstance(leaf, int) or abs(leaf) < 2**63
        assert not isinstance(leaf, str) or plain(leaf) == leaf
    json.dumps(status, allow_nan=False).encode()


def leaves(value: Any) -> Any:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from leaves(item)
    if not isinstance(value, dict | list):
        yield value


def with_report(component: str, message: str, code: int = 0) -> list[dict[str, Any]]:
    """The children of a job whose stages before `component` went well."""
    children = []
    for stage, report in STAGES.items():
        attempt = 0 if stage == "trainer" else None
        here = stage == component
        ends = ended(code, message, component=stage) if here else ended(0, dump(report), component=stage)
        conditions = ("Failed", "PodFailurePolicy") if here and code else ("Complete", "")
        children += [
            a_job(stage, conditions, attempt=attempt),
            a_pod(stage, attempt=attempt, index=0 if stage == "trainer" else None, **ends),
        ]
        if here:
            break
    return children


DEEP = "[" * 1500 + "]" * 1500
# Words of the message; the stage; what it reported with exit code 0.
SUCCESSES = [
    ("model.parameters: 0:", "checker", changed(CHECKED, "model.parameters", 0)),
    ("model.parameters: -5:", "checker", changed(CHECKED, "model.parameters", -5)),
    ("model.parameters: a whole number of more than 40 digits", "checker", changed(CHECKED, "model.parameters", 10**3000)),
    ("model.parameters: 1e+300:", "checker", changed(CHECKED, "model.parameters", 1e300)),
    ("model.layers: 0:", "checker", changed(CHECKED, "model.layers", 0)),
    ("model.contextLength: None:", "checker", changed(CHECKED, "model.contextLength", None)),
    ("data.sha256: 'ab':", "checker", changed(CHECKED, "data.sha256", "ab")),
    ("data.format: '':", "checker", changed(CHECKED, "data.format", "")),
    ("control characters", "checker", changed(CHECKED, "model.architecture", f"phi{ESC}[2J3")),
    ("data.train.samples: -1:", "checker", changed(CHECKED, "data.train.samples", -1)),
    ("data.train.tokenHistogram: list:", "checker", changed(CHECKED, "data.train.tokenHistogram", [0] * 1000)),
    ("at most 4096 are read", "checker", changed(CHECKED, "warnings", ["w"] * 10_000)),
    ("it is not JSON", "checker", changed(CHECKED, "warnings", float("nan"))),
    ("it is not JSON", "checker", '{"kind": "check", "model": ' + DEEP + "}"),
    ("it is not JSON", "checker", dump(CHECKED)[:-1]),
    ("trainLoss: inf: must be a finite number", "trainer", dump(TRAINED).replace("1.4,", "1e999,")),
    ("it is not JSON", "trainer", dump(TRAINED).replace("1.4,", "NaN,")),
    ("step: -1:", "trainer", changed(TRAINED, "step", -1)),
    ("maxSteps: a whole number", "trainer", changed(TRAINED, "maxSteps", 10**100)),
    ("this stage reports 'train'", "trainer", dump(EXPORTED)),
    ("this stage reports 'check'", "checker", dump(TRAINED)),
    ("it reports the failure DataInvalid: line 3", "checker", failed()),
    ("it reports the failure DataInvalid: [2J", "checker", failed(message=f"{NUL}[2J{OVERRIDE}")),
    ("artifacts: list:", "exporter", changed(EXPORTED, "artifacts", [])),
    ("artifacts.0.path: '../../base':", "exporter", changed(EXPORTED, "artifacts.0.path", "../../base")),
    ("artifacts.0.path: '/etc':", "exporter", changed(EXPORTED, "artifacts.0.path", "/etc")),
    ("artifacts.0.path: 'a//b':", "exporter", changed(EXPORTED, "artifacts.0.path", "a//b")),
    ("artifacts.0.path: 'a\\\\..\\\\b':", "exporter", changed(EXPORTED, "artifacts.0.path", "a\\..\\b")),
    ("artifacts.0.sha256: 'CD", "exporter", changed(EXPORTED, "artifacts.0.sha256", "CD" * 32)),
    ("artifacts.0.bytes: -7:", "exporter", changed(EXPORTED, "artifacts.0.bytes", -7)),
    ("artifacts.0.precision: 'fp0':", "exporter", changed(EXPORTED, "artifacts.0.precision", "fp0")),
    ("artifacts.0.parity.top1Agreement: 1.5:", "exporter", changed(EXPORTED, "artifacts.0.parity.top1Agreement", 1.5)),
    ("evaluation.tuned.loss: inf", "exporter", dump(EXPORTED).replace("1.31,", "1e999,")),
    ("surprise: 'x':", "exporter", changed(EXPORTED, "surprise", "x")),
]


@pytest.mark.parametrize(("words", "component", "message"), SUCCESSES, ids=[f"{row[1]}: {row[0]}" for row in SUCCESSES])
def test_exit_code_0_with_a_report_outside_its_bounds_is_a_failure_that_names_the_field(words, component, message):
    status = status_of(*with_report(component, message))
    assert (status["phase"], status["failure"]["reason"], status["failure"]["stage"]) == ("Failed", "ReportInvalid", component)
    assert words in status["failure"]["message"]
    assert "workers.image" in status["failure"]["suggestion"]
    assert not status.get("artifacts")


@pytest.mark.parametrize("component", STAGES)
@pytest.mark.parametrize("message", ["", "bye\n", f"{ESC}]0;owned\x07{OVERRIDE}bye"], ids=["nothing", "a log", "escape sequences"])
def test_exit_code_0_without_a_report_is_a_failure(component, message):
    status = status_of(*with_report(component, message))
    assert (status["phase"], status["failure"]["reason"], status["failure"]["stage"]) == ("Failed", "ReportMissing", component)
    assert not status.get("artifacts")


# Reason in status; words of the message; the stage; what it reported; exit code.
FAILURES = [
    ("ReportInvalid", "reason: '':", "checker", failed(reason=""), 65),
    ("ReportInvalid", "reason: 'two words':", "checker", failed(reason="two words"), 65),
    ("ReportInvalid", "reason: 'A", "checker", failed(reason="A" * 3000), 65),
    ("ReportInvalid", "reason: 'Serving'", "checker", failed(reason="Serving"), 65),
    ("ReportInvalid", "rank: -1:", "trainer", failed(rank=-1), 65),
    ("ReportInvalid", "rank: a whole number", "trainer", failed(rank=10**3000), 65),
    ("ReportInvalid", "message: None:", "trainer", failed(message=None), 65),
    ("ReportInvalid", "it reports success", "trainer", dump(TRAINED), 65),
    ("ReportInvalid", "it reports success", "exporter", dump(EXPORTED), 70),
    ("DataInvalid", "mmm", "checker", failed(message="m" * 3000), 65),
    ("DataInvalid", "red alert", "checker", failed(message=f"{ESC}[31mred{ESC}[0m{NUL} {OVERRIDE}alert\x9b2J"), 65),
    ("ProcessFailed", "its last output: owned", "checker", f"{ESC}[2Jowned{OVERRIDE}", 1),
]


@pytest.mark.parametrize(("reason", "words", "component", "message", "code"), FAILURES, ids=[f"{row[2]}: {row[1]}" for row in FAILURES])
def test_any_text_of_a_failure_is_shown_in_status(reason, words, component, message, code):
    status = status_of(*with_report(component, message, code))
    assert (status["failure"]["reason"], status["failure"]["stage"]) == (reason, component)
    assert words in status["failure"]["message"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def messages(draw: Any) -> str:
    """Anything: bytes as the kubelet decodes them, JSON, and reports of ours of which a part is something else."""
    kind = draw(st.sampled_from(["bytes", "text", "json", "report"]))
    if kind == "bytes":
        return draw(st.binary(max_size=300)).decode("utf-8", "replace")
    if kind == "text":
        return draw(st.text(st.characters(categories=None), max_size=300))
    if kind == "json":
        return json.dumps(draw(json_values))
    whole = json.loads(dump(draw(st.sampled_from([*STAGES.values(), Failure(reason="DataInvalid", message="line 3", rank=1)]))))
    place = whole
    while True:
        key = draw(st.sampled_from(sorted(place)))
        if draw(st.booleans()) or not isinstance(place[key], dict) or not place[key]:
            place[key] = draw(json_values)
            return json.dumps(whole)
        place = place[key]


@given(messages(), st.sampled_from(list(STAGES)), st.sampled_from([0, 1, 65, 137, 255]))
@settings(max_examples=300, deadline=None)
def test_any_termination_message_gives_a_valid_status(message, component, code):
    status = status_of(*with_report(component, message, code))
    if status["phase"] == "Complete":
        assert status["artifacts"]


metric_values = st.floats().map(str) | st.integers().map(str) | st.text(max_size=20) | st.sampled_from(["1e999", "-5", "1" * 128, "0x1"])
metric_names = st.sampled_from(["global_step", "max_steps", "loss", "checkpoint_step", "resumed_from_step", "tokens_per_second"])


@given(
    st.lists(st.tuples(metric_names, metric_values), max_size=8),
    st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.none(),
    st.integers() | st.none(),
    json_values,
)
@settings(max_examples=300, deadline=None)
def test_any_progress_report_is_refused_or_gives_a_valid_status(metrics, at, left, anything):
    posted = {
        "progressPercentage": 40,
        "estimatedRemainingSeconds": left,
        "metrics": [{"name": name, "value": value} for name, value in metrics],
        "lastUpdatedTime": at.isoformat() if at else None,
        "more": anything,
    }
    try:
        report = ProgressReport.model_validate_json(json.dumps({"trainerStatus": posted}))
    except ValidationError:
        return
    running = [a_job("trainer", attempt=0), *with_report("checker", dump(CHECKED))]
    first = status_of(*running, progress=report)
    second = status_of(*running, progress=ProgressReport.model_validate(json.loads(first_step())), previous=first)
    assert second["progress"]["progressPercentage"] <= 99


def first_step() -> str:
    metrics = [{"name": "global_step", "value": "7"}, {"name": "max_steps", "value": "9"}]
    return json.dumps({"trainerStatus": {"metrics": metrics, "lastUpdatedTime": (NOON + timedelta(seconds=60)).isoformat()}})


# A status that another program, or another version, has stored.
STORED = [
    {"progress": {"step": 1, "lastUpdatedTime": "2026-01-01T10:00:00"}},
    {"progress": {"step": -5, "progressPercentage": 0}},
    {"progress": {"step": 2**62}},
    {"conditions": [{"type": "Ready", "status": "Maybe", "reason": ""}]},
    {"conditions": "none"},
    {"phase": "Dancing"},
    {"artifacts": [{"uri": 5}]},
    {"artifacts": {}, "revision": REVISION},
    {"revision": REVISION, "failure": {"stage": "x" * 300, "reason": "y"}},
    {"warnings": ["w" * 5000]},
]


@pytest.mark.parametrize("stored", STORED, ids=json.dumps)
def test_any_stored_status_is_read_or_ignored(stored):
    report = ProgressReport.model_validate_json(first_step())
    running = [a_job("trainer", attempt=0), *with_report("checker", dump(CHECKED))]
    assert status_of(*running, progress=report, previous=stored)["phase"] == "Training"
    assert_stored(summarise_defect(RecursionError("deep\x1b[2J"), generation=1, now=NOON, previous=stored).wire())


# The text; what is left of it for a terminal, a condition or a log.
TEXTS = [
    ("plain", "plain"),
    ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ("naïve 漢字 עברית 🎉 e\u0301", "naïve 漢字 עברית 🎉 e\u0301"),
    ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x9b2Jc1", "c1"),
    ("\x9d0;title\x9ctext", "text"),
    ("\x1bPq\x1b\\sixel", "sixel"),
    ("\x1b(0lqk\x1bc", "lqk"),
    ("a\x00b\x07c\x08d\x7fe", "abcde"),
    ("good\rbad", "good\nbad"),
    ("one\r\ntwo\x0bthree\x85four\u2028five", "one\ntwo\nthree\nfour\nfive"),
    ("user\u202egpj.exe", "usergpj.exe"),
    ("\u2066isolate\u2069\u200e\u061c", "isolate"),
    ("tag\U000e0041s \ufeffmark", "tags mark"),
    ("lone \ud83d surrogate", "lone  surrogate"),
    ("\x1b", ""),
    ("\x1b]never ends", "never ends"),
]


@pytest.mark.parametrize(("text", "left"), TEXTS, ids=[repr(row[0]) for row in TEXTS])
def test_control_characters_are_removed_from_text(text, left):
    assert plain(text) == left
    assert holds_control(text) == (left != text or "\n" in text)


@given(st.text(st.characters(categories=None), max_size=200))
@settings(deadline=None)
def test_plain_text_can_be_encoded_and_is_not_changed(text):
    found = plain(text)
    assert plain(found) == found
    assert not any(ord(character) < 32 and character not in "\n\t" for character in found)
    found.encode()
    assert len(one_line(text, 40)) <= 40
    assert "\n" not in one_line(text, 40)
