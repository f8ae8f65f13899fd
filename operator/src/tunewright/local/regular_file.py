"""Opens a file of unknown kind: never waits for a pipe's writer or a device, and reads only regular files."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotRegularError(Exception):
    """A pipe, a socket or a device."""


def open_regular(path: Path) -> BinaryIO:
    """Open for reading; links are followed. Raises NotRegularError, and OSError for what cannot be opened (a folder: IsADirectoryError)."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotRegularError(f"{path} is no regular file")
    return file
