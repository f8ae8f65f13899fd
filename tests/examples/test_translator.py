"""The examples of translation and summarization: their files are reproducible, and the tokenizer knows every word."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from tokenizers import Tokenizer

KINDS, PARTS = ("orders", "calls"), ("train", "validation", "test")


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def rows(examples: Path, kind: str, part: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (examples / "translator" / f"{kind}-{part}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_committed_files_equal_the_generated_ones(examples: Path, tmp_path: Path) -> None:
    folder = examples / "translator"
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.jsonl")} == module(folder / "pairs.py").files()
    module(folder / "base.py").build(tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in (folder / "model").iterdir()} == {
        path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_no_source_of_the_test_file_is_in_the_others_and_one_source_has_one_target(examples: Path, kind: str) -> None:
    found = {part: rows(examples, kind, part) for part in PARTS}
    assert not {row["completion"] for row in found["test"]} & {row["completion"] for part in PARTS[:2] for row in found[part]}
    pairs = {(row["prompt"], row["completion"]) for part in PARTS for row in found[part]}
    assert len({source for source, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_is_known(examples: Path, kind: str) -> None:
    tokenizer = Tokenizer.from_file(str(examples / "translator" / "model" / "tokenizer.json"))
    texts = [text for part in PARTS for row in rows(examples, kind, part) for text in row.values()]
    assert tokenizer.token_to_id("<unk>") not in {token for text in texts for token in tokenizer.encode(text).ids}
