"""The World port on this machine: lookups, applied objects, and pruned ones."""

from pathlib import Path
from typing import Any

import pytest

from tunewright.api.v1alpha1.job import parse
from tunewright.local.app import Home
from tunewright.local.world import LocalWorld
from tunewright.plan.inputs import Missing
from tunewright.plan.label_names import RETRY
from tunewright.plan.names import revision_of
from tunewright.plan.rollout import PublishedModel
from tunewright.reconcile.ports import World
from tunewright_runtime.errors import Conflict, Gone, Invalid
from tunewright_runtime.objects import Key

KEY = Key("default", "demo")


@pytest.fixture
def world(home: Home) -> LocalWorld:
    return LocalWorld(home.store, home.layout, home.secrets, progress_url="http://127.0.0.1:1/x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m" / "model").mkdir(parents=True)
    (tmp_path / "m" / "chat.jsonl").touch()
    return tmp_path / "m"


def make_manifest(*, model: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    spec = {"task": "ChatCompletion", "model": {"source": model}, "data": {"train": [{"source": data}]}}
    return {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "demo"}, "spec": spec}


def child(home: Home, kind: str, name: str, **more: Any) -> dict[str, Any]:
    owner = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "name": "demo", "uid": uid(home), "controller": True}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default", "ownerReferences": [owner]}, **more}


def uid(home: Home) -> str:
    return home.job(KEY)["metadata"]["uid"]


@pytest.fixture
def applied(home: Home, folder: Path) -> Home:
    home.apply(make_manifest(model={"path": "model"}, data={"path": "chat.jsonl"}), folder)
    return home


async def dereference(home: Home, world: LocalWorld, folder: Path, **sources: Any):
    return await world.dereference(parse(home.job(home.apply(make_manifest(**sources), folder))))


def test_the_local_world_implements_the_interface(world: LocalWorld):
    port: World = world  # mypy reads this; at run time the names must at least be there
    assert all(hasattr(port, name) for name in World.__dict__ if not name.startswith("_"))


async def test_paths_are_relative_to_the_folder_of_the_manifest(home: Home, world: LocalWorld, folder: Path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    refs = await dereference(home, world, folder, model={"path": "model"}, data={"path": "../m/chat.jsonl"})
    assert dict(refs.folders) == {"model": str(folder / "model"), "../m/chat.jsonl": str(folder / "chat.jsonl")}
    assert (refs.missing, refs.host_paths, refs.progress_url) == ((), True, "http://127.0.0.1:1/x")


async def test_a_missing_path_is_named_in_full(home: Home, world: LocalWorld, folder: Path):
    refs = await dereference(home, world, folder, model={"path": "model"}, data={"path": "none.jsonl"})
    (gap,) = refs.missing
    assert (gap.field, gap.kind, gap.message) == ("spec.data.train[0].source.path", "Path", f"{folder / 'none.jsonl'} does not exist")


async def test_a_missing_file_of_a_claim_is_named_with_its_folder(home: Home, world: LocalWorld, folder: Path):
    sources = {"model": {"path": "model"}, "data": {"pvc": {"claimName": "corpora", "path": "a/chat.jsonl"}}}
    (gap,) = (await dereference(home, world, folder, **sources)).missing
    claim = home.layout.claim("default", "corpora")
    assert (gap.field, gap.kind) == ("spec.data.train[0].source.pvc", "PersistentVolumeClaim")
    assert f"the folder {claim}: put it there" in gap.message
    (claim / "a").mkdir()
    (claim / "a" / "chat.jsonl").touch()
    assert (await dereference(home, world, folder, **sources)).missing == ()


COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
GATED = {"huggingFace": {"repo": "a/b", "tokenSecretRef": {"name": "hub", "key": "token"}}}


@pytest.mark.parametrize(
    ("missing", "environ", "file"),
    [(True, {}, None), (False, {"HF_TOKEN": "t"}, None), (False, {}, "t\n")],
    ids=["nowhere", "environment", "file"],
)
async def test_a_hub_token_comes_from_a_file_or_the_environment(tmp_path, folder: Path, missing, environ, file):
    home = Home(tmp_path / "home", environ=environ)
    world = LocalWorld(home.store, home.layout, home.secrets, progress_url="")
    place = home.layout.secret("default", "hub", "token")
    if file:
        place.parent.mkdir(parents=True)
        place.write_text(file)
    refs = await dereference(home, world, folder, model=GATED, data={"path": "chat.jsonl"})
    assert bool(refs.missing) == missing
    if missing:
        assert f"set the environment variable HF_TOKEN, or write the value into {place}" in refs.missing[0].message
    else:
        assert home.secrets.find("default", "hub", "token", "HF_TOKEN") == "t"


async def test_a_server_s_key_comes_from_a_file_or_the_environment(tmp_path, folder: Path):
    manifest = make_manifest(model={"path": "model"}, data={"path": "chat.jsonl"})
    job = parse({**manifest, "spec": {**manifest["spec"], "serving": {"apiKeySecretRef": {"name": "clients", "key": "key"}}}})
    for environ, missing in (({}, ["spec.serving.apiKeySecretRef"]), ({"TUNEWRIGHT_API_KEY": "k"}, [])):
        home = Home(tmp_path / "home", environ=environ)
        refs = await LocalWorld(home.store, home.layout, home.secrets, progress_url="").dereference(job)
        assert [gap.field for gap in refs.missing if gap.kind == "Secret"] == missing
    assert all("TUNEWRIGHT_API_KEY" in gap.message for gap in refs.missing if gap.kind == "Secret")


async def test_the_model_of_another_job_is_looked_up(home: Home, world: LocalWorld, folder: Path):
    sources = {"model": {"path": "model"}, "data": {"path": "chat.jsonl"}}
    manifest = make_manifest(**sources)
    job = parse({**manifest, "spec": {**manifest["spec"], "serving": {"modelRef": {"name": "next"}}}})
    missing = (await world.dereference(job)).served
    assert isinstance(missing, Missing)
    assert "there is no such job" in missing.message

    key = home.apply({**manifest, "metadata": {"name": "next"}}, folder)
    other = home.job(key)
    labels = {"tunewright.io/component": "exporter", "tunewright.io/revision": revision_of(parse(other))}
    owner = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "name": "next", "uid": other["metadata"]["uid"]}
    meta = {"name": "next-export", "namespace": "default", "labels": labels, "ownerReferences": [{**owner, "controller": True}]}
    home.store.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {}})
    home.store.change_status("Job", "default", "next-export", lambda job: job.update(status=COMPLETE))
    recorded = {"revision": revision_of(parse(other)), "artifacts": [{"uri": "pvc://next-output/models/next"}]}
    home.store.change_status("FineTuneJob", "default", "next", lambda job: job.update(status=recorded))
    found = (await world.dereference(job)).served
    assert found == PublishedModel(job="next", revision=revision_of(parse(other)), claim="next-output", path="models")


async def test_applying_again_changes_nothing_and_pruning_keeps_other_owners_objects(applied: Home, world: LocalWorld):
    foreign = applied.store.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "default"}, "data": {}}
    )
    one, two = child(applied, "ConfigMap", "one", data={"a": "1"}), child(applied, "Service", "two", spec={"x": 1})
    await world.apply(KEY, uid(applied), [one, two])
    before = applied.store.select()
    await world.apply(KEY, uid(applied), [one, two])
    assert applied.store.select() == before
    await world.apply(KEY, uid(applied), [one | {"data": {"a": "2"}}])
    assert [item["metadata"]["name"] for item in applied.children(KEY)] == ["one"]
    assert applied.store.get("ConfigMap", "default", "one")["data"] == {"a": "2"}
    assert applied.store.get("ConfigMap", "default", "foreign") == foreign


async def test_a_job_is_created_once_and_then_only_suspended(applied: Home, world: LocalWorld):
    template = {"spec": {"containers": [{"name": "c", "command": ["x"]}]}}
    await world.apply(KEY, uid(applied), [child(applied, "Job", "j", spec={"suspend": False, "backoffLimit": 0, "template": template})])
    await world.apply(KEY, uid(applied), [child(applied, "Job", "j", spec={"suspend": True, "backoffLimit": 9, "template": template})])
    assert applied.store.get("Job", "default", "j")["spec"] == {"suspend": True, "backoffLimit": 0, "template": template}


async def test_a_job_is_not_made_again_beside_pods_of_an_earlier_one(applied: Home, world: LocalWorld):
    template = {"spec": {"containers": [{"name": "c", "command": ["x"]}]}}
    again = child(applied, "Job", "j", spec={"template": template})
    pod = child(applied, "Pod", "j-abcde")
    applied.store.create(pod | {"metadata": pod["metadata"] | {"labels": {"job-name": "j"}}})
    with pytest.raises(Conflict, match="pod j-abcde of an earlier Job j has not ended"):
        await world.apply(KEY, uid(applied), [again])
    applied.store.remove_pod("default", "j-abcde")
    await world.apply(KEY, uid(applied), [again])
    assert applied.store.get("Job", "default", "j") is not None


async def test_applying_keeps_the_address_of_a_service(applied: Home, world: LocalWorld):
    service = child(applied, "Service", "s", spec={"x": 1})
    await world.apply(KEY, uid(applied), [service])
    applied.store.change(
        "Service", "default", "s", lambda stored: stored["metadata"].update(annotations={"tunewright.io/url": "http://127.0.0.1:2"})
    )
    await world.apply(KEY, uid(applied), [service])
    assert applied.store.get("Service", "default", "s")["metadata"]["annotations"] == {"tunewright.io/url": "http://127.0.0.1:2"}


async def test_a_name_that_another_object_owns_is_a_conflict(applied: Home, world: LocalWorld):
    taken = child(applied, "ConfigMap", "one")
    taken["metadata"]["ownerReferences"][0]["uid"] = "somebody-else"
    applied.store.create(taken)
    with pytest.raises(Conflict, match="belongs to another object"):
        await world.apply(KEY, uid(applied), [child(applied, "ConfigMap", "one")])


@pytest.mark.parametrize(
    ("match", "pod"),
    [
        ("exactly one container", {"containers": [{"name": "a"}, {"name": "b"}]}),
        ("exactly one container", {"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]}),
        ("must be httpGet or tcpSocket", {"containers": [{"name": "a", "livenessProbe": {"exec": {"command": ["x"]}}}]}),
        ("does not declare", {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"port": "http"}}}]}),
        ("only the lifecycle hook preStop.sleep", {"containers": [{"name": "a", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}]}),
    ],
    ids=["two containers", "an init container", "an exec probe", "a probe of no port", "an exec hook"],
)
async def test_a_pod_with_unsupported_fields_is_refused(applied: Home, world: LocalWorld, match, pod):
    with pytest.raises(Invalid, match=match):
        await world.apply(KEY, uid(applied), [child(applied, "Job", "j", spec={"template": {"spec": pod}})])
    assert applied.children(KEY) == []


async def test_children_are_not_applied_for_a_job_that_was_replaced(applied: Home, world: LocalWorld):
    with pytest.raises(Gone):
        await world.apply(KEY, "an-older-uid", [])
    await world.patch_status(KEY, "an-older-uid", {"phase": "Lies"})
    assert "status" not in applied.job(KEY)


async def test_a_token_is_valid_for_its_own_job_only(applied: Home, world: LocalWorld, folder: Path):
    pod = applied.store.create(child(applied, "Pod", "p", spec={}))
    token = applied.layout.pod("default", "p", pod["metadata"]["uid"]).token
    token.parent.mkdir(parents=True)
    token.write_text("right")
    assert await world.authenticate(KEY, "right") == uid(applied)
    assert await world.authenticate(KEY, "wrong") is None
    other = applied.apply({**make_manifest(model={}, data={}), "metadata": {"name": "other"}}, folder)
    assert await world.authenticate(Key(*other), "right") is None
    with pytest.raises(Gone):
        await world.authenticate(Key("default", "nobody"), "right")


@pytest.mark.parametrize(
    "raw", [{}, {"kind": "Job", "metadata": {"name": "x"}}, {"kind": "FineTuneJob", "metadata": {"name": 3}}, {"kind": "FineTuneJob"}]
)
def test_only_a_finetunejob_can_be_applied(home: Home, tmp_path, raw):
    with pytest.raises(Invalid, match="not a FineTuneJob with a name"):
        home.apply(raw, tmp_path)


def test_the_home_is_readable_by_its_owner_alone(home: Home):
    assert home.layout.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("annotated", "status"),
    [
        (True, {"phase": "Failed", "reason": "DiskFull", "failure": {"stage": "checker"}}),
        (True, {"phase": "Serving", "reason": "RolledBack", "failure": {"stage": "server"}}),
        (False, {"phase": "Failed", "reason": "DoesNotFit", "failure": {"stage": "planner"}}),
        (False, {"phase": "Training", "reason": "Running"}),
    ],
    ids=["a failed stage", "a refused server", "a refused plan", "a running stage"],
)
def test_a_retry_annotates_a_job_that_it_helps_and_keeps_its_children(applied: Home, annotated: bool, status: dict[str, object]):
    applied.store.create(child(applied, "Job", "demo-check", spec={}))
    applied.store.change_status("FineTuneJob", *KEY, lambda job: job.update(status=status))
    applied.retry(KEY)
    assert (RETRY in applied.job(KEY)["metadata"]["annotations"]) is annotated
    assert [item["metadata"]["name"] for item in applied.children(KEY)] == ["demo-check"]


def test_a_retry_stays_when_the_manifest_is_applied_again(applied: Home, tmp_path):
    applied.store.change("FineTuneJob", *KEY, lambda job: job["metadata"]["annotations"].update({RETRY: "1"}))
    job = applied.job(KEY)
    applied.apply({"kind": "FineTuneJob", "metadata": {"name": KEY[1]}, "spec": job["spec"]}, tmp_path)
    assert applied.job(KEY)["metadata"]["annotations"][RETRY] == "1"
