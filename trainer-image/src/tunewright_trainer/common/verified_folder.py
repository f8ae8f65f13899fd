"""A folder that is complete or absent: sizes and SHA-256 of every file, written last; then one rename.

Promises that a folder with a valid manifest holds exactly the bytes that were written, after any crash or corruption.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"

Entry = dict[str, Any]  # {"path", "bytes", "sha256"}


def files_in(folder: Path) -> list[Path]:
    """Return every file below except the manifest, in a stable order."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder) != Path(MANIFEST))


def entries(folder: Path, files: Iterable[Path]) -> list[Entry]:
    """Return sizes and digests. Each file is flushed to disk first, so that the manifest is also true after a power failure."""
    listed = []
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            listed.append({"path": path.relative_to(folder).as_posix(), "bytes": file.tell(), "sha256": digest})
    return listed


def seal(staged: Path, final: Path, listed: list[Entry], **facts: Any) -> None:
    """Write the manifest, then rename the folder to its final name. An older folder of that name is removed first."""
    manifest = staged / MANIFEST
    with manifest.open("w", encoding="utf-8") as file:
        json.dump({"version": 1, **facts, "files": sorted(listed, key=lambda entry: entry["path"])}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for folder in {path.parent for path in files_in(staged)} | {staged}:
        _sync_folder(folder)
    replaced = final.with_name(f".replaced-{final.name}")
    if final.exists():
        final.rename(replaced)
    staged.rename(final)
    _sync_folder(final.parent)
    remove_tree(replaced)


def verify(folder: Path) -> str | None:
    """Return why the folder is invalid, or None. Sizes are compared first, because that is cheap and finds most errors."""
    fault = listing_fault(folder)
    if fault is not None:
        return fault
    for entry in read(folder)["files"]:
        with (folder / entry["path"]).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                return f"{entry['path']} has another sha256 than its manifest"
    return None


def listing_fault(folder: Path) -> str | None:
    """Return why the folder's files differ from the manifest's list, or None. It compares names, kinds and sizes, not content.

    An additional file is an error, because DeepSpeed finds its files, which are pickles, by their names.
    """
    try:
        listed = {str(entry["path"]): int(entry["bytes"]) for entry in read(folder)["files"]}
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{MANIFEST} cannot be read: {error}"
    found: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            return f"{_shown(name)} is no regular file"
        if path.is_file() and name != MANIFEST:
            found[name] = path.stat().st_size
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            return f"{_shown(name)} is missing"
        if name not in listed:
            return f"{_shown(name)} is not in {MANIFEST}"
        if found[name] != listed[name]:
            return f"{_shown(name)} has {found[name]} bytes instead of {listed[name]}"
    return None


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def read(folder: Path) -> dict[str, Any]:
    """The manifest as written. Raises OSError or ValueError."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return found


def remove_tree(folder: Path) -> None:
    """Remove a folder, the manifest first, so that a partly removed folder does not count as complete."""
    import shutil

    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
