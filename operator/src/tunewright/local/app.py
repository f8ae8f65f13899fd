"""The home folder's operations for a user: apply a job, show it, read its logs, delete it.

cli/local_operator.py joins it with the reconciler to run a job.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunewright.local.environment import Secrets
from tunewright.local.kubelet import clean_up_orphans
from tunewright.local.layout import Layout, default_home
from tunewright.local.logs import logs_of
from tunewright.local.machine import Machine
from tunewright.local.pod import remove_tree
from tunewright.local.removal import Kept, Removal
from tunewright.local.store import Object, Store, explain
from tunewright.local.supervisor import Holder, hold, holder_of
from tunewright.local.world import KIND, MANIFEST_DIRECTORY
from tunewright.plan.label_names import RETRY
from tunewright.plan.names import label_value
from tunewright.status.retries import can_help
from tunewright_runtime.errors import Gone, Invalid, TunewrightError
from tunewright_runtime.objects import Key


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Home:
    """Everything under one home folder. Raises TunewrightError when the folder cannot be used."""

    def __init__(self, path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
        self.layout = Layout((path or default_home(environ)).absolute())
        self.store = Store(self.layout, clock=utc_now)
        self.secrets = Secrets(self.layout, environ)
        if self.layout.home.exists() and not self.layout.home.is_dir():
            raise TunewrightError(f"cannot use {self.layout.home} as home: Not a directory")

    def prepare(self) -> None:
        """Create the missing parts of the home folder, private to this user, and end processes that a killed supervisor left.

        Read-only commands do not call it, and change nothing. A folder that exists keeps its mode. Raises TunewrightError.
        """
        try:
            self.layout.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in self.layout.private:
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise TunewrightError(f"cannot use {self.layout.home} as home: {explain(error, self.layout.home)}") from error
        clean_up_orphans(self.store, self.layout)

    def apply(self, raw: Mapping[str, Any], directory: Path, *, found: Mapping[str, str] | None = None) -> Key:
        """Store a FineTuneJob manifest that was read from `directory`. The same manifest again changes nothing, and a retry stays.

        `found`: annotations with the places and contents of its `path` sources (see world.PLACES and world.CONTENTS).
        """
        meta = raw.get("metadata") or {}
        if raw.get("kind") != KIND or not isinstance(meta.get("name"), str):
            raise Invalid(f"this is not a {KIND} with a name")
        key = Key(str(meta.get("namespace") or "default"), str(meta["name"]))
        annotations = dict(meta.get("annotations") or {}) | {MANIFEST_DIRECTORY: str(directory.absolute())} | dict(found or {})

        def adapt(stored: Object) -> None:
            stored["spec"] = raw.get("spec")
            stored["metadata"]["labels"] = dict(meta.get("labels") or {})
            kept = {name: text for name, text in stored["metadata"].get("annotations", {}).items() if name == RETRY}
            stored["metadata"]["annotations"] = kept | annotations

        if self.store.change(KIND, *key, adapt) is None:
            labels = dict(meta.get("labels") or {})
            self.store.create(
                {
                    "apiVersion": raw.get("apiVersion"),
                    "kind": KIND,
                    "metadata": {"namespace": key[0], "name": key[1], "labels": labels, "annotations": annotations},
                    "spec": raw.get("spec"),
                }
            )
        return key

    def retry(self, key: Key) -> None:
        """Request that the next run repeats the failed stage, by the annotation that does the same in a cluster.

        The user may have corrected the data or freed disk space meanwhile, without a change of the manifest. Raises Gone.
        """
        if can_help(self.job(key).get("status", {})) and self.holder(key) is None:
            text = utc_now().isoformat()
            self.store.change(KIND, *key, lambda job: job["metadata"].setdefault("annotations", {}).update({RETRY: text}))

    def jobs(self, namespace: str = "*") -> list[Object]:
        """Return all FineTuneJobs."""
        return self.store.select(KIND, namespace)

    def job(self, key: Key) -> Object:
        """Return a FineTuneJob. Raises Gone."""
        found = self.store.get(KIND, *key)
        if found is None:
            raise Gone(f"there is no FineTuneJob {key[0]}/{key[1]} in {self.layout.home}")
        return found

    def children(self, key: Key) -> list[Object]:
        """Return everything a job owns. Raises Gone."""
        return self.store.descendants(self.job(key)["metadata"]["uid"], key[0])

    def logs(self, key: Key) -> dict[str, Path]:
        """Return the log files of a job's pods, ended ones included, the oldest first."""
        return logs_of(self.log_folder(key))

    def log_folder(self, key: Key) -> Path:
        """Return the folder of a job's logs."""
        return self.layout.logs(key[0], label_value(key[1]))

    def holder(self, key: Key) -> Holder | None:
        """Return the process that runs the job now."""
        return holder_of(self.layout, *key)

    def machine(self, key: Key) -> Machine:
        """Return the machine that runs the job's children."""
        return Machine(self.store, self.layout, self.secrets, namespace=key[0], job=key[1], clock=utc_now)

    def removal(self, key: Key) -> Removal:
        """Return the removal of a job's files. Raises Gone."""
        return Removal(self.layout, self.job(key))

    async def delete(self, key: Key, *, keep_models: bool = False, outside: bool = False) -> list[Kept]:
        """Stop a job and remove its files (see removal.py). Returns what stays, and why.

        Removes checkpoints, and finished models unless `keep_models`. `outside`: also in claims that the job did not create. An empty claim
        that the job created is removed, unless the job has `retain: true`.
        Raises Rejected while another process runs the job, Gone if there is no such job.
        """
        self.job(key)  # raises Gone before a lock of that name is created
        with hold(self.layout, *key, now=utc_now()):
            removal = self.removal(key)
            self.store.delete(KIND, *key)
            machine = self.machine(key)
            while machine.children("Pod"):
                await machine.step()
            await machine.close()
            kept = removal.remove(keep_models=keep_models, outside=outside)
            created = removal.created_claim
            if created and not removal.retained and not self.layout.claim(key[0], created).exists():
                self.store.delete("PersistentVolumeClaim", key[0], created)
            remove_tree(self.log_folder(key))
            self.layout.supervisor(*key).unlink(missing_ok=True)
        return kept
