"""Reads rows of a Parquet file through a separate process with bounded memory (`parquet_process`).

Promises that a small file cannot fill memory or disk: its rows can take at most MOST_EXPANSION times its size.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from tunewright_trainer.data import parquet_process
from tunewright_trainer.data.json_files import require_shallow
from tunewright_trainer.data.rows import LONGEST_ROW, Located, Opaque, RowProblem

MOST_EXPANSION = 200  # times the file; text compresses tenfold, and a repeated system prompt a hundredfold
ALWAYS_ALLOWED = 64 * 2**20  # bytes of rows, also for a tiny file

_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "HOME", "LANG")  # and no token
_LONGEST_ANSWER = LONGEST_ROW + 100  # bytes
_WAY_OUT = "write the rows to a .jsonl file"


def parquet_rows(file: BinaryIO, name: str) -> Iterator[Located | RowProblem]:
    """The rows, counted from 1."""
    most = max(ALWAYS_ALLOWED, MOST_EXPANSION * os.fstat(file.fileno()).st_size)
    environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-m", parquet_process.__name__],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"ARROW_DEFAULT_MEMORY_POOL": "system"},  # other pools reserve address space ahead
    )
    assert process.stdout is not None  # noqa: S101 - a pipe
    number = taken = 0
    try:
        while True:
            raw = process.stdout.readline(_LONGEST_ANSWER)
            taken += len(raw)
            answer = _answer(raw, name, number + 1)
            if isinstance(answer, RowProblem):
                yield answer
                return
            if "row" not in answer:
                return
            number += 1
            if taken > most:
                yield RowProblem(name, number, f"the rows up to here take more than {most} bytes, far more than the file has; {_WAY_OUT}")
                return
            yield Located(name, number, answer["row"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _answer(raw: bytes, name: str, line: int) -> dict[str, Any] | RowProblem:
    """Return the process's result for the row at `line`."""
    if len(raw) == _LONGEST_ANSWER:
        return RowProblem(name, line, f"the row is longer than {LONGEST_ROW} bytes; shorten it")
    if not raw.endswith(b"\n"):
        return RowProblem(name, line, "not a readable Parquet file: its library failed at this row or one of the next")
    answer: dict[str, Any] = json.loads(raw, object_hook=_opaque)
    if answer.get("problem") == "memory":
        greatest = f"more than {parquet_process.MEMORY_BYTES} bytes of memory"
        return RowProblem(name, line, f"the next {parquet_process.ROWS_TOGETHER} rows need {greatest}; {_WAY_OUT}")
    if "problem" in answer:
        return RowProblem(name, line if line > 1 else None, answer["problem"])
    if not isinstance(answer.get("row", {}), dict):
        return RowProblem(name, line, "the row is not an object")
    try:
        require_shallow(answer)
    except ValueError as error:
        return RowProblem(name, line, str(error))
    return answer


def _opaque(found: dict[str, Any]) -> Any:
    return Opaque(str(found[parquet_process.KIND])) if parquet_process.KIND in found else found
