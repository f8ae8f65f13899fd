"""Errors in data files, and their messages: file, line, cause."""

import json
from pathlib import Path

import pytest

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import DataFile, TrainerConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import data_sha256, read_split, read_splits

GOOD = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def line(*messages: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in messages]})


def settings(folder: Path, *, task: str = "ChatCompletion", **data: object) -> Settings:
    config = TrainerConfig.model_validate(
        {
            "job": {"namespace": "n", "name": "j", "uid": "u", "revision": "r"},
            "task": task,
            "model": {},
            "data": {"train": [{"path": "rows.jsonl"}], **data},
            "method": {"tuner": "full"},
            "training": {},
        }
    )
    return Settings(config, folder, folder, folder / "out", None, folder / "log")


BAD_FILES = {
    "missing": ("rows.jsonl", None, "rows.jsonl: the file does not exist"),
    "empty": ("rows.jsonl", b"", "rows.jsonl: the file is empty"),
    "only blank lines": ("rows.jsonl", b"\n\n", "no examples in rows.jsonl"),
    "not UTF-8": ("rows.jsonl", json.dumps(GOOD).encode() + b'\n{"messages": "caf\xe9"}', "rows.jsonl:2: not UTF-8 (byte 0xe9)"),
    "a line cut short": (
        "rows.jsonl",
        json.dumps(GOOD).encode() + b'\n{"messages": [',
        "rows.jsonl:2: not JSON: Expecting value at column 15",
    ),
    "a line that is a list": ("rows.jsonl", b"[1]", "rows.jsonl:1: the line is not a JSON object"),
    "an unknown suffix": ("rows.docx", b"x", "rows.docx: unknown file type .docx"),
    "a JSON document that is no list": ("rows.json", b"{}", "rows.json:1: a .json file must hold one list"),
    "a broken JSON document": (
        "rows.json",
        b'[\n{"text": "a"},\n{,}]',
        "rows.json:3: not JSON: Expecting property name enclosed in double quotes at column 2",
    ),
    "a CSV row too short": (
        "rows.csv",
        b"prompt,completion\na,b\nc\n",
        "rows.csv:3: the row has more or fewer fields than the header (2)",
    ),
    "no Parquet": ("rows.parquet", b"PAR1 not", "rows.parquet: not a readable Parquet file"),
}


@pytest.mark.parametrize(("name", "content", "expected"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(StageError) as caught:
        read_split([DataFile(path=name)], settings(tmp_path))

    assert caught.value.code is ExitCode.DATA
    assert expected in caught.value.message
    assert caught.value.suggestion


BAD_ROWS = {
    "an unknown format": ('{"question": "q", "answer": "a"}', "unknown format: the columns are question, answer"),
    "an unknown role": (line(("human", "hi")), "messages[0].role is 'human'; known roles are system, user, assistant"),
    "a role missing": ('{"messages": [{"content": "hi"}]}', "messages[0].role is None"),
    "content missing": ('{"messages": [{"role": "user"}]}', "messages[0].content must be text, not nothing"),
    "content in parts": (line(("user", [{"type": "text"}])), "messages[0].content must be text, not list"),
    "blank content": (line(("user", "  ")), "messages[0].content is empty"),
    "no assistant": (line(("user", "hi")), "no message with role 'assistant'"),
    "no messages": ('{"messages": []}', "'messages' is empty"),
    "messages that are no list": ('{"messages": 3}', "'messages' must be a list, not int"),
    "a message that is no object": ('{"messages": ["hi"]}', "messages[0] must be an object"),
    "tools": (json.dumps(GOOD | {"tools": [{}]}), "'tools' is not supported yet"),
    "a weight on the user": ('{"messages": [{"role": "user", "content": "hi", "weight": 0}]}', "messages[0].weight is 0"),
    "a weight that is a share": ('{"messages": [{"role": "assistant", "content": "hi", "weight": 0.5}]}', "messages[0].weight is 0.5"),
    "nothing left to learn": (
        '{"messages": [{"role": "assistant", "content": "hi", "weight": 0}]}',
        "every assistant message has weight 0",
    ),
    "text for a chat": (
        '{"text": "once upon a time"}',
        "a text row is for task TextGeneration; task ChatCompletion takes messages or promptCompletion",
    ),
}


@pytest.mark.parametrize(("row", "expected"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, expected: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f"\n{row}\n")

    with pytest.raises(StageError) as caught:
        read_split([DataFile(path="rows.jsonl")], settings(tmp_path))

    assert "rows.jsonl:2: " in caught.value.message
    assert expected in caught.value.message


def test_all_bad_rows_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(GOOD), *["{"] * 7]))

    with pytest.raises(StageError, match=r"7 problem\(s\): rows\.jsonl:2: .*rows\.jsonl:6: .*and 2 more"):
        read_split([DataFile(path="rows.jsonl")], settings(tmp_path))


GOOD_FILES = {
    "messages": ("ChatCompletion", "rows.jsonl", json.dumps(GOOD), {}),
    "with a byte order mark": ("ChatCompletion", "rows.jsonl", "\ufeff" + json.dumps(GOOD), {}),
    "one JSON document": ("ChatCompletion", "rows.json", json.dumps([GOOD]), {}),
    "prompt and completion for a chat": ("ChatCompletion", "rows.tsv", "prompt\tcompletion\nhi\thello\n", {}),
    "columns of other names": ("ChatCompletion", "rows.csv", "q,a\nhi,hello\n", {"prompt": "q", "completion": "a"}),
}


@pytest.mark.parametrize(("task", "name", "content", "columns"), GOOD_FILES.values(), ids=GOOD_FILES)
def test_a_conversation_is_recognised_in_every_file_type(
    tmp_path: Path, task: str, name: str, content: str, columns: dict[str, str]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")

    (row,) = read_split([DataFile(path=name, columns=columns)], settings(tmp_path, task=task))

    expected = [{"role": "user", "content": "hi", "weight": 1}, {"role": "assistant", "content": "hello", "weight": 1}]
    assert row["messages"] == expected
    assert row["source"].startswith(f"{name}:")


def test_parquet_is_read_row_by_row(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "rows.parquet")

    rows = read_split([DataFile(path="rows.parquet")], settings(tmp_path, task="TextGeneration"))

    assert [(row["prompt"], row["completion"], row["source"]) for row in rows] == [
        ("", "one", "rows.parquet:1"),
        ("", "two", "rows.parquet:2"),
    ]


def test_exact_duplicates_are_removed_and_the_order_is_kept(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "{word}"}}\n' for word in ("b", "a", "b", "c", "a")))

    rows = read_split([DataFile(path="rows.jsonl")], settings(tmp_path, task="TextGeneration", dedup="exact"))

    assert rows["completion"][:] == ["b", "a", "c"]


def test_the_same_share_of_train_becomes_validation_each_time(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "{n}"}}\n' for n in range(10)))
    given = settings(tmp_path, task="TextGeneration", valSetSize=0.2)

    first, second = read_splits(given), read_splits(given)

    assert (len(first.train), len(first.validation)) == (8, 2)
    assert first.validation["completion"][:] == second.validation["completion"][:]
    assert not set(first.train["completion"]) & set(first.validation["completion"])


def test_too_few_samples_are_refused_with_both_numbers(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(GOOD))

    with pytest.raises(StageError, match=r"1 training example\(s\), fewer than data\.minSamples=10"):
        read_splits(settings(tmp_path, minSamples=10))


def test_the_digest_changes_with_any_byte_of_any_file(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("a")
    before = data_sha256(settings(tmp_path))
    (tmp_path / "rows.jsonl").write_text("b")

    assert data_sha256(settings(tmp_path)) != before
