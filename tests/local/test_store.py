"""The store has the semantics of an API server: identity, generations, owners, atomic writes."""

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tunewright.local.layout import Layout, default_home
from tunewright.local.store import Store
from tunewright_runtime.errors import Conflict, Invalid, Transient, TunewrightError


@pytest.fixture
def store(tmp_path, now) -> Store:
    return Store(Layout(tmp_path), clock=lambda: now)


def make(kind: str, name: str, *, owner: dict | None = None, **more) -> dict:
    references = [{"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}] if owner else []
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default", "ownerReferences": references}, **more}


def test_the_store_sets_the_identity_of_a_new_object(store: Store):
    created = store.create(make("Job", "a", spec={"x": 1}, status={"made": "up"}))
    meta = created["metadata"]
    assert (meta["generation"], meta["resourceVersion"], meta["creationTimestamp"]) == (1, "1", "2026-01-02T03:04:05Z")
    assert len(meta["uid"]) == 36
    assert "status" not in created
    assert store.get("Job", "default", "a") == created


def test_a_name_can_be_used_once(store: Store):
    store.create(make("Job", "a"))
    with pytest.raises(Conflict, match="Job a exists already"):
        store.create(make("Job", "a"))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".", "Upper", "-a", "a" * 254])
def test_a_name_that_is_not_a_dns_name_is_refused(store: Store, name: str):
    with pytest.raises(Invalid, match="is not a DNS name"):
        store.create(make("Job", name))


@pytest.mark.parametrize(
    ("generation", "version", "change"),
    [
        (2, "2", lambda job: job["spec"].update(x=2)),
        (1, "2", lambda job: job["metadata"].update(labels={"a": "b"})),
        (1, "1", lambda job: job.update(status={"not": "here"})),
        (1, "1", lambda _: None),
    ],
    ids=["spec", "metadata", "status is not changed here", "nothing"],
)
def test_changes_that_increment_generation_and_version(store: Store, generation: int, version: str, change):
    store.create(make("Job", "a", spec={"x": 1}))
    changed = store.change("Job", "default", "a", change)
    assert (changed["metadata"]["generation"], changed["metadata"]["resourceVersion"]) == (generation, version)
    assert "status" not in changed


def test_a_status_is_written_separately_from_the_spec(store: Store):
    store.create(make("Job", "a", spec={"x": 1}))
    changed = store.change_status("Job", "default", "a", lambda job: (job["spec"].update(x=2), job.update(status={"active": 1})))
    assert (changed["spec"], changed["status"], changed["metadata"]["generation"]) == ({"x": 1}, {"active": 1}, 1)


def test_changing_a_missing_object_does_nothing(store: Store):
    assert store.change("Job", "default", "a", lambda _: None) is None
    assert store.get("Job", "default", "a") is None
    store.delete("Job", "default", "a")


def test_deleting_an_object_deletes_its_descendants_and_marks_pods(store: Store):
    top = store.create(make("FineTuneJob", "top"))
    job = store.create(make("Job", "job", owner=top))
    store.create(make("Pod", "pod", owner=job, spec={"terminationGracePeriodSeconds": 7}))
    other = store.create(make("ConfigMap", "other"))
    assert [item["metadata"]["name"] for item in store.descendants(top["metadata"]["uid"], "default")] == ["job", "pod"]
    store.delete("FineTuneJob", "default", "top")
    (pod, kept) = sorted(store.select(), key=lambda item: item["kind"], reverse=True)
    assert (pod["metadata"]["deletionTimestamp"], pod["metadata"]["deletionGracePeriodSeconds"]) == ("2026-01-02T03:04:05Z", 7)
    assert kept == other
    store.remove_pod("default", "pod")
    assert store.select() == [other]


def test_an_object_of_the_same_name_with_another_uid_owns_nothing(store: Store):
    first = store.create(make("FineTuneJob", "top"))
    store.create(make("Job", "job", owner=first))
    (store._layout.objects / "default" / "FineTuneJob" / "top.json").unlink()
    second = store.create(make("FineTuneJob", "top"))
    assert store.owned(second["metadata"]["uid"]) == []
    store.collect("default")
    assert [item["kind"] for item in store.select()] == ["FineTuneJob"]


def test_watchers_are_called_for_writes_only(store: Store):
    heard = []
    store.watch(lambda item: heard.append(item["metadata"]["resourceVersion"]))
    store.create(make("Job", "a", spec={}))
    store.change("Job", "default", "a", lambda job: job["spec"].update(x=1))
    store.change("Job", "default", "a", lambda job: job["spec"].update(x=1))
    store.delete("Job", "default", "a")
    assert heard == ["1", "2", "2"]


def test_a_full_disk_is_reported_and_keeps_the_stored_object(store: Store, monkeypatch, tmp_path):
    before = store.create(make("Job", "a", spec={"x": 1}))

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Transient, match=r"could not store Job a: no space left for .*free some space"):
        store.change("Job", "default", "a", lambda job: job["spec"].update(x=2))
    monkeypatch.undo()
    assert store.get("Job", "default", "a") == before
    assert [path.name for path in (tmp_path / "objects" / "default" / "Job").iterdir()] == ["a.json"]


def test_a_file_that_is_not_json_is_named(store: Store, tmp_path):
    store.create(make("Job", "a"))
    (tmp_path / "objects" / "default" / "Job" / "a.json").write_text("{half")
    with pytest.raises(TunewrightError, match=r"a\.json is not JSON"):
        store.get("Job", "default", "a")


def test_concurrent_writes_of_processes_are_not_lost(store: Store, tmp_path):
    store.create(make("Job", "a", spec={"count": 0}))
    script = """
import sys, pathlib
from datetime import UTC, datetime
from tunewright.local.layout import Layout
from tunewright.local.store import Store
store = Store(Layout(pathlib.Path(sys.argv[1])), clock=lambda: datetime.now(UTC))
for _ in range(20):
    store.change("Job", "default", "a", lambda job: job["spec"].update(count=job["spec"]["count"] + 1))
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    stored = json.loads((tmp_path / "objects" / "default" / "Job" / "a.json").read_text())
    assert (stored["spec"]["count"], stored["metadata"]["generation"], stored["metadata"]["resourceVersion"]) == (60, 61, "61")


@pytest.mark.parametrize(
    ("want", "environ"),
    [
        ("/x/y", {"TUNEWRIGHT_HOME": "/x/y", "XDG_DATA_HOME": "/data", "HOME": "/home/me"}),
        ("/data/tunewright", {"XDG_DATA_HOME": "/data", "HOME": "/home/me"}),
        ("/home/me/.local/share/tunewright", {"HOME": "/home/me"}),
    ],
    ids=["its own variable", "XDG", "the standard's default"],
)
def test_the_home_folder_follows_the_environment(want: str, environ: dict[str, str]):
    assert str(default_home(environ)) == want


def test_times_are_utc_and_whole_seconds(store: Store):
    assert datetime.fromisoformat(store.create(make("Job", "a"))["metadata"]["creationTimestamp"]).tzinfo == UTC
