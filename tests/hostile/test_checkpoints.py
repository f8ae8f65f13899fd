"""Folders of checkpoints: only one that holds exactly what its manifest lists is loaded. To add a case, add a row."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright_trainer.common import verified_folder


def sealed(place: Path) -> Path:
    staged = place / ".partial-5"
    (staged / "global_step5").mkdir(parents=True)
    (staged / "model.safetensors").write_bytes(b"weights")
    (staged / "global_step5" / "states.pt").write_bytes(b"pickle")
    verified_folder.seal(staged, place / "checkpoint-5", verified_folder.entries(staged, verified_folder.files_in(staged)), step=5)
    return place / "checkpoint-5"


def rewritten(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = json.loads((folder / verified_folder.MANIFEST).read_text())
        change(content)
        (folder / verified_folder.MANIFEST).write_text(json.dumps(content))

    return write


def replaced_by_link(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.rename(folder.parent / "elsewhere")
    file.symlink_to(folder.parent / "elsewhere")


def linked_folder(folder: Path) -> None:
    (folder / "global_step5").rename(folder.parent / "elsewhere")
    (folder / "global_step5").symlink_to(folder.parent / "elsewhere")


CASES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file more": ("extra.pt is not in", lambda folder: (folder / "extra.pt").write_bytes(b"pickle")),
    "a file more in a folder": ("global_step5/more.pt is not in", lambda folder: (folder / "global_step5" / "more.pt").write_bytes(b"x")),
    "a file less": ("model.safetensors is missing", lambda folder: (folder / "model.safetensors").unlink()),
    "a longer file": ("model.safetensors has 8 bytes", lambda folder: (folder / "model.safetensors").write_bytes(b"weights!")),
    "other content": ("model.safetensors has another sha256", lambda folder: (folder / "model.safetensors").write_bytes(b"WEIGHTS")),
    "a link instead of a file": ("model.safetensors is no regular file", replaced_by_link),
    "a link instead of a folder": ("global_step5 is no regular file", linked_folder),
    "a FIFO": ("pipe is no regular file", lambda folder: os.mkfifo(folder / "pipe")),
    "a name that moves a cursor": (r"'\x1b[2J' is not in", lambda folder: (folder / "\x1b[2J").write_bytes(b"")),
    "a listed path that leads out": (
        "../x is missing",
        rewritten(lambda content: content["files"].append({"path": "../x", "bytes": 1, "sha256": ""})),
    ),
    "a manifest without files": ("cannot be read", rewritten(lambda content: content.pop("files"))),
    "files of no kind": ("cannot be read", rewritten(lambda content: content.update(files=[1]))),
    "no manifest": ("is missing", lambda folder: (folder / verified_folder.MANIFEST).unlink()),
    "a manifest of nonsense": ("cannot be read", lambda folder: (folder / verified_folder.MANIFEST).write_text("[" * 100_000)),
}


@pytest.mark.parametrize(("named", "change"), CASES.values(), ids=CASES)
def test_a_folder_that_is_not_as_listed_is_not_loaded(tmp_path: Path, named: str, change: Callable[[Path], object]) -> None:
    folder = sealed(tmp_path)
    assert verified_folder.verify(folder) is None
    change(folder)
    assert named in (verified_folder.verify(folder) or "")
