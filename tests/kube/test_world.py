"""The World on a cluster, over a dictionary of objects: its writes, their order, and objects that stay unchanged."""

import copy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.api.v1alpha1.job import parse
from tunewright.kube.kinds import new_cache
from tunewright.kube.world import KubeWorld, audience
from tunewright.plan.inputs import Missing
from tunewright.plan.names import revision_of
from tunewright.reconcile.progress import PATH
from tunewright_runtime.differences import merge_patch
from tunewright_runtime.errors import Conflict, Forbidden, Gone, Rejected
from tunewright_runtime.objects import Key
from tunewright_runtime.tokens import Tokens

KEY, UID = Key("demo", "bot"), "u1"


class Cluster:
    """A client whose cluster is a dictionary."""

    def __init__(self, *items, forbidden=()):
        self.items = {(item["kind"], item["metadata"]["name"]): item for item in items}
        self.writes, self.forbidden, self.reviews = [], forbidden, 0
        self.review = {}
        self.reads = []

    async def get(self, kind, namespace, name):
        self.reads.append((kind, name))
        if kind in self.forbidden:
            raise Forbidden("lacks this permission")
        return copy.deepcopy(self.items.get((kind, name)))

    async def apply_new(self, manifest):
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if (kind, name) in self.items:
            raise Conflict("it exists")
        self.writes.append(("create", kind, name))
        return stored(manifest)

    async def apply(self, manifest, *, force):
        meta = manifest["metadata"]
        there = self.items[manifest["kind"], meta["name"]]["metadata"]
        if meta.get("resourceVersion", there["resourceVersion"]) != there["resourceVersion"]:
            raise Conflict("it has been modified")
        self.writes.append(("apply", manifest["kind"], manifest["metadata"]["name"]))
        return stored(manifest)

    async def merge(self, kind, namespace, name, patch, *, subresource=""):
        self.writes.append(("merge", kind, name, patch))
        before = self.items[kind, name]
        return stored({**before, **patch, "metadata": {**before["metadata"], **patch["metadata"]}})

    async def delete(self, kind, namespace, name, *, uid):
        self.writes.append(("delete", kind, name, uid))

    async def create(self, kind, namespace, body):
        if kind == "TokenReview":
            self.reviews += 1
            return {"status": self.review}
        self.writes.append(("create", kind, body["reason"]))
        return body


def stored(manifest):
    meta = {"namespace": "demo", "uid": "new", **manifest["metadata"]}
    return {**manifest, "metadata": meta | {"resourceVersion": "100"}}


def job(uid=UID, *, status=None, **meta):
    return {
        "kind": "FineTuneJob",
        "metadata": {"name": "bot", "namespace": "demo", "uid": uid, "resourceVersion": "7", **meta},
        **({"status": status} if status else {}),
    }


def child(kind, name, *, owner=UID, uid="c", by="FineTuneJob", of="bot", **more):
    labels = {"tunewright.io/job-uid": owner, "tunewright.io/job-name": of}
    meta = {"name": name, "namespace": "demo", "uid": uid, "resourceVersion": "8", "labels": labels}
    return {
        "kind": kind,
        "metadata": meta | {"ownerReferences": [{"kind": by, "name": of, "uid": owner, "controller": True}]},
        "spec": {},
        **more,
    }


def world(cluster, clock=lambda: 0.0, url="http://op:8080/", shown=None):
    """A world whose watches have shown everything, or only what is `shown`."""
    cache = new_cache()
    for item in cluster.items.values() if shown is None else shown:
        if "namespace" in item["metadata"]:
            cache.put({**item, "metadata": {"resourceVersion": "1", **item["metadata"]}})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return KubeWorld(cluster, cache, progress_url=url, tokens=Tokens(cluster, cache, clock=clock, audience=audience), clock=lambda: now)


async def test_children_are_created_in_order_and_others_pruned():
    cluster = Cluster(job(), child("Service", "bot-old", uid="s9"))
    await world(cluster).apply(KEY, UID, [child("ConfigMap", "bot-config"), child("Job", "bot-check")])
    assert cluster.writes == [("create", "ConfigMap", "bot-config"), ("create", "Job", "bot-check"), ("delete", "Service", "bot-old", "s9")]


@pytest.mark.parametrize("there", [[], [job("u2")], [job(deletionTimestamp="now")]])
async def test_no_child_is_created_for_a_deleted_job(there):
    cluster = Cluster(*there)
    with pytest.raises(Gone):
        await world(cluster).apply(KEY, UID, [child("ConfigMap", "bot-config")])
    assert cluster.writes == []


@pytest.mark.parametrize(
    ("expected", "there"),
    [
        pytest.param(Conflict, child("Job", "bot-check", owner="u0"), id="a predecessor's"),
        pytest.param(Rejected, child("Job", "bot-check", owner="x", by="CronJob", of="nightly"), id="another controller's"),
        pytest.param(
            Rejected,
            {"kind": "Job", "metadata": {"name": "bot-check", "namespace": "demo", "uid": "z", "resourceVersion": "3"}},
            id="a person's",
        ),
    ],
)
async def test_objects_of_others_are_never_written(expected, there):
    cluster = Cluster(job(), there)
    with pytest.raises(expected):
        await world(cluster).apply(KEY, UID, [child("Job", "bot-check")])
    assert cluster.writes == []


ENDED = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}


def orphan(kind, name, **more):
    """A child of an earlier job that was deleted with --cascade=orphan."""
    made = child(kind, name, owner="u0", **more)
    labels = {"app.kubernetes.io/managed-by": "tunewright", "tunewright.io/job-name": "bot", "tunewright.io/component": "any"}
    meta = {**made["metadata"], "labels": made["metadata"]["labels"] | labels}
    del meta["ownerReferences"]
    return {**made, "metadata": meta}


STARTED, CHECKED = [child("Job", "bot-check")], [child("Job", "bot-check", **ENDED)]


@pytest.mark.parametrize("ours", [pytest.param([], id="before the check"), pytest.param(CHECKED, id="before the training")])
@pytest.mark.parametrize(
    ("expected", "theirs"),
    [
        pytest.param(Rejected, orphan("Job", "bot-train-0"), id="an orphan that runs"),
        pytest.param(Rejected, orphan("Job", "bot-train-3"), id="of another attempt"),
        pytest.param(Conflict, child("Job", "bot-train-0", owner="u0"), id="the cache has not learned of its lost owner"),
        pytest.param(None, orphan("Job", "bot-train-3", **ENDED), id="an orphan that has ended"),
        pytest.param(None, child("Job", "bot-train-3", owner="u0", **ENDED), id="one that has ended, on its way out"),
        pytest.param(None, child("Job", "bot-train-3", owner="x", of="bot-train"), id="of a job with a similar name"),
    ],
)
async def test_no_job_is_created_while_one_of_an_earlier_job_runs(expected, theirs, ours):
    cluster = Cluster(job(), theirs, *ours)
    wanted = child("Job", "bot-train-1" if ours else "bot-check")
    writing = world(cluster).apply(KEY, UID, [*ours, wanted])
    if expected is None:
        assert await writing
        return
    with pytest.raises(expected, match=theirs["metadata"]["name"]):
        await writing
    assert cluster.writes == []


async def test_a_running_job_is_not_disturbed_by_an_orphan_of_an_earlier_job():
    cluster = Cluster(job(), *STARTED, orphan("Job", "bot-train-0"))
    assert not await world(cluster).apply(KEY, UID, STARTED)


async def test_children_are_those_owned_at_any_depth():
    cluster = Cluster(
        child("Job", "bot-check", uid="j"),
        child("Pod", "ours", uid="p")
        | {"metadata": {**child("Pod", "ours")["metadata"], "ownerReferences": [{"uid": "j", "controller": True}]}},
        child("Pod", "labelled-by-a-stranger") | {"metadata": {**child("Pod", "x")["metadata"], "name": "labelled", "ownerReferences": []}},
    )
    assert [item["metadata"]["name"] for item in await world(cluster).children(KEY, UID)] == ["bot-check", "ours"]


@pytest.mark.parametrize(
    ("uid", "annotations"),
    [
        pytest.param(UID, {"tunewright.io/retain": "why"}, id="retained, of this job"),
        pytest.param("earlier", {"tunewright.io/retain": "why"}, id="retained, of an earlier job"),
        pytest.param("earlier", {}, id="an orphan"),
    ],
)
async def test_a_claim_without_an_owner_is_listed_if_the_job_has_it_or_adopts_it(uid, annotations):
    claim = orphan("PersistentVolumeClaim", "bot-output")
    claim["metadata"]["labels"]["tunewright.io/job-uid"] = uid
    claim["metadata"]["annotations"] = annotations
    found = await world(Cluster(claim)).children(KEY, UID)
    assert [item["metadata"]["name"] for item in found] == ["bot-output"]


async def test_a_claim_of_a_stranger_is_not_listed():
    claim = orphan("PersistentVolumeClaim", "bot-output")
    claim["metadata"]["labels"] = {}
    assert await world(Cluster(claim)).children(KEY, UID) == []


async def test_cached_objects_are_not_requested():
    cluster = Cluster(job(status={"phase": "A"}), child("Job", "bot-check"), child("Service", "bot-old", uid="s9"), child("Pod", "bot-pod"))
    subject = world(cluster)
    assert (await subject.get(KEY))["metadata"]["uid"] == UID
    assert len(await subject.children(KEY, UID)) == 3
    assert await subject.apply(KEY, UID, [child("Job", "bot-check")])
    await subject.patch_status(KEY, UID, {"phase": "B"})
    assert [write[0] for write in cluster.writes] == ["delete", "merge"]
    assert cluster.reads == []


async def test_written_objects_are_cached_before_a_watch_shows_them():
    cluster = Cluster(job())
    subject = world(cluster)
    assert await subject.apply(KEY, UID, [child("Job", "bot-check")])
    assert not await subject.apply(KEY, UID, [child("Job", "bot-check")])
    await subject.patch_status(KEY, UID, {"phase": "A"})
    assert (await subject.get(KEY))["status"] == {"phase": "A"}
    assert await subject.apply(KEY, UID, [])
    assert not await subject.apply(KEY, UID, [])
    assert [write[0] for write in cluster.writes] == ["create", "merge", "delete"]


async def test_an_uncached_child_is_not_created_twice_and_the_job_is_planned_again():
    cluster = Cluster(job(), child("Job", "bot-train-0"), child("Service", "bot-old"))
    subject = world(cluster, shown=[job(), child("Service", "bot-old")])
    with pytest.raises(Conflict, match="Job demo/bot-train-0 exists, but was not in the cache"):
        await subject.apply(KEY, UID, [child("Job", "bot-train-0")])
    assert cluster.writes == []
    assert [item["metadata"]["name"] for item in await subject.children(KEY, UID)] == ["bot-old", "bot-train-0"]


async def test_an_annotation_that_was_removed_meanwhile_is_not_restored():
    """A decision that is read back from the object itself, and the person who takes it back at that moment."""

    def deployment(version, replicas, **annotations):
        made = child("Deployment", "bot-serve", spec={"replicas": replicas})
        return {**made, "metadata": {**made["metadata"], "resourceVersion": version, "annotations": annotations}}

    wanted = deployment("", 2, refused="that one")
    del wanted["metadata"]["resourceVersion"]
    now = deployment("9", 1)
    cluster = Cluster(job(), now)
    ours = world(cluster, shown=[job(), deployment("8", 1, refused="that one")])
    with pytest.raises(Conflict):
        await ours.apply(KEY, UID, [wanted])
    assert cluster.writes == []
    (known,) = await ours.children(KEY, UID)
    assert known["metadata"]["annotations"] == {}, "the next try decides on what is there"


async def test_removed_labels_of_a_job_are_restored_before_pruning():
    bare = child("Job", "bot-check")
    del bare["metadata"]["labels"]
    cluster = Cluster(job(), bare, child("Job", "bot-train-0"))
    with pytest.raises(Conflict):
        await world(cluster).apply(KEY, UID, [child("Job", "bot-check")])
    assert [write[:3] for write in cluster.writes] == [("merge", "Job", "bot-check")]


async def test_a_status_does_not_overwrite_a_newer_one(monkeypatch):
    cluster = Cluster(job(status={"phase": "B"}, resourceVersion="9"))
    subject = world(cluster, shown=[job(status={"phase": "A"})])

    async def compare(*_, **__):
        raise Conflict("resourceVersion")

    monkeypatch.setattr(cluster, "merge", compare)
    with pytest.raises(Conflict):
        await subject.patch_status(KEY, UID, {"phase": "A2"})
    assert (await subject.get(KEY))["status"] == {"phase": "B"}  # the next try has the present version


async def test_without_a_right_to_read_no_decision_is_made():
    async def refuse():
        raise Forbidden("pods")

    cluster = Cluster(job())
    subject = KubeWorld(
        cluster, new_cache(), progress_url="", tokens=Tokens(cluster, new_cache(), clock=lambda: 0.0, audience=audience), complete=refuse
    )
    with pytest.raises(Forbidden):
        await subject.children(KEY, UID)


async def test_a_status_replaces_the_earlier_one_and_posts_an_event():
    cluster = Cluster(job(status={"phase": "Checking", "reason": "A", "progress": {"step": 1, "loss": "2"}, "old": 1}))
    await world(cluster).patch_status(KEY, UID, {"phase": "Training", "reason": "A", "progress": {"step": 2}})
    patch = {
        "metadata": {"uid": UID, "resourceVersion": "7"},
        "status": {"phase": "Training", "progress": {"step": 2, "loss": None}, "old": None},
    }
    assert cluster.writes == [("merge", "FineTuneJob", "bot", patch), ("create", "Event", "A")]


@pytest.mark.parametrize("there", [[], [job("u2")]])
async def test_the_status_of_another_job_is_not_changed(there):
    cluster = Cluster(*there)
    await world(cluster).patch_status(KEY, UID, {"phase": "Training", "reason": "A"})
    assert cluster.writes == []


async def test_a_conflict_is_raised_only_for_the_same_job(monkeypatch):
    cluster = Cluster(job())

    async def refuse(*_, **__):
        raise Conflict("uid")

    monkeypatch.setattr(cluster, "merge", refuse)
    with pytest.raises(Conflict):
        await world(cluster).patch_status(KEY, UID, {"phase": "Training"})

    async def replace(*_, **__):
        cluster.items["FineTuneJob", "bot"] = job("u2")
        raise Conflict("uid")

    monkeypatch.setattr(cluster, "merge", replace)
    await world(cluster).patch_status(KEY, UID, {"phase": "Training"})


def a_spec(**changes):
    return parse(
        {
            "apiVersion": "tunewright.io/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "bot", "namespace": "demo", "uid": UID},
            "spec": {
                "task": "ChatCompletion",
                "model": {"source": {"huggingFace": {"repo": "a/b", "tokenSecretRef": {"name": "hub", "key": "token"}}}},
                "data": {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "c.jsonl"}}}]},
                "output": {"destinations": [{"pvc": {"claimName": "models"}}]},
                **changes,
            },
        }
    )


def claim(name, phase="Bound", **meta):
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name, **meta}, "status": {"phase": phase}}


OUTPUT = {**claim("next-output"), "spec": {"accessModes": ["ReadWriteOnce"]}}
SECRET = {"kind": "Secret", "metadata": {"name": "hub"}, "data": {"token": "eA=="}}


@pytest.mark.parametrize(
    ("expected", "there"),
    [
        ([], [claim("corpora"), claim("models", "Pending"), SECRET]),
        (["spec.data.train[0].source.pvc.claimName"], [claim("models"), SECRET]),
        (["spec.output.destinations[0].pvc.claimName"], [claim("corpora"), SECRET]),
        (["spec.data.train[0].source.pvc.claimName"], [claim("corpora", "Lost"), claim("models"), SECRET]),
        (["spec.data.train[0].source.pvc.claimName"], [claim("corpora", deletionTimestamp="now"), claim("models"), SECRET]),
        (["spec.model.source.huggingFace.tokenSecretRef"], [claim("corpora"), claim("models")]),
        (["spec.model.source.huggingFace.tokenSecretRef"], [claim("corpora"), claim("models"), SECRET | {"data": {"x": ""}}]),
    ],
)
async def test_missing_references_are_listed(expected, there):
    refs = await world(Cluster(*there)).dereference(a_spec())
    assert [missing.field for missing in refs.missing] == expected
    assert refs.progress_url == "http://op:8080" + PATH.format(namespace="demo", name="bot")
    assert not refs.host_paths


@pytest.mark.parametrize(("expected", "data"), [([], {"key": "eA=="}), (["spec.serving.apiKeySecretRef"], {"other": "eA=="})])
async def test_a_server_s_key_is_looked_up(expected, data):
    key = {"kind": "Secret", "metadata": {"name": "clients"}, "data": data}
    job = a_spec(serving={"apiKeySecretRef": {"name": "clients", "key": "key"}})
    refs = await world(Cluster(claim("corpora"), claim("models"), SECRET, key)).dereference(job)
    assert [missing.field for missing in refs.missing] == expected


async def test_unreadable_secrets_are_left_to_the_kubelet():
    refs = await world(Cluster(claim("corpora"), claim("models"), forbidden=["Secret"]), url="").dereference(a_spec())
    assert (refs.missing, refs.progress_url) == ((), "")


SPEC = {
    "task": "ChatCompletion",
    "model": {"source": {"huggingFace": {"repo": "a/b"}}},
    "data": {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "c.jsonl"}}}]},
}


def another(*, exported=True):
    """Another job, named `next`, and its export."""
    raw = {**job("u2", name="next"), "apiVersion": "tunewright.io/v1alpha1", "spec": SPEC}
    revision = revision_of(parse(raw))
    export = child("Job", "next-export", owner="u2", of="next", uid="e")
    export["metadata"]["labels"] |= {"tunewright.io/component": "exporter", "tunewright.io/revision": revision}
    raw["status"] = {"revision": revision, "artifacts": [{"uri": "pvc://next-output/models/next"}]}
    return raw, export | {"status": {"conditions": [{"type": "Complete", "status": "True"}] if exported else []}}


@pytest.mark.parametrize(
    ("expected", "there"),
    [
        pytest.param(("next", "next-output", ("ReadWriteOnce",)), [*another(), OUTPUT], id="published"),
        pytest.param(("FineTuneJob", "next", "it has not exported"), [*another(exported=False), OUTPUT], id="not yet"),
        pytest.param(("FineTuneJob", "next", "there is no such job"), [OUTPUT], id="no such job"),
        pytest.param(("PersistentVolumeClaim", "next-output", "there is no such claim"), another(), id="its claim was deleted"),
    ],
)
async def test_the_model_of_another_job_is_looked_up(expected, there):
    serves = parse({**job(), "apiVersion": "tunewright.io/v1alpha1", "spec": {**SPEC, "serving": {"modelRef": {"name": "next"}}}})
    found = (await world(Cluster(claim("corpora"), *there)).dereference(serves)).served
    if isinstance(found, Missing):
        assert (found.kind, found.name) == expected[:2]
        assert expected[2] in found.message
    else:
        assert (found.job, found.claim, found.access_modes) == expected


async def test_a_job_that_names_itself_serves_its_own_model():
    serves = parse({**job(), "apiVersion": "tunewright.io/v1alpha1", "spec": {**SPEC, "serving": {"modelRef": {"name": "bot"}}}})
    assert (await world(Cluster(claim("corpora"))).dereference(serves)).served is None


def reviewed(*, audiences=None, pod="bot-train-0", uid="p", authenticated=True):
    extra = {"authentication.kubernetes.io/pod-name": [pod], "authentication.kubernetes.io/pod-uid": [uid]}
    audiences = [audience(KEY)] if audiences is None else audiences
    return {
        "authenticated": authenticated,
        "audiences": audiences,
        "user": {"username": "system:serviceaccount:demo:default", "extra": extra},
    }


def pod_of(owner, *, kind="Job"):
    return {
        "kind": "Pod",
        "metadata": {
            "name": "bot-train-0",
            "uid": "p",
            "ownerReferences": [{"kind": kind, "name": "bot-train", "uid": owner, "controller": True}],
        },
    }


GANG = child("Job", "bot-train", uid="j")


@pytest.mark.parametrize(
    ("expected", "review", "there"),
    [
        pytest.param(UID, reviewed(), [GANG, pod_of("j")], id="a pod of the job's gang"),
        pytest.param(None, {"authenticated": False}, [GANG, pod_of("j")], id="no token of this cluster"),
        pytest.param(None, reviewed(audiences=["https://kubernetes.default.svc"]), [GANG, pod_of("j")], id="a token for another audience"),
        pytest.param(
            None, reviewed() | {"user": {"username": "system:serviceaccount:demo:default"}}, [GANG, pod_of("j")], id="no pod's token"
        ),
        pytest.param(None, reviewed(uid="old"), [GANG, pod_of("j")], id="a predecessor of the pod"),
        pytest.param(None, reviewed(), [GANG], id="a pod that is gone"),
        pytest.param(None, reviewed(), [GANG, pod_of("other")], id="a pod of another Job of that name"),
        pytest.param(None, reviewed(), [GANG, pod_of("j", kind="ReplicaSet")], id="a server's pod"),
        pytest.param(None, reviewed(), [child("Job", "bot-train", uid="j", owner="u0"), pod_of("j")], id="a pod of the job before"),
    ],
)
async def test_a_token_is_valid_for_pods_of_its_job_only(expected, review, there):
    cluster = Cluster(job(), *there)
    cluster.review = review
    assert await world(cluster).authenticate(KEY, "secret") == expected


async def test_a_token_for_a_missing_job_is_refused():
    with pytest.raises(Gone):
        await world(Cluster()).authenticate(KEY, "secret")


async def test_a_token_review_is_cached_for_a_minute():
    now = [0.0]
    cluster = Cluster(job(), GANG, pod_of("j"))
    cluster.review = reviewed()
    subject = world(cluster, clock=lambda: now[0])
    for _ in range(5):
        assert await subject.authenticate(KEY, "secret") == UID
    assert cluster.reviews == 1
    assert await subject.authenticate(Key("demo", "bot"), "another") == UID
    assert cluster.reviews == 2
    now[0] = 61.0
    cluster.review = {"authenticated": False}
    assert await subject.authenticate(KEY, "secret") is None


JSON = st.recursive(
    st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def merged(target, patch):
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_turns_one_into_the_other(before, after):
    assert merged(before, merge_patch(before, after)) == after


@given(OBJECTS)
def test_a_merge_patch_between_equals_is_empty(value):
    assert merge_patch(value, value) == {}
