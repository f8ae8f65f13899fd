"""A folder held open by its descriptor, to remove files safely where others can write.

Every access goes through the open folder and follows no link, so swapping a path for a link has no effect.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LARGEST_MANIFEST = 16 * 2**20  # bytes

Tree = dict[str, "Tree | None"]  # name -> what to remove in that folder, or None for a file


class OpenFolder:
    """`path` is where it was opened, for messages only."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    @classmethod
    @contextmanager
    def at(cls, path: Path) -> Iterator[Optional["OpenFolder"]]:
        """Open a folder. The last part of `path` may be a link, because a claim may be one. None if there is no such folder."""
        try:
            descriptor = os.open(path, _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        try:
            yield cls(descriptor, path)
        finally:
            os.close(descriptor)

    @contextmanager
    def below(self, relative: str) -> Iterator[Optional["OpenFolder"]]:
        """Open a folder below this one. None if it is missing, not a folder, reached over a link, or outside."""
        descriptor = os.dup(self._descriptor)
        try:
            for name in filter(None, relative.split("/")):
                if name in {".", ".."}:
                    break
                inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            else:
                yield OpenFolder(descriptor, self.path / relative)
                return
        except (FileNotFoundError, NotADirectoryError):
            pass
        finally:
            os.close(descriptor)
        yield None

    def names(self) -> list[str]:
        """Return the names of the entries."""
        return sorted(os.listdir(self._descriptor))  # noqa: PTH208 - pathlib has no descriptors

    def is_folder(self, name: str) -> bool:
        """Return whether an entry is a folder, and not a link to one."""
        return self._has_type(name, stat.S_ISDIR)

    def read(self, name: str) -> bytes | None:
        """Return a small regular file's content, or None for anything else."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._descriptor)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_MANIFEST else None

    def remove(self, name: str) -> None:
        """Remove a regular file, or a folder with everything in it. Anything else stays."""
        if self.is_folder(name):
            shutil.rmtree(name, dir_fd=self._descriptor)
        elif self._has_type(name, stat.S_ISREG):
            os.unlink(name, dir_fd=self._descriptor)

    def remove_listed(self, files: Iterable[str]) -> None:
        """Remove these files, by paths relative to this folder, and the folders that are empty afterwards."""
        self.remove_tree(_tree(files))

    def remove_if_empty(self, name: str) -> bool:
        """Remove an empty folder. Returns whether it was removed."""
        try:
            os.rmdir(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return True
        except OSError:  # not empty, no folder, or a link
            return False
        return True

    def remove_tree(self, tree: Tree) -> None:
        """Remove the files of a tree, and the folders that are empty afterwards."""
        for name, inner in tree.items():
            if inner is None:
                if not self.is_folder(name):
                    self.remove(name)
                continue
            with self.below(name) as folder:
                if folder is not None:
                    folder.remove_tree(inner)
            self.remove_if_empty(name)

    def _has_type(self, name: str, is_type: Callable[[int], bool]) -> bool:
        try:
            return is_type(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False


def _tree(files: Iterable[str]) -> Tree:
    """Turn relative paths into a tree. A path out of the folder is left out: the trainer's manifests have none."""
    tree: Tree = {}
    for file in files:
        *folders, name = file.split("/")
        if not name or {"", ".", ".."} & {*folders, name}:
            continue
        here = tree
        for folder in folders:
            deeper = here.setdefault(folder, {})
            if deeper is None:
                deeper = here[folder] = {}
            here = deeper
        here.setdefault(name, None)
    return tree
