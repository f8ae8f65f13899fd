"""The inputs of a job on this machine, by content: the files of its `path` sources with their SHA-256.

A file is read again only if its inode, size or times changed. Refuses files that are not regular.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.local.files import NotRegularError, open_regular
from tunewright_runtime.errors import TunewrightError

# The files that are loaded from a base model's folder. Others, such as its README, can change.
_MODEL_FILES = (".json", ".safetensors", ".jinja", ".txt", ".model", ".tiktoken")
_MOST_FILES = 10_000

Stamp = list[int | str]  # device, inode, bytes, mtime and ctime in nanoseconds, sha256


@dataclass(frozen=True, kw_only=True)
class Content:
    """The files of one source. `place` is the absolute path that was read; file names are relative to it."""

    place: str
    files: dict[str, Stamp] = field(default_factory=dict)

    def differences(self, other: "Content") -> list[str]:
        """Return the names of files that only one content has, or that differ. A single file may have another name."""
        mine, theirs = self.digests, other.digests
        return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))

    @property
    def digests(self) -> dict[str, str]:
        """File name -> SHA-256."""
        return {name: str(stamp[-1]) for name, stamp in self.files.items()}


def read_content(place: Path, known: Content | None = None) -> Content | None:
    """Read a file, or a base model's folder; None if the path does not exist. `known`: the content that was read before.

    Raises TunewrightError for a FIFO, a device, a socket, and a folder of too many files.
    """
    stamps = known.files if known is not None else {}
    try:
        found = place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a loop of links, or no permission
        raise TunewrightError(f"{place}: {error.strerror}; name a file or folder that can be read") from error
    if not stat.S_ISDIR(found.st_mode):
        return Content(place=str(place), files={"": _stamp(place, stamps.get(""))})
    files: dict[str, Stamp] = {}
    for path in _model_files(place):
        if len(files) == _MOST_FILES:
            raise TunewrightError(f"{place} has more than {_MOST_FILES} files; name the folder of one model")
        name = path.relative_to(place).as_posix()
        files[name] = _stamp(path, stamps.get(name))
    return Content(place=str(place), files=files)


def dump(contents: Mapping[str, Content]) -> str:
    """Encode contents for an annotation, each under the field that names it."""
    return json.dumps({name: {"place": item.place, "files": item.files} for name, item in contents.items()}, sort_keys=True)


def load(text: str | None) -> dict[str, Content]:
    """Decode what `dump` wrote. Anything else decodes to no contents."""
    try:
        found: dict[str, Any] = json.loads(text or "{}")
        return {name: Content(place=str(item["place"]), files=dict(item["files"])) for name, item in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _model_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(names) if name.endswith(_MODEL_FILES) and not name.startswith("."))


def _stamp(path: Path, known: Stamp | None) -> Stamp:
    try:
        file = open_regular(path)
    except NotRegularError as error:
        raise TunewrightError(f"{error}; name a file of examples, or a folder that holds a base model") from None
    except OSError as error:
        raise TunewrightError(f"{path}: {error.strerror}; name a file that can be read") from error
    with file:
        found = os.fstat(file.fileno())
        facts: Stamp = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        if known is not None and known[:-1] == facts:
            return known
        return [*facts, hashlib.file_digest(file, "sha256").hexdigest()]
