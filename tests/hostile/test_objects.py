"""Objects that the API server has let in: none of them ends the operator, each is reported, and all others are served.

To add a case, add a row: to `poison.py` for what the real API server stores, to the tables here for what no real one sends.
"""

import json

import kopf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from poison import CONFIGS, LISTS, READABLE, job_text, store, stored
from waiting import until

from tunewright.kube.kinds import SCHEME
from tunewright.observe.raw import UNREADABLE
from tunewright.shell.session import session_of
from tunewright_runtime.decoding import JsonDecoder

DECODER = JsonDecoder(SCHEME)
META = '"metadata": {"name": "a", "namespace": "demo", "uid": "u", "resourceVersion": "5"}'
GOOD = '{"metadata": {"name": "good", "namespace": "demo", "uid": "g", "resourceVersion": "6"}, "spec": {"a": ["]", "\\\\", "\\""]}}'
# Why an object cannot be read; what stands in its spec.
UNREADABLES = [
    ("nests deeper than 64 levels", LISTS),
    ("nests deeper than 64 levels", '{"a":' * 5000 + "1" + "}" * 5000),
    ("nests deeper than 64 levels", "[" * 40_000 + "]" * 40_000),
    ("nests deeper than 64 levels", '["\\\\\\"[", ' + LISTS + "]"),
    ("more than 100000 brackets and commas", "[" + "0," * 100_000 + "0]"),
    ("more than 100000 brackets and commas", "[" + "{}," * 50_000 + "{}]"),
    ("limit", "9" * 5000),
    ("not finite", "1e999"),
    ("not finite", "[-1e999]"),
    ("not finite", "NaN"),
    ("not finite", "Infinity"),
    ("surrogates not allowed", '"\\ud800"'),
    ("surrogates not allowed", '{"\\uDC00": 1}'),
    ("Expecting", "[1 2]"),
]
IDS = [f"{why}: {text[:20]}" for why, text in UNREADABLES]


@pytest.mark.parametrize(("why", "text"), UNREADABLES, ids=IDS)
def test_the_readable_part_of_an_object_is_kept(why, text):
    found = DECODER.decode_object(f'{{"kind": "FineTuneJob", {META}, "spec": {text}, "status": {{"phase": "Serving"}}}}'.encode())
    assert why in found[UNREADABLE]
    assert "replace its spec" in found[UNREADABLE]
    assert (found["kind"], found["metadata"]["uid"], found["status"]) == ("FineTuneJob", "u", {"phase": "Serving"})
    assert "spec" not in found
    json.dumps(found).encode()


@pytest.mark.parametrize(
    "around", ['"kind": "FineTuneJobList", "metadata": {"continue": "c"}, "items": [%s]', '"items":[ %s ] , "metadata":{"continue":"c"}']
)
@pytest.mark.parametrize(("why", "text"), UNREADABLES, ids=IDS)
def test_one_object_of_a_list_never_hides_the_others(why, text, around):
    bad = f'{{{META}, "spec": {text}}}'
    found = DECODER.decode_list(("{" + around % f"{GOOD}, {bad}, {GOOD}" + "}").encode())
    assert [item["metadata"]["name"] for item in found["items"]] == ["good", "a", "good"]
    assert [why in item.get(UNREADABLE, "") for item in found["items"]] == [False, True, False]
    assert found["items"][2]["spec"] == {"a": ["]", "\\", '"']}
    assert found["metadata"] == {"continue": "c"}


def test_an_object_without_a_readable_name_is_left_out(caplog):
    nameless = f'{{"metadata": {{"name": {LISTS}, "namespace": "demo"}}, "spec": 1}}'
    assert [
        item["metadata"]["name"] for item in DECODER.decode_list(f'{{"items": [{nameless}, {GOOD}], "metadata": {{}}}}'.encode())["items"]
    ] == ["good"]
    assert "no readable name" in caplog.text


def test_deep_managed_fields_do_not_affect_other_fields():
    deep = '{"metadata": {"name": "a", "managedFields": [' + '{"f:a":' * 900 + "{}" + "}" * 900 + '], "uid": "u"}, "spec": {"b": 1}}'
    found = DECODER.decode_object(deep.encode())
    assert (found["metadata"], found["spec"]) == ({"name": "a", "uid": "u"}, {"b": 1})


@pytest.mark.parametrize("text", [GOOD, f'{{{META}, "spec": {{"a": "\\ud83d\\ude00", "n": 12345678901234567890}}}}'])
def test_a_readable_event_is_read_as_it_is(text):
    line = f'{{"type":"ADDED","object":{text}}}'.encode()
    assert DECODER.decode_event(line) == json.loads(line)


@pytest.mark.parametrize(("why", "text"), UNREADABLES)
def test_an_event_of_an_unreadable_object_has_its_readable_part(why, text):
    event = DECODER.decode_event(f'{{"type":"MODIFIED","object":{{{META}, "spec": {text}}}}}'.encode())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("MODIFIED", "a")
    assert why in event["object"][UNREADABLE]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(values, values, st.sampled_from([None, 1]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_readable_object_is_read_beside_unreadable_ones(spec, other, indent, escaped):
    items = [
        {"metadata": {"name": name, "namespace": "d", "uid": name, "resourceVersion": "1"}, "spec": what}
        for name, what in (("a", spec), ("b", other))
    ]
    text = json.dumps({"items": ["HERE", *items], "metadata": {}}, indent=indent, ensure_ascii=escaped)
    bad = f'{{{META}, "spec": {LISTS}}}'
    found = DECODER.decode_list(text.replace('"HERE"', bad).encode())
    assert found["items"][1:] == items
    assert UNREADABLE in found["items"][0]


@given(values, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=200, deadline=None)
def test_a_readable_object_is_read_as_python_reads_it(spec, escaped, indent):
    line = json.dumps({"type": "ADDED", "object": {"metadata": {"name": "a"}, "spec": spec}}, indent=indent, ensure_ascii=escaped).encode()
    assert DECODER.decode_event(line) == json.loads(line)
    assert DECODER.decode_object(line) == json.loads(line)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_bytes_that_are_not_an_object_are_refused_without_a_crash(data):
    try:
        found = DECODER.decode_object(data)
    except ValueError:
        return
    assert isinstance(found, dict)


def test_the_operator_serves_all_others(scene):
    """Stored before it starts, and while it watches; it ends with code 0 after SIGTERM."""
    for name, config in (CONFIGS | READABLE).items():
        store(scene, job_text(name, config))
    with scene.operator as operator:
        scene.create_job("good")
        scene.reaches("Checking", "good")
        for name in CONFIGS:
            until(lambda name=name: "status" in stored(scene, name) and stored(scene, name)["status"].get("reason"), f"{name} is reported")
            status = stored(scene, name)["status"]
            assert (status["phase"], status["reason"]) == ("Failed", "InvalidSpec"), status
            assert (
                "cannot be read: it nests deeper than 64" in status["message"]
                or "more than 100000 brackets and commas" in status["message"]
            )
        for name in READABLE:
            until(lambda name=name: stored(scene, name).get("status", {}).get("reason"), f"{name} is reported")
        store(scene, job_text("late", CONFIGS["deep-lists"]))
        scene.create_job("later")
        scene.reaches("Checking", "later")
        until(lambda: stored(scene, "late").get("status", {}).get("reason") == "InvalidSpec", "the late one is reported")
        assert operator.get("/livez") == 200
        assert operator.stop() == 0
        operator.start()
        assert operator.stop() == 0
    assert "Traceback" not in operator.log.read_text()


async def test_a_repeated_login_with_refused_credentials_is_equal_to_the_old_one():
    """kopf ends if a login returns credentials that were refused before. With sessions that differ, it would log in without end."""
    same, too, other = (
        session_of(kopf.ConnectionInfo(server="https://x", token=token), page=1, take=lambda *_: None) for token in ("a", "a", "b")
    )
    assert same == too
    assert same != other
    for made in (same, too, other):
        await made.aiohttp_session.close()
