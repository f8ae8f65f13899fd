"""The cache after events in any order: it has the newest version of each object once, and no deleted one."""

import json
import random
import re
import tracemalloc
from uuid import uuid4

import pytest
from golden import GOLDEN
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tunewright.kube.kinds import new_cache, trimmed
from tunewright_runtime.cache import KEPT_OPEN, REMEMBERED_DELETIONS
from tunewright_runtime.objects import ObjectRef

UID = "u1"
CHECK = ObjectRef("Job", "demo", "bot-check")


def job(version=1, *, uid=UID, **meta):
    return {
        "kind": "FineTuneJob",
        "metadata": {"namespace": "demo", "name": "bot", "uid": uid, "resourceVersion": str(version), **meta},
        "spec": {"v": version},
    }


def child(version=1, *, kind="Job", name="bot-check", of=UID, **more):
    labels = {"tunewright.io/job-uid": of} if of else {}
    owner = {"kind": "FineTuneJob", "name": "bot", "uid": of, "controller": True}
    meta = {"namespace": "demo", "name": name, "uid": f"c{version}", "resourceVersion": str(version), "labels": labels}
    return {"kind": kind, "metadata": meta | {"ownerReferences": [owner]}, "spec": {"v": version}, **more}


def orphan():
    """A child that lost its owner: only its labels name it."""
    made = child()
    labels = made["metadata"]["labels"] | {"tunewright.io/job-name": "bot"}
    return made | {"metadata": {**made["metadata"], "labels": labels, "ownerReferences": []}}


def test_an_object_that_was_read_never_changes():
    cache = new_cache()
    assert cache.put(job())
    assert cache.put(child())
    found = cache.primary(("demo", "bot"))
    assert found == job() | {"apiVersion": "tunewright.io/v1alpha1"}
    cache.put(job(2))
    assert (found["spec"], cache.primary(("demo", "bot"))["spec"]) == ({"v": 1}, {"v": 2})
    assert [item["spec"] for item in cache.children(UID)] == [{"v": 1}]
    assert (cache.primary_keys(), cache.size()) == ([("demo", "bot")], 2)
    assert (cache.owner_at(CHECK), cache.owner_at(ObjectRef("Job", "demo", "other"))) == (("demo", "bot"), None)


def test_jobs_are_found_by_the_name_of_their_primary_object_until_they_are_deleted():
    cache = new_cache()
    cache.put(orphan())
    cache.put(child(2, name="other"))
    cache.put(child(3, kind="Pod", name="pod"))
    assert [item["metadata"]["name"] for item in cache.named("Job", "demo", "bot")] == ["bot-check"]
    assert cache.named("Job", "elsewhere", "bot") == []
    unnamed = child(4)
    cache.put(unnamed)
    assert cache.named("Job", "demo", "bot") == []
    cache.put(orphan() | {"metadata": orphan()["metadata"] | {"resourceVersion": "5"}})
    cache.remove(CHECK, 6)
    assert cache.named("Job", "demo", "bot") == []


def test_large_objects_unlike_the_first_are_kept_completely():
    cache = new_cache()
    large = {name: child(name=name, data={"text": name * 50_000 + "é"}) for name in ("a", "b")}
    for item in large.values():
        cache.put(item)
    assert [item["data"] for item in cache.children(UID)] == [item["data"] for item in large.values()]


def test_many_jobs_take_a_fraction_of_their_json():
    """What they have in common, their shape and the words in it, is kept once."""
    texts = [json.dumps(item) for item in YAML(typ="safe").load_all(GOLDEN / "exporting-hub.yaml")]
    (uid,) = set(re.findall(r'job-uid": "([^"]+)', "".join(texts)))
    cache = new_cache()

    def fill(name: str) -> int:
        renamed = [text.replace("phi3", name).replace(uid, str(uuid4())) for text in texts]
        for text in renamed:
            item = json.loads(text)
            cache.put(item | {"metadata": item["metadata"] | {"uid": str(uuid4()), "resourceVersion": "1000"}})
        return sum(map(len, renamed))

    tracemalloc.start()
    try:
        for number in range(50):  # then as many objects are open as there ever are
            fill(f"a{number:03d}")
        before = tracemalloc.get_traced_memory()[0]
        text = sum(fill(f"b{number:03d}") for number in range(50))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert cache.size() == 100 * len(texts)
    assert taken / text < 0.42  # it is 0.38


@pytest.mark.parametrize(
    ("expected", "news", "words"),
    [
        pytest.param(2, [True, True], [child(1), child(2)], id="newer"),
        pytest.param(2, [True, False], [child(2), child(1)], id="older"),
        pytest.param(2, [True, False], [child(2), child(2)], id="told twice"),
        pytest.param(10, [True, True], [child(9), child(10)], id="versions are numbers"),
        pytest.param(None, [True, True, False], [child(1), 2, child(1)], id="gone, then an older word"),
        pytest.param(3, [True, True, True], [child(1), 2, child(3)], id="gone and made again"),
        pytest.param(3, [True, False], [child(3), 2], id="an older deletion"),
        pytest.param(None, [False, False], [2, child(1)], id="gone before it was seen"),
        pytest.param(None, [True, True], [child(1), child(2, of="")], id="it lost its label"),
        pytest.param(None, [False], [child(1, of="")], id="it never had one"),
    ],
)
def test_the_newest_version_counts(expected, news, words):
    cache = new_cache()
    assert [cache.remove(CHECK, word) if isinstance(word, int) else cache.put(word) for word in words] == news
    found = cache.get(CHECK)
    assert (found and found["spec"]["v"]) == expected
    assert len(cache.children(UID)) == (expected is not None)


def test_a_change_of_unread_fields_only_updates_the_version():
    cache = new_cache()
    cache.put(child(1, status={"active": 1}))
    news = child(1, status={"active": 1, "ready": 1, "uncountedTerminatedPods": {"succeeded": ["p"]}})
    news["metadata"]["resourceVersion"] = "2"
    assert not cache.put(news)
    assert cache.get(CHECK)["metadata"]["resourceVersion"] == "2"
    assert not cache.put(child(1, status={"active": 0}))  # older
    assert cache.put(child(3, status={"active": 0}))


def test_more_objects_than_are_kept_open_can_be_read():
    cache = new_cache()
    names = [f"p{number}" for number in range(KEPT_OPEN + 50)]
    for name in names:
        cache.put(child(kind="Pod", name=name))
    for _ in range(2):
        assert [item["metadata"]["name"] for item in cache.children(UID)] == names


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_matter(words, chance: random.Random):
    """A version tells one thing only, so words about it that differ cannot be."""
    words = list({version: (there, version) for there, version in words}.values())
    newest = max((version, there) for there, version in words) if words else (0, False)
    chance.shuffle(words)
    cache = new_cache()
    for there, version in words:
        if there:
            cache.put(child(version))
        else:
            cache.remove(CHECK, version)
    found = cache.get(CHECK)
    assert (found["spec"]["v"] if found else 0) == (newest[0] if newest[1] else 0)
    assert cache.size() == len(cache.children(UID)) == newest[1]


def test_a_claim_that_another_job_adopts_changes_its_owner():
    cache = new_cache()
    cache.put(child(1))
    cache.put(child(2, of="u2"))
    assert (len(cache.children(UID)), len(cache.children("u2"))) == (0, 1)


def test_the_owner_of_a_child():
    cache = new_cache()
    assert cache.owner_of(child()) is None  # its job was not seen yet
    cache.put(job(uid="u2"))
    assert cache.owner_of(child()) == ("demo", "bot")  # the new job of that name waits for its deletion
    assert cache.owner_of(child(of="u2")) == ("demo", "bot")
    assert cache.owner_of(orphan()) == ("demo", "bot")
    cache.put(orphan())
    assert cache.owner_at(CHECK) == ("demo", "bot")
    assert cache.owner_of({"metadata": {"namespace": "demo", "name": "x", "labels": None}}) is None
    cache.remove(ObjectRef("FineTuneJob", "demo", "bot"), 5)
    assert cache.owner_of(child(of="u2")) is None


def test_only_the_latest_deletions_are_kept():
    cache = new_cache()
    for number in range(REMEMBERED_DELETIONS + 1):
        cache.remove(ObjectRef("Pod", "demo", f"p{number}"), 5)
    assert cache.version(ObjectRef("Pod", "demo", "p0")) == 0
    assert cache.version(ObjectRef("Pod", "demo", "p1")) == 5


def test_versions_of_one_kind():
    cache = new_cache()
    cache.put(job(4))
    cache.put(child(3))
    assert list(cache.versions("Job")) == [(CHECK, 3)]


APPLIED = {"manager": "tunewright", "operation": "Apply", "fieldsV1": {"f:data": {}}}
STATUS = {"manager": "tunewright", "operation": "Update", "subresource": "status"}
KUEUE = {"manager": "kueue-admission", "operation": "Update", "fieldsV1": {"f:spec": {"f:suspend": {}}}}
OTHERS = {"manager": "kubectl", "operation": "Update"}
SCALER = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}


@pytest.mark.parametrize(
    ("expected", "kind"),
    [([APPLIED], "ConfigMap"), ([APPLIED, SCALER], "Deployment"), ([KUEUE], "Job"), (None, "Pod"), (None, "FineTuneJob")],
)
def test_only_read_entries_of_managed_fields_are_kept(expected, kind):
    item = {"metadata": {"name": "x", "managedFields": [APPLIED, STATUS, KUEUE, OTHERS, SCALER]}, "spec": {}}
    assert trimmed(kind, item)["metadata"].get("managedFields") == expected


def test_unread_fields_are_left_out_without_changing_the_original():
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "batch.kubernetes.io/job-completion-index": "1"}
    pod = {"metadata": {"name": "x", "annotations": notes}, "spec": {"nodeName": "n", "containers": [1]}, "status": {"phase": "Running"}}
    assert trimmed("Pod", pod) == {
        "metadata": {"name": "x", "annotations": {"batch.kubernetes.io/job-completion-index": "1"}},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running"},
    }
    assert pod["spec"]["containers"] == [1]
    assert trimmed("ReplicaSet", {"metadata": {}, "spec": {"template": 1, "replicas": 2}})["spec"] == {"replicas": 2}
