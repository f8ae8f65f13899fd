"""Reads the Parquet file that is its standard input and writes one line of JSON for each row: run as a process of its own.

A few bytes of Parquet can expand to any amount of memory, and invalid ones have crashed the library. So this process is limited to
MEMORY_BYTES of address space, and its crash affects no other. Each line is `{"row": …}`, or `{"problem": …}`, and the last
one `{"end": true}`. A value of a type that JSON lacks is written as `{KIND: name of its type}`.
"""

import contextlib
import json
import resource
import sys
from typing import Any

MEMORY_BYTES = 2 * 2**30
ROWS_TOGETHER = 16  # decoded at once; each may have LONGEST_ROW bytes
KIND = "\0kind"
_READ_TOGETHER = 2**20  # bytes of a column; otherwise its whole part of a row group is read

_FOOTER = {"thrift_string_size_limit": 16 * 2**20, "thrift_container_size_limit": 100_000}  # bytes; entries of one list


def main() -> None:
    """Write the rows of standard input to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        _write_rows()
        answer: dict[str, Any] = {"end": True}
    except BrokenPipeError:
        return  # the reader has closed the pipe
    except MemoryError:
        answer = {"problem": "memory"}
    except RecursionError:
        answer = {"problem": "the row is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - the library raises many error types
        answer = {"problem": f"not a readable Parquet file: {str(error)[:400]}"}
    with contextlib.suppress(BrokenPipeError):
        _write(answer)
        sys.stdout.flush()


def _write_rows() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    pa.set_cpu_count(1)
    source = pa.PythonFile(sys.stdin.buffer, mode="r")
    with parquet.ParquetFile(source, pre_buffer=False, buffer_size=_READ_TOGETHER, **_FOOTER) as file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            _write({"problem": "two columns have the same name"})
            return
        for batch in file.iter_batches(batch_size=ROWS_TOGETHER, use_threads=False):
            for row in batch.to_pylist():
                _write({"row": row})


def _write(answer: dict[str, Any]) -> None:
    line = json.dumps(answer, ensure_ascii=False, default=lambda value: {KIND: type(value).__name__})
    sys.stdout.buffer.write(line.encode() + b"\n")


if __name__ == "__main__":
    main()
