"""The folders on this machine.

The home folder is `$TUNEWRIGHT_HOME`, else `$XDG_DATA_HOME/tunewright`, else `~/.local/share/tunewright`.

<home>/
  objects/<namespace>/<Kind>/<name>.json    every object, as an API server returns it; written atomically
  objects/.lock                             held during one read-modify-write
  pods/<namespace>/<pod>-<uid>/             one pod, see below; removed with its Pod object
  logs/<namespace>/<owner>/<pod>.log        output of its containers; removed with the job, not with the pod
  volumes/<namespace>/<claim>/              one PersistentVolumeClaim: put your files here
  secrets/<namespace>/<secret>/<key>        one file per key: put your tokens here, readable by you alone
  supervisors/<namespace>.<job>.json        who runs this job (held with flock), and the port of its progress endpoint

pods/…/<pod>-<uid>/
  root/                                     the pod's file system: a link for every mountPath
  volumes/<volume>/                         ConfigMaps as files, emptyDirs, tokens
  token                                     this pod's credential for the progress endpoint
  runs/<n>/                                 one start of the container: container.json, shim.json, exit.json, termination-log
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the home folder by the environment's variables."""
    if home := environ.get("TUNEWRIGHT_HOME"):
        return Path(home).expanduser().absolute()
    data = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME", "~"), ".local", "share")  # noqa: PTH118
    return (Path(data).expanduser() / "tunewright").absolute()


@dataclass(frozen=True)
class Layout:
    """The folders under one home."""

    home: Path

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def private(self) -> tuple[Path, ...]:
        """The folders that only this user can read, wherever the home folder is: objects, tokens, logs and models."""
        return tuple(self.home / name for name in ("objects", "pods", "logs", "volumes", "secrets", "supervisors"))

    @property
    def pods(self) -> Path:
        return self.home / "pods"

    def pod(self, namespace: str, name: str, uid: str) -> "PodFolder":
        return PodFolder(self.pods / namespace / f"{name}-{uid[:8]}")

    def logs(self, namespace: str, owner: str) -> Path:
        return self.home / "logs" / namespace / owner

    def claim(self, namespace: str, name: str) -> Path:
        return self.home / "volumes" / namespace / name

    def secret(self, namespace: str, name: str, key: str) -> Path:
        return self.home / "secrets" / namespace / name / key

    def supervisor(self, namespace: str, job: str) -> Path:
        return self.home / "supervisors" / f"{namespace}.{job}.json"


@dataclass(frozen=True)
class PodFolder:
    """The folder of one pod."""

    path: Path

    @property
    def root(self) -> Path:
        return self.path / "root"

    @property
    def token(self) -> Path:
        return self.path / "token"

    def volume(self, name: str) -> Path:
        return self.path / "volumes" / name

    def run(self, number: int) -> Path:
        return self.path / "runs" / str(number)
