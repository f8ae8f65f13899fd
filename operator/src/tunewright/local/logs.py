"""Logs of pods: one file per pod, kept until the job is deleted."""

from collections.abc import Iterator
from pathlib import Path


def logs_of(folder: Path) -> dict[str, Path]:
    """Return the log files of a job by pod, the oldest first."""
    return {path.stem: path for path in sorted(folder.glob("*.log"), key=lambda path: (path.stat().st_ctime_ns, path.name))}


class Follower:
    """Reads new lines of a job's logs. With `from_now` it skips the lines that exist at the first call."""

    def __init__(self, folder: Path, *, from_now: bool = False) -> None:
        self._folder = folder
        self._read = {path: path.stat().st_size for path in folder.glob("*.log")} if from_now else {}

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield (pod, line) for every line that was completed since the last call. A progress bar's rewritten line counts once."""
        for pod, path in logs_of(self._folder).items():
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.decode(errors="replace").split("\n")[:-1]:
                yield pod, line.rpartition("\r")[2] if not line.endswith("\r") else line.rstrip("\r").rpartition("\r")[2]
