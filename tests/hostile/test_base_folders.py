"""Folders of untrusted base models. Add a row for a new kind."""

import json
from pathlib import Path

import pytest

from tunewright_trainer.common.exits import StageError
from tunewright_trainer.tuning.base_contents import require_own_files, require_plausible_sizes


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
def test_a_folder_with_files_outside_is_refused(tmp_path: Path, case: str) -> None:
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
    with pytest.raises(StageError, match="is a link out of its folder"):
        require_own_files(snapshot)


@pytest.mark.parametrize("value", [10**9, -1, 0, "12", 1.5, True, [1]])
@pytest.mark.parametrize("nested", [False, True])
def test_impossible_sizes_are_refused(tmp_path: Path, value: object, nested: bool) -> None:
    sizes = {"num_hidden_layers": value}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": sizes} if nested else sizes), encoding="utf-8")
    with pytest.raises(StageError, match="num_hidden_layers"):
        require_plausible_sizes(tmp_path / "config.json")
