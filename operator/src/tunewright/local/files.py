"""Writes files atomically, and reads only regular files."""

import json
import os
import stat
import tempfile
from io import BufferedReader
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file atomically and durably. After an error the previous file is unchanged, and no temporary file is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(mode)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write JSON atomically."""
    write_whole(path, json.dumps(value, indent=1, sort_keys=True).encode(), mode=mode)


def read_json(path: Path) -> Any:
    """Read JSON, or None if there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class NotRegularError(Exception):
    """A pipe, a socket or a device."""


def open_regular(path: Path) -> BufferedReader:
    """Open for reading; links are followed. Raises NotRegularError, and OSError if it cannot be opened (a folder: IsADirectoryError)."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotRegularError(f"{path} is no regular file")
    return file
