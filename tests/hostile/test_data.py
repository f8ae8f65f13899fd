"""Untrusted data files. Add a row for a new kind."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from tunewright_contract.trainer_config import DataFile, TrainerConfig
from tunewright_trainer.common.cgroup import memory_limit
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data import files, json_files, reading, rows, utf8
from tunewright_trainer.data.files import read_rows
from tunewright_trainer.data.formats import BadRow, normalise
from tunewright_trainer.data.rows import Located, RowProblem
from tunewright_trainer.export.lineage import weights_sha256
from tunewright_trainer.tuning.inputs import describe

LINES = {
    "deep": (b'{"text": ' + b"[" * 200_000, "nested too deeply"),
    "just too deep": (b'{"text": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
    "digits": (b'{"text": ' + b"9" * 10_000 + b"}", "too many digits"),
    "surrogate": (b'{"text": "\\ud800"}', "surrogate"),
    "repeated key": (b'{"text": "a", "text": "b"}', "twice"),
    "NaN": (b'{"text": NaN}', "NaN is not JSON"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), "iconv -f UTF-16 "),
    "UTF-32": ('{"text": "a"}'.encode("utf-32"), "iconv -f UTF-32 "),
    "UTF-16, no mark": ('{"text": "a"}'.encode("utf-16-le"), "iconv -f UTF-16LE "),
    "UTF-16 of the other order, no mark": ('{"text": "a"}'.encode("utf-16-be"), "iconv -f UTF-16BE "),
    "UTF-32, no mark": ('{"text": "a"}'.encode("utf-32-le"), "iconv -f UTF-32LE "),
    "UTF-32 of the other order, no mark": ('{"text": "a"}'.encode("utf-32-be"), "iconv -f UTF-32BE "),
    "latin-1": (b'{"text": "\xe9"}', "iconv -f LATIN1 "),
    "a zero byte": (b'{"text": "a\0"}', "holds a zero byte at character 12; the file is damaged"),
    "no object": (b"[1]", "not a JSON object"),
}


COLUMNS = {
    "latin-1": (b"Zo\xe9 B-PER", 1, "iconv -f LATIN1 "),
    "UTF-16": ("Zoe B-PER".encode("utf-16"), 1, "iconv -f UTF-16 "),
    "a zero byte": (b"Ada B-PER\n\nZo\0e B-PER", 3, "holds a zero byte"),
    "one column": (b"Ada\n", 1, "the line has one column"),
    "a line without an end": (b"a" * (rows.LONGEST_ROW + 1), 1, "the line is longer than"),
    "a sentence without an end": (
        b"Ada B-PER\n" * (rows.LONGEST_ROW // 10 + 1),
        rows.LONGEST_ROW // 10 + 1,
        "end each sentence with an empty",
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_bad_line_of_columns_is_named(tmp_path: Path, case: str) -> None:
    raw, line, words = COLUMNS[case]
    path = tmp_path / "corpus.conll"
    path.write_bytes(raw)
    problems = [str(found) for found in read_rows(path, path.name) if isinstance(found, RowProblem)]
    assert problems[0].startswith(f"corpus.conll:{line}: ")
    assert words in problems[0]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("case", LINES)
def test_a_bad_line_is_named(tmp_path: Path, case: str, suffix: str) -> None:
    raw, words = LINES[case]
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(raw)
    found = next(read_rows(path, path.name))
    assert isinstance(found, RowProblem)
    assert f"{path.name}:1: " in str(found)
    assert words in str(found)


def test_the_greatest_depth_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": ' + b"[" * 99 + b"]" * 99 + b"}")
    assert isinstance(next(read_rows(path, path.name)), Located)


@pytest.mark.parametrize("mark", ["utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_another_encoding_is_reported_once(tmp_path: Path, suffix: str, mark: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(('{"text": "a"}\n' * 1000).encode(mark))
    assert len(list(read_rows(path, path.name))) == 1


SEPARATED = {
    "a quote that swallows the file": ('text\na\n"b\n' + "c\n" * 1000, "rows.csv:3: not valid CSV: unexpected end of data"),
    "a quote that another one closes": ('text,n\na,1\n"b,1\nc,1\nd,"1\n', "rows.csv:3: not valid CSV: ',' expected after '\"'"),
    "a quote that swallows lines": (
        'text,n\na,1\n"b,1\nc,1"\n',
        "rows.csv:4: the row has more or fewer fields than the header (2); it begins in line 3",
    ),
    "an endless field": ('text\n"' + "a\n" * 100_000, "rows.csv:2: not valid CSV: field larger than field limit"),
    "a zero byte": ("text\na\nb\0\n", "rows.csv:3: holds a zero byte at character 2"),
    "latin-1 far down": ("text\n" + "a\n" * 20_000 + "\xe9\n", "rows.csv:20002: not UTF-8 (byte 0xe9)"),
    "a column twice": ("text,text\na,b\n", "rows.csv:1: the header has the column 'text' twice"),
    "endless columns": ("a," * 5000 + "\n", "rows.csv:1: the header has more than 4096 columns"),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_a_bad_record_is_named_where_it_begins(tmp_path: Path, case: str) -> None:
    text, words = SEPARATED[case]
    (tmp_path / "rows.csv").write_bytes(text.encode("latin-1"))
    *_, found = read_rows(tmp_path / "rows.csv", "rows.csv")
    assert isinstance(found, RowProblem)
    assert words in str(found)


LISTS = {
    "not closed": ('[{"a": 1}', "rows.json:1: not JSON: the list is not closed at column 10"),
    "no comma": ('[{"a": 1}\n{"a": 1}]', "rows.json:2: not JSON: Expecting ',' delimiter at column 1"),
    "a comma at the end": ('[{"a": 1},\n]', "rows.json:2: not JSON: Expecting value at column 1"),
    "more after it": ('[{"a": 1}]\n\n  []', "rows.json:3: not JSON: Extra data at column 3"),
    "one object per line": (
        '{"a": 1}\n{"a": 1}\n',
        "rows.json:1: a .json file must hold one list of objects; for one object per line name it .jsonl",
    ),
    "blank": (" \n ", "rows.json:2: not JSON: Expecting value"),
    "far down": (
        "[" + '{"a": 1},\n' * 200_000 + '{"a" 1}' + ',\n{"a": 1}' * 200_000 + "]",
        "rows.json:200001: not JSON: Expecting ':' delimiter at column 6",
    ),
    "a text not closed": ('[{"a": "' + "x" * 100, "rows.json:1: not JSON: Unterminated string starting at at column 8"),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_broken_list_is_named_with_line_and_column(tmp_path: Path, case: str) -> None:
    text, words = LISTS[case]
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    *_, found = read_rows(tmp_path / "rows.json", "rows.json")
    assert words in str(found)


_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(_CHARACTERS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(_CHARACTERS), inner),
)


@bounded(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.text(_CHARACTERS), VALUES)),
    indent=st.none() | st.integers(0, 3),
    ascii_=st.booleans(),
    chunk=st.integers(1, 50),
)
def test_a_list_read_in_chunks_is_equal_to_the_list(
    tmp_path_factory: pytest.TempPathFactory, rows: list[object], indent: int | None, ascii_: bool, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("list") / "rows.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_), encoding="utf-8")
    expected = json.loads(path.read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_files, "_CHUNK", chunk)
        found = list(read_rows(path, path.name))
    assert [item.row for item in found if isinstance(item, Located)] == expected


def test_an_emoji_in_two_escapes_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "\\ud83d\\ude00"}\n')
    (found,) = read_rows(path, path.name)
    assert not isinstance(found, RowProblem)
    assert found.row == {"text": "\U0001f600"}


ENDLESS = {
    "a line": ("rows.jsonl", utf8, '{"a": 1}\n' + "x" * 1000, "rows.jsonl:2: the line is longer than 100 bytes"),
    "an element": ("rows.json", json_files, '[{"a": 1},\n{"a": "' + "x" * 1000, "rows.json:2: an element is longer than 100 characters"),
    "an element that ends": (
        "rows.json",
        json_files,
        '[{"a": 1},\n{"a": "' + "x" * 1000 + '"}]',
        "rows.json:2: an element is longer than 100 characters",
    ),
    "a row of CSV": ("rows.csv", files, "a\n1\n" + "x" * 1000, "rows.csv:3: not valid CSV: the row is longer than 100 characters"),
    "a row of CSV over many lines": (
        "rows.csv",
        files,
        'a\n1\n"' + 'x","\n' * 1000,
        "rows.csv:3: not valid CSV: the row is longer than 100 characters",
    ),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_an_endless_row_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    name, module, text, words = ENDLESS[case]
    monkeypatch.setattr(module, "LONGEST_ROW", 100)
    monkeypatch.setattr(json_files, "_CHUNK", 10)
    (tmp_path / name).write_text(text, encoding="utf-8")
    *_, found = read_rows(tmp_path / name, name)
    assert words in str(found)


CELLS = {
    "deep": ("[" * 5000, "nested too deeply"),
    "digits": ("9" * 5000, "too many digits"),
    "no JSON": ("[", "not JSON: Expecting value at column 2"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_of_json_is_read_as_strictly_as_a_line(case: str) -> None:
    cell, words = CELLS[case]
    with pytest.raises(BadRow, match=words):
        normalise({"messages": cell}, format_="messages", columns={}, task="ChatCompletion")


ANSWERS = {
    "a long answer beside its place": ("a" * 400_000 + "b" + "a" * 400_000, "a" * 400_000, 1, "but at character 0"),
    "a long answer that is nowhere": ("a" * 800_000, "a" * 400_000 + "b", 1, "the context does not hold it"),
    "a start beyond all numbers": ("oak", "oak", 10**400, "but at character 0"),
    "an answer of control characters": ("oak", "\x1b[2J", 0, r"'\\x1b\[2J' does not stand"),
    "an answer as deep as a cell may be": ("oak", [[]], 0, "must be text, not list"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_at_a_wrong_place_is_refused(case: str) -> None:
    context, answer, start, words = ANSWERS[case]
    row = {"question": "What?", "context": context, "answers": {"text": [answer], "answer_start": [start]}}
    with pytest.raises(BadRow, match=words) as refused:
        normalise(row, format_="squad", columns={}, task="QuestionAnswering")
    assert len(str(refused.value)) < 1000


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))  # a socket's whole path may have 107 bytes


def _loop(path: Path) -> None:
    path.with_name("other").symlink_to(path.name)
    path.symlink_to("other")


def _outside(path: Path) -> None:
    (path.parent.parent / "secret.jsonl").write_text("{}", encoding="utf-8")
    path.symlink_to("../secret.jsonl")


def _through_a_folder(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rows.jsonl").write_text("{}", encoding="utf-8")
    path.with_name("folder").symlink_to(elsewhere)
    path.symlink_to("folder/rows.jsonl")


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "not a regular file"),
    "a socket": (_socket, "not a regular file"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a link out of its folder"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "is a link to itself"),
    "links in a circle": (_loop, "is a link to itself"),
    "a link that dangles": (lambda path: path.symlink_to("nothing"), "a link to a file that does not exist"),
    "a link out of the folder": (_outside, "is a link out of its folder"),
    "a link over a folder that leads out": (_through_a_folder, "is a link out of its folder"),
    "a link to a process's memory": (lambda path: path.symlink_to("/proc/self/mem"), "is a link out of its folder"),
    "a folder": (Path.mkdir, "is a folder"),
    "nothing": (lambda path: path, "does not exist"),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A job whose one data file is corpus/rows.jsonl."""
    (tmp_path / "data" / "corpus").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    config = TrainerConfig.model_validate(
        {
            "job": {"namespace": "n", "name": "j", "uid": "u", "revision": "r"},
            "task": "TextGeneration",
            "model": {},
            "data": {"train": [{"path": "corpus/rows.jsonl"}]},
            "method": {"tuner": "full"},
            "training": {},
        }
    )
    return Settings(config, tmp_path / "model", tmp_path / "data", tmp_path / "out", None, tmp_path / "log")


DOORS: dict[str, Callable[[Settings], object]] = {
    "reading": reading.read_splits,
    "the format": reading.data_format,
    "the digest": reading.data_sha256,
    "a checkpoint's inputs": describe,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", NO_FILES)
def test_every_reader_refuses_a_path_that_is_no_file_of_the_folder(settings: Settings, case: str, door: str) -> None:
    make, words = NO_FILES[case]
    make(settings.data_dir / "corpus" / "rows.jsonl")
    with pytest.raises(StageError, match=words) as refused:
        DOORS[door](settings)
    assert refused.value.reason == "DataInvalid"
    assert "corpus/rows.jsonl: " in refused.value.message


@pytest.mark.parametrize("path", ["../secret.jsonl", "corpus/../../secret.jsonl"])
def test_a_path_out_of_the_data_folder_is_refused(settings: Settings, path: str) -> None:
    (settings.data_dir.parent / "secret.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    with pytest.raises(StageError, match="is a link out of its folder"):
        reading.read_split([DataFile(path=path)], settings)


def test_links_within_the_folder_and_the_hubs_cache_are_followed(settings: Settings) -> None:
    """A mounted ConfigMap links within its folder; a snapshot of the hub's cache to the cache's blobs; and the folder may be a link."""
    cache = settings.data_dir.parent / "datasets--a"
    (cache / "snapshots" / "c0ffee" / "data").mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "1").write_text('{"text": "a"}', encoding="utf-8")
    (cache / "snapshots" / "c0ffee" / "data" / "rows.jsonl").symlink_to("../../../blobs/1")
    (settings.data_dir / "hub").symlink_to(cache / "snapshots" / "c0ffee" / "data")
    corpus = settings.data_dir / "corpus"
    (corpus / "..today").mkdir()
    (corpus / "..today" / "rows.jsonl").write_text('{"text": "b"}', encoding="utf-8")
    (corpus / "..data").symlink_to("..today")
    (corpus / "rows.jsonl").symlink_to("..data/rows.jsonl")
    found = reading.read_split([DataFile(path="hub/rows.jsonl"), DataFile(path="corpus/rows.jsonl")], settings)
    assert found["completion"][:] == ["a", "b"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["a pipe", "a device"])
def test_weights_that_are_not_a_file_do_not_block(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "model.safetensors")
    with pytest.raises(StageError, match=r"model\.safetensors"):
        weights_sha256(tmp_path)


def test_problems_are_counted_but_not_stored(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    summary = reading._summary
    monkeypatch.setattr(reading, "_summary", lambda shown, count: kept.append(len(shown)) or summary(shown, count))
    (settings.data_dir / "corpus" / "rows.jsonl").write_bytes(b"{\n" * 10_000)
    with pytest.raises(StageError, match="10000 problem") as refused:
        reading.read_splits(settings)
    assert kept == [5]
    assert len(refused.value.message) < 4096


def test_more_examples_than_memory_holds_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "memory_limit", lambda: 100_000)
    (settings.data_dir / "corpus" / "rows.jsonl").write_bytes(b'{"text": "a"}\n' * 1000)
    with pytest.raises(StageError, match=r"corpus/rows.jsonl:\d+: with the \d+ example.* 50000 bytes of memory") as refused:
        reading.read_splits(settings)
    assert "workers.resources.limits.memory" in refused.value.suggestion


def test_the_smallest_memory_limit_counts(tmp_path: Path) -> None:
    physical = memory_limit(tmp_path)
    assert physical > 2**20
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n", encoding="utf-8")
    assert memory_limit(tmp_path) == physical
    (tmp_path / "memory.max").write_text("1048576\n", encoding="utf-8")
    assert memory_limit(tmp_path) == 2**20


def test_a_problem_is_one_printable_line() -> None:
    shown = str(RowProblem("a\x1b[2J\n.jsonl", 1, "x\r\u202e" + "y" * 10_000))
    assert shown.isprintable()
    assert len(shown) < 700
