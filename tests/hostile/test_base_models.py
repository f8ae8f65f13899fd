"""Untrusted base models, from a folder or the hub, at each place where a library loads them. Add a row for a new kind."""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import tiny
from gang import job

from tunewright_contract.text import holds_control
from tunewright_contract.trainer_config import TrainerConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.base_model import base_folder, load_config
from tunewright_trainer.tuning.tokenizer import load_tokenizer

HUB = {"hub": {"repo": "someone/something", "revision": "main"}}
FROM_SCRATCH = {"fromScratch": True}
FOLDER: dict[str, Any] = {}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base(tiny.phi3(), tmp_path_factory.mktemp("good") / "phi3")


@pytest.fixture
def base(good: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(good, tmp_path / "base"))


@pytest.fixture
def hub(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the hub: a repository with the files of `base`. Returns the folder of its snapshots."""
    snapshots = tmp_path / "cache" / "models--someone--something" / "snapshots"

    def download(repo: str, *, revision: str, allow_patterns: list[str]) -> str:
        snapshot = snapshots / "c0ffee"
        snapshot.mkdir(parents=True, exist_ok=True)
        for path in base.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, snapshot, follow_symlinks=False)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return snapshots


def settings(base: Path, model: dict[str, Any]) -> Settings:
    folder = base.parent
    return Settings(
        config=TrainerConfig.model_validate(job(model=model)),
        model_dir=None if "hub" in model else base,
        data_dir=folder,
        output_dir=folder,
        publish_dir=None,
        termination_log=folder / "log",
    )


def adapter(base: Path) -> None:
    (base / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}), encoding="utf-8")


def index_elsewhere(base: Path) -> None:
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}), encoding="utf-8")


def index_of_pickles(base: Path) -> None:
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x.bin"}}), encoding="utf-8")


def tokenizer_link(base: Path) -> None:
    secret = base.parent / "secret"
    shutil.move(base / "tokenizer.json", secret)
    (base / "tokenizer.json").symlink_to(secret)


def config_link(base: Path) -> None:
    secret = base.parent / "secret"
    shutil.move(base / "config.json", secret)
    (base / "config.json").symlink_to(secret)


SPOILS = {
    adapter: "ModelIsAdapter",
    index_elsewhere: "ModelOutsideFolder",
    index_of_pickles: "ModelOutsideFolder",
    tokenizer_link: "ModelOutsideFolder",
    config_link: "ModelOutsideFolder",
}


@pytest.mark.parametrize("source", [FOLDER, FROM_SCRATCH, HUB], ids=["folder", "fromScratch", "hub"])
@pytest.mark.parametrize("door", [base_folder, load_config, load_tokenizer])
@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.usefixtures("hub")
def test_every_loader_refuses_a_base_with_files_outside(base: Path, source: dict[str, Any], door, spoil) -> None:
    spoil(base)
    with pytest.raises(StageError) as refused:
        door(settings(base, source))
    assert refused.value.reason == SPOILS[spoil]


@pytest.mark.parametrize("source", [FOLDER, FROM_SCRATCH, HUB], ids=["folder", "fromScratch", "hub"])
@pytest.mark.usefixtures("hub")
def test_every_loader_accepts_a_valid_base(base: Path, source: dict[str, Any]) -> None:
    for door in (base_folder, load_config, load_tokenizer):
        assert door(settings(base, source)) is not None


def test_from_the_hub_no_code_and_no_pickle_is_fetched(base: Path, hub: Path) -> None:
    for name in ("modeling_phi3.py", "tokenization_phi3.py", "pytorch_model.bin", "scheduler.pt"):
        (base / name).write_text("raise SystemExit", encoding="utf-8")
    base_folder(settings(base, HUB))
    assert {path.suffix for path in (hub / "c0ffee").iterdir()} <= {".json", ".model", ".txt", ".jinja", ".safetensors"}


def test_an_index_without_its_shards_is_enough_for_the_configuration(base: Path, hub: Path) -> None:
    (base / "model.safetensors").unlink()
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}), encoding="utf-8")
    assert load_config(settings(base, HUB)) is not None
    assert base_folder(settings(base, FROM_SCRATCH)) == base
    with pytest.raises(StageError) as refused:
        base_folder(settings(base, HUB))
    assert refused.value.reason == "WeightsMissing"


# What config.json is: its bytes, or what is laid over a good one.
CONFIGS: dict[str, bytes | dict[str, Any]] = {
    "nothing": b"",
    "no object": b"[1]",
    "deep": b'{"model_type": "phi3", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"model_type": "phi3", "a": "\xe9"}',
    "cut short": b'{"model_type": "phi3"',
    "5,000 digits": b'{"model_type": "phi3", "rope_theta": ' + b"9" * 5000 + b"}",
    "no architecture": {"model_type": None},
    "unknown architecture": {"model_type": "poetry"},
    "control characters": {"model_type": "a\x1b[2J\u202eb" * 2000},
    "an architecture that is a list": {"model_type": ["phi3"]},
    "an architecture that is a map": {"model_type": {}},
    "400 digits": {"num_attention_heads": 10**400},
    "400 digits in a list of a map": {"anything": {"at all": [1, -(10**400)]}},
    "a map for a number": {"num_attention_heads": {}},
    "a number for a map": {"rope_parameters": 5},
    "a word for a type": {"dtype": "float7"},
    "a list for the labels": {"id2label": [1]},
}


@pytest.mark.parametrize("case", CONFIGS)
def test_any_invalid_config_is_refused_with_a_reason(base: Path, case: str) -> None:
    content = CONFIGS[case]
    if isinstance(content, dict):
        content = json.dumps(json.loads((base / "config.json").read_text(encoding="utf-8")) | content).encode()
    (base / "config.json").write_bytes(content)
    with pytest.raises(StageError) as refused:
        load_config(settings(base, FOLDER))
    assert refused.value.reason == "ModelUnsupported"
    assert "config.json" in refused.value.message
    assert len(refused.value.message) < 1000 + len(str(base))
    assert not holds_control(refused.value.message)
    assert refused.value.suggestion
