"""The examples of translation and summarization: no test pair is trained on, and the tokenizer has every word."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

KINDS, PARTS = ("orders", "calls"), ("train", "validation", "test")


def rows(examples: Path, kind: str, part: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (examples / "translator" / f"{kind}-{part}.jsonl").read_text(encoding="utf-8").splitlines()]


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
