"""A model folder is published atomically, and every failure keeps the earlier one."""

import errno
from pathlib import Path

import pytest

from tunewright_contract.folders import MANIFEST_NAME, DecoderGraph, Lineage, ModelManifest
from tunewright_contract.reports import ParityReport
from tunewright_trainer.export import publish


def manifest(folder: Path, *, revision: str = "r1") -> ModelManifest:
    return ModelManifest(
        name="nails",
        revision=revision,
        task="ChatCompletion",
        architecture="phi3",
        precision="fp32",
        graph=DecoderGraph(cache="gqa", layers=2, kv_heads=2, head_size=16),
        context_length=256,
        vocab_size=288,
        eos_token_ids=[1],
        files=publish.list_files(folder),
        lineage=Lineage(namespace="a", job="nails", uid="0", revision=revision, base="sha256:0", data_sha256="0", method={}),
        parity=ParityReport(max_logit_difference=0, mean_kl=0, top1_agreement=1, positions=1),
    )


def put(folder: Path, text: str) -> None:
    with publish.draft(folder) as draft:
        (draft / "model.onnx").write_text(text)
        publish.seal(draft, folder, manifest(draft))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "nails" / "r1"


def content(folder: Path) -> str:
    return (folder / "model.onnx").read_text()


def test_a_sealed_folder_verifies_and_leaves_nothing_beside_it(folder: Path) -> None:
    put(folder, "weights")
    found = publish.published(folder)
    assert found is not None
    assert [(file.path, file.bytes) for file in found.files] == [("model.onnx", 7)]
    assert [path.name for path in folder.parent.iterdir()] == ["r1"]


def test_the_manifest_is_the_last_file_to_be_written(folder: Path) -> None:
    with publish.draft(folder) as draft:
        (draft / "model.onnx").write_text("weights")
        assert not (draft / MANIFEST_NAME).exists()
        publish.seal(draft, folder, manifest(draft))
    assert (folder / MANIFEST_NAME).stat().st_mtime_ns >= (folder / "model.onnx").stat().st_mtime_ns


@pytest.mark.parametrize("damage", ["changed", "shortened", "missing", "no manifest", "broken manifest"])
def test_a_damaged_folder_does_not_verify(folder: Path, damage: str) -> None:
    put(folder, "weights")
    match damage:
        case "changed":
            (folder / "model.onnx").write_text("WEIGHTS")
        case "shortened":
            (folder / "model.onnx").write_text("weight")
        case "missing":
            (folder / "model.onnx").unlink()
        case "no manifest":
            (folder / MANIFEST_NAME).unlink()
        case _:
            (folder / MANIFEST_NAME).write_text("{")
    assert publish.published(folder) is None


def test_an_error_while_assembling_keeps_the_previous_folder(folder: Path) -> None:
    put(folder, "old")
    with pytest.raises(OSError), publish.draft(folder) as draft:
        (draft / "model.onnx").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert content(folder) == "old"
    assert publish.published(folder) is not None
    assert [path.name for path in folder.parent.iterdir()] == ["r1"]


def test_an_error_at_the_last_rename_restores_the_previous_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        put(folder, "new")
    assert content(folder) == "old"
    assert publish.published(folder) is not None


def test_the_next_run_repairs_a_crash_between_the_two_renames(folder: Path) -> None:
    put(folder, "old")
    folder.rename(folder.with_name(".r1.previous"))  # killed here
    assert publish.published(folder) is not None
    assert content(folder) == "old"


def test_leftovers_of_a_killed_run_are_removed(folder: Path) -> None:
    stale = folder.with_name(".r1.partial")
    stale.mkdir(parents=True)
    (stale / "half a model").write_text("x")
    put(folder, "weights")
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", MANIFEST_NAME]


def test_an_incomplete_folder_is_replaced(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "stray").write_text("copied by hand")
    put(folder, "weights")
    assert not (folder / "stray").exists()
    assert publish.published(folder) is not None


def test_the_artifact_names_job_and_revision_and_digests_the_list_of_files(folder: Path) -> None:
    put(folder, "weights")
    first = publish.artifact(publish.published(folder), folder)
    put(folder, "weight!")
    second = publish.artifact(publish.published(folder), folder)
    assert (first.path, first.precision, first.bytes) == ("nails/r1", "fp32", 7)
    assert first.sha256 != second.sha256
