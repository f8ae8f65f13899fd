"""A folder on a shared claim belongs to the job that marked it first."""

from pathlib import Path

import pytest

from tunewright_contract.folders import RUN_MANIFEST_NAME, RunFolder
from tunewright_contract.trainer_config import JobIdentity
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.own_file import RUN_ENTRIES, mark


def job(uid: str = "u1", namespace: str = "default") -> JobIdentity:
    return JobIdentity(namespace=namespace, name="demo", uid=uid, revision="0a")


@pytest.mark.parametrize("before", ["nothing", "an empty folder", "its own mark", "a mark cut short"])
def test_a_folder_without_another_jobs_mark_is_accepted(tmp_path: Path, before: str):
    folder = tmp_path / "runs" / "demo" / "0a"
    if before != "nothing":
        folder.mkdir(parents=True)
    if before == "its own mark":
        mark(folder, job(), entries=["*"])
    if before == "a mark cut short":
        (folder / RUN_MANIFEST_NAME).write_text('{"uid"')
    mark(folder, job(), entries=RUN_ENTRIES)
    found = RunFolder.model_validate_json((folder / RUN_MANIFEST_NAME).read_bytes())
    assert (found.uid, found.entries) == ("u1", RUN_ENTRIES)
    assert [path.name for path in folder.iterdir()] == [RUN_MANIFEST_NAME], "no litter"


@pytest.mark.parametrize("other", [job(uid="u2"), job(uid="u3", namespace="team")], ids=["an earlier job", "another namespace"])
def test_another_jobs_folder_is_refused_and_not_changed(tmp_path: Path, other: JobIdentity):
    mark(tmp_path, other, entries=["*"])
    before = (tmp_path / RUN_MANIFEST_NAME).read_bytes()
    with pytest.raises(StageError, match=rf"belongs to FineTuneJob {other.namespace}/demo \(uid {other.uid}\)"):
        mark(tmp_path, job(), entries=RUN_ENTRIES)
    assert (tmp_path / RUN_MANIFEST_NAME).read_bytes() == before
