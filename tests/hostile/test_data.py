"""Data files and base folders that others wrote. Add a row for a new kind."""

import json
import os
from pathlib import Path

import pytest

from tunewright_trainer import data_files
from tunewright_trainer.base_contents import require_own_files, require_plausible_sizes
from tunewright_trainer.data_files import Problem, read_rows
from tunewright_trainer.exits import StageError

LINES = {
    "deep": (b'{"text": ' + b"[" * 200_000, "nested too deeply"),
    "digits": (b'{"text": ' + b"9" * 10_000 + b"}", "too many digits"),
    "surrogate": (b'{"text": "\\ud800"}', "surrogate"),
    "repeated key": (b'{"text": "a", "text": "b"}', "twice"),
    "NaN": (b'{"text": NaN}', "NaN is not JSON"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), "iconv -f UTF-16 "),
    "UTF-32": ('{"text": "a"}'.encode("utf-32"), "iconv -f UTF-32 "),
    "latin-1": (b'{"text": "\xe9"}', "iconv -f LATIN1 "),
    "no object": (b"[1]", "not a JSON object"),
}


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("case", LINES)
def test_a_bad_line_is_named(tmp_path: Path, case: str, suffix: str) -> None:
    raw, words = LINES[case]
    if suffix == ".json" and case == "no object":
        pytest.skip("a .json file is a list")
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(raw)
    (found,) = (row for row in list(read_rows(path, path.name))[:1])
    assert isinstance(found, Problem)
    assert words in str(found)


def test_an_emoji_in_two_escapes_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "\\ud83d\\ude00"}\n')
    (found,) = read_rows(path, path.name)
    assert not isinstance(found, Problem)
    assert found.row == {"text": "\U0001f600"}


def test_an_endless_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "LONGEST_LINE", 100)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"x" * 1000)
    (found,) = read_rows(path, path.name)
    assert "longer than 100 bytes" in str(found)


def test_what_is_no_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    for name, words in (("pipe.jsonl", "not a regular file"), ("loop.jsonl", "leads back to itself")):
        (found,) = read_rows(tmp_path / name, name)
        assert words in str(found)


def test_a_problem_is_one_printable_line() -> None:
    shown = str(Problem("a\x1b[2J\n.jsonl", 1, "x\r\u202e" + "y" * 10_000))
    assert shown.isprintable()
    assert len(shown) < 700


def _index(shard: object) -> str:
    return json.dumps({"weight_map": {"a": shard}})


FOLDERS = {
    "adapter": ({"adapter_config.json": "{}"}, "ModelIsAdapter"),
    "parent": ({"model.safetensors.index.json": _index("../x.safetensors")}, "ModelOutsideFolder"),
    "absolute": ({"model.safetensors.index.json": _index("/x.safetensors")}, "ModelOutsideFolder"),
    "pickle": ({"model.safetensors.index.json": _index("x.bin"), "x.bin": ""}, "ModelOutsideFolder"),
    "number": ({"model.safetensors.index.json": _index(1)}, "ModelOutsideFolder"),
    "missing": ({"model.safetensors.index.json": _index("x.safetensors")}, "WeightsMissing"),
    "no map": ({"model.safetensors.index.json": "[]"}, "ModelUnsupported"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_reaches_elsewhere_is_refused(tmp_path: Path, case: str) -> None:
    files, reason = FOLDERS[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(StageError) as refused:
        require_own_files(tmp_path)
    assert refused.value.reason == reason


def test_links_stay_in_the_folder_or_the_hubs_cache(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--a" / "snapshots" / "c0ffee", tmp_path / "models--a" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1").write_text("{}", encoding="utf-8")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1")
    require_own_files(snapshot)
    (tmp_path / "secret").write_text("{}", encoding="utf-8")
    (snapshot / "tokenizer.json").symlink_to(tmp_path / "secret")
    with pytest.raises(StageError, match="outside"):
        require_own_files(snapshot)


@pytest.mark.parametrize("value", [10**9, -1, 0, "12", 1.5, True, [1]])
@pytest.mark.parametrize("nested", [False, True])
def test_impossible_sizes_are_refused(tmp_path: Path, value: object, nested: bool) -> None:
    sizes = {"num_hidden_layers": value}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": sizes} if nested else sizes), encoding="utf-8")
    with pytest.raises(StageError, match="num_hidden_layers"):
        require_plausible_sizes(tmp_path / "config.json")
