"""Untrusted Parquet files: their expanded size counts, not the file's. Add a row for a new kind."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tunewright_trainer.data.files import read_rows
from tunewright_trainer.data.rows import Located, Opaque, RowProblem

MEBI = 2**20


def _write(path: Path, columns: dict[str, pa.Array], **options: object) -> None:
    parquet.write_table(pa.table(columns), path, compression="zstd", **options)


def _repeated(size: int, rows: int) -> pa.Array:
    """One text in a dictionary, and `rows` references to it."""
    zeros = pa.repeat(pa.scalar(0, pa.int32()), rows)
    return pa.DictionaryArray.from_arrays(zeros, pa.array(["x" * size]))


def _listed(values: pa.Array) -> pa.Array:
    """All values as the one list of the one row."""
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _nested(depth: int) -> pa.DataType:
    kind = pa.string()
    for _ in range(depth):
        kind = pa.struct([("a", kind)])
    return kind


def _cut(path: Path) -> None:
    _write(path, {"text": pa.array([str(number) for number in range(10_000)])})
    raw = path.read_bytes()
    middle = len(raw) // 3
    path.write_bytes(raw[:middle] + b"\xff" * 64 + raw[middle + 64 :])


BOMBS: dict[str, tuple[Callable[[Path], object], str]] = {
    "200 GB by references": (lambda path: _write(path, {"text": _repeated(MEBI, 200_000)}), "far more than the file has"),
    "200 GB without Arrow's schema": (
        lambda path: _write(path, {"text": _repeated(MEBI, 200_000)}, store_schema=False),
        "far more than the file has",
    ),
    "many rows": (lambda path: _write(path, {"text": _repeated(5000, 1_000_000)}), "far more than the file has"),
    "one row of 300 GB": (lambda path: _write(path, {"text": _listed(_repeated(MEBI, 300_000))}), "rows.parquet:1: "),
    "one row of 300 GB without Arrow's schema": (
        lambda path: _write(path, {"text": _listed(_repeated(MEBI, 300_000))}, store_schema=False),
        "rows.parquet:1: the next 16 rows need more than 2147483648 bytes of memory",
    ),
    "one text of 100 MB": (lambda path: _write(path, {"text": pa.array(["x" * 100 * MEBI])}), "rows.parquet:1: "),
    "one text of 20 MB": (
        lambda path: _write(path, {"text": pa.array(["a", "x" * 20 * MEBI])}),
        "rows.parquet:2: the row is longer than 16777216 bytes",
    ),
    "deep": (lambda path: _write(path, {"text": pa.nulls(1, _nested(1000))}, store_schema=False), "too deeply nested"),
    "no UTF-8": (
        lambda path: _write(
            path, {"text": pa.StringArray.from_buffers(1, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff"))}
        ),
        "not a readable Parquet file: 'utf-8' codec can't decode",
    ),
    "damaged": (_cut, "not a readable Parquet file"),
}
READ = """
import resource, sys
from pathlib import Path
from tunewright_trainer.data.files import read_rows
for last in read_rows(Path(sys.argv[1]), "rows.parquet"):
    pass
print(last)
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]  # ru_maxrss counts the parent in
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture(scope="session")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bombs")


@pytest.mark.parametrize("case", BOMBS)
def test_an_expanding_file_is_refused_by_row_in_bounded_memory(bombs: Path, case: str) -> None:
    make, words = BOMBS[case]
    path = bombs / f"{case}.parquet"
    make(path)
    assert path.stat().st_size < 200_000
    said = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True, timeout=300).stdout
    last, kibibytes = said.splitlines()
    assert words in last
    reader, decoder = map(int, kibibytes.split())
    assert reader < 300 * 1024
    assert decoder <= 2 * 2**20


def test_a_crash_of_the_process_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "rows.parquet", {"text": pa.array(["a"])})
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (found,) = read_rows(tmp_path / "rows.parquet", "rows.parquet")
    assert "its library failed at this row" in str(found)


def test_a_reader_that_stops_early_leaves_no_process(tmp_path: Path) -> None:
    _write(tmp_path / "rows.parquet", {"text": pa.array(["a"] * 100_000)})
    rows = read_rows(tmp_path / "rows.parquet", "rows.parquet")
    assert isinstance(next(rows), Located)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    rows.close()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > before  # it has been waited for


ROWS = {
    "texts": (pa.array(["a", "b\né\u2028"]), ["a", "b\né\u2028"]),
    "lists": (pa.array([[{"role": "user", "n": 1}], []]), [[{"role": "user", "n": 1}], []]),
    "numbers": (pa.array([1.5, None]), [1.5, None]),
    "bytes": (pa.array([b"a", None]), [Opaque("bytes"), None]),
    "times": (pa.array([0, None], pa.timestamp("s")), [Opaque("datetime"), None]),
    "references": (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
}


@pytest.mark.parametrize("case", ROWS)
def test_values_are_not_changed(tmp_path: Path, case: str) -> None:
    array, expected = ROWS[case]
    _write(tmp_path / "rows.parquet", {"value": array})
    found = [item.row["value"] for item in read_rows(tmp_path / "rows.parquet", "rows.parquet") if isinstance(item, Located)]
    assert found == expected


NAMES = {
    "two columns of one name": (["a", "a"], "two columns have the same name"),
    "the name of what JSON lacks": (["\0kind", "b"], "rows.parquet: the row is not an object"),
}


@pytest.mark.parametrize("case", NAMES)
def test_hostile_names_are_refused(tmp_path: Path, case: str) -> None:
    names, words = NAMES[case]
    parquet.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=names), tmp_path / "rows.parquet")
    (found,) = read_rows(tmp_path / "rows.parquet", "rows.parquet")
    assert isinstance(found, RowProblem)
    assert words in str(found).replace(":1:", ":")


def test_rows_keep_their_order_over_row_groups(tmp_path: Path) -> None:
    texts = [json.dumps(number) for number in range(1000)]
    _write(tmp_path / "rows.parquet", {"text": pa.array(texts)}, row_group_size=37)
    found = [(item.line, item.row["text"]) for item in read_rows(tmp_path / "rows.parquet", "rows.parquet") if isinstance(item, Located)]
    assert found == list(enumerate(texts, start=1))
