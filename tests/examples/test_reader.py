"""The example of question answering: its answers stand where the rows say, and some contexts need windows."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tunewright_contract.questions import windows_of
from tunewright_trainer.data.formats import normalise, recognise


@pytest.fixture(scope="module")
def rows(examples: Path) -> dict[str, list[dict]]:
    parts = ("train", "validation", "test")
    return {
        part: [json.loads(line) for line in (examples / "reader" / f"questions-{part}.jsonl").read_text().splitlines()] for part in parts
    }


def test_each_row_is_one_of_squad(rows: dict[str, list[dict]]) -> None:
    for row in (row for part in rows.values() for row in part):
        assert recognise(row, {}, "QuestionAnswering") == "squad"
        assert normalise(row, format_="squad", columns={}, task="QuestionAnswering")["question"] == row["question"]
    assert any(not row["answers"]["text"] for row in rows["test"])


def test_some_contexts_need_windows_and_every_word_is_known(examples: Path, rows: dict[str, list[dict]]) -> None:
    tokenizer = Tokenizer.from_file(str(examples / "reader" / "model" / "tokenizer.json"))
    read = [windows_of(tokenizer, row["question"], row["context"], length=32, stride=8) for row in rows["train"]]
    assert {len(windows) for windows in read} > {1, 2}
    unknown = tokenizer.token_to_id("[UNK]")
    assert not any(unknown in window.tokens for windows in read for window in windows)
