"""The World port on this machine (see reconcile/ports.py): the same objects, in a store of files.

Jobs are created once, and only their `suspend` is updated. All other objects are replaced. Children that are no longer rendered are pruned
by owner uid, so other owners' objects stay.
"""

import hmac
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.api.v1alpha1.common import PvcSource, SecretKeyRef
from tunewright.api.v1alpha1.data import DataSource
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.model import ModelSource
from tunewright.local import job_controller, pod
from tunewright.local.environment import Secrets
from tunewright.local.layout import Layout
from tunewright.local.store import Object, Store, owners
from tunewright.observe.observation import read_published
from tunewright.observe.volumes import mounted_config_maps
from tunewright.plan.inputs import Missing, References
from tunewright.plan.label_names import URL
from tunewright.plan.rollout import PublishedModel
from tunewright_contract import environment
from tunewright_runtime.errors import Conflict, Gone
from tunewright_runtime.objects import Key, Manifest

KIND = "FineTuneJob"
MANIFEST_DIRECTORY = "tunewright.io/manifest-directory"  # annotation of a FineTuneJob: the folder of its relative paths
PLACES = "tunewright.io/places"  # annotation of a FineTuneJob: where its `path` sources are, as JSON {what the manifest has: absolute path}
CONTENTS = "tunewright.io/contents"  # annotation of a FineTuneJob: their content when it was applied (see contents.py)
TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - a variable's name
OURS = (URL,)  # annotations that this world adds to children, and that applying keeps

log = logging.getLogger(__name__)


class LocalWorld:
    """Objects of this machine. `progress_url` is the address to which the pods of a job post progress."""

    def __init__(self, store: Store, layout: Layout, secrets: Secrets, *, progress_url: str) -> None:
        self._store = store
        self._layout = layout
        self._secrets = secrets
        self._progress_url = progress_url

    async def get(self, key: Key) -> Manifest | None:
        """Return the FineTuneJob as stored, or None."""
        return self._store.get(KIND, *key)

    async def dereference(self, job: FineTuneJob) -> References:
        """Look up the folders, claims and secrets that a job names."""
        namespace, source = job.metadata.namespace, job.spec.model.source
        sources: dict[str, ModelSource | DataSource] = {"spec.model.source": source}
        for name, items in (("train", job.spec.data.train), ("validation", job.spec.data.validation), ("test", job.spec.data.test)):
            sources |= {f"spec.data.{name}[{index}].source": item.source for index, item in enumerate(items)}
        folders: dict[str, str] = {}
        missing: list[Missing] = []
        locate = places_of(job.metadata.annotations)
        for field, item in sources.items():
            if item.path is not None:
                place = locate(item.path)
                folders[item.path] = str(place)
                if not place.exists():
                    missing.append(Missing(field=f"{field}.path", kind="Path", name=item.path, message=f"{place} does not exist"))
            if item.pvc is not None:
                missing += self._missing_in_claim(namespace, item.pvc, f"{field}.pvc")
        for field, reference, variable in _secrets_of(job):
            if self._secrets.find(namespace, reference.name, reference.key, variable) is None:
                message = f"no value; {self._secrets.way_out(namespace, reference.name, reference.key, variable)}"
                missing.append(Missing(field=field, kind="Secret", name=reference.name, message=message))
        return References(
            missing=tuple(missing), folders=folders, host_paths=True, progress_url=self._progress_url, served=self._served(job)
        )

    def _served(self, job: FineTuneJob) -> PublishedModel | Missing | None:
        name, namespace = job.served_job(), job.metadata.namespace
        if name is None:
            return None
        raw = self._store.get(KIND, namespace, name)
        return read_published(name, raw, self._store.descendants(raw["metadata"]["uid"], namespace) if raw else [])

    async def children(self, key: Key, uid: str) -> Sequence[Manifest]:
        """Return everything the job owns, at any depth."""
        return self._store.descendants(uid, key[0])

    async def apply(self, key: Key, uid: str, manifests: Sequence[Manifest]) -> bool:
        """Store these children, and prune all others of the job. Raises Gone if another job has its name now.

        Returns False: each write here already triggers another reconcile.
        """
        job = self._store.get(KIND, *key)
        if job is None or job["metadata"]["uid"] != uid:
            raise Gone(f"FineTuneJob {key[0]}/{key[1]} is gone, or was replaced")
        for manifest in manifests:
            self._apply_one(dict(manifest), uid)
        wanted = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
        owned = self._store.owned(uid, namespace=key[0])
        mounted = mounted_config_maps(child for child in owned if (child["kind"], child["metadata"]["name"]) in wanted)
        wanted |= {("ConfigMap", name) for name in mounted}  # a pod of an earlier attempt's Job may start later
        for child in owned:
            if (child["kind"], child["metadata"]["name"]) not in wanted:
                self._store.delete(child["kind"], key[0], child["metadata"]["name"])
        return False

    def altered(self, manifests: Sequence[Manifest]) -> Sequence[str]:  # noqa: ARG002 - of the interface
        """Return nothing: on this machine no policy changes objects."""
        return ()

    @property
    def tries_pods(self) -> bool:
        """Nothing on this machine refuses a pod."""
        return False

    async def refusals(self, pods: Sequence[Manifest]) -> Sequence[str]:
        """Return that each pod is admitted."""
        return [""] * len(pods)

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        """Replace the job's status, unless the job is gone or another job has its name now."""

        def replace(job: Object) -> None:
            if job["metadata"]["uid"] == uid:
                job["status"] = dict(status)

        self._store.change_status(KIND, *key, replace)

    async def warn(self, key: Key, uid: str, reason: str, message: str) -> None:  # noqa: ARG002 - of the interface
        """Log a warning about a job: there are no Events on this machine."""
        log.warning("%s/%s: %s: %s", key.namespace, key.name, reason, message)

    async def authenticate(self, key: Key, token: str) -> str | None:
        """Return the job's uid if one of its pods has this token. Raises Gone if there is no such job."""
        job = self._store.get(KIND, *key)
        if job is None:
            raise Gone(f"there is no FineTuneJob {key[0]}/{key[1]}")
        uid = str(job["metadata"]["uid"])
        for child in self._store.descendants(uid, key[0]):
            if child["kind"] == "Pod":
                file = self._layout.pod(key[0], child["metadata"]["name"], child["metadata"]["uid"]).token
                if file.exists() and hmac.compare_digest(file.read_bytes(), token.encode()):
                    return uid
        return None

    def _apply_one(self, manifest: Object, uid: str) -> None:
        kind, meta = manifest["kind"], manifest["metadata"]
        if kind == "Job":
            job_controller.check(manifest)
        if "template" in manifest.get("spec", {}):
            pod.check({"metadata": meta, "spec": manifest["spec"]["template"]["spec"]})
        if kind == "PersistentVolumeClaim":
            self._layout.claim(meta["namespace"], meta["name"]).mkdir(parents=True, exist_ok=True)
        existing = self._store.get(kind, meta["namespace"], meta["name"])
        if existing is None:
            self._refuse_pods_of_an_earlier_job(manifest)
            self._store.create(manifest)
            return
        if owners(existing) and uid not in owners(existing):
            raise Conflict(f"{kind} {meta['name']} belongs to another object, which may be in deletion")
        self._store.change(kind, meta["namespace"], meta["name"], lambda stored: _adapt(stored, manifest))

    def _refuse_pods_of_an_earlier_job(self, manifest: Object) -> None:
        """Raise Conflict while pods of a deleted Job of this name end, as a cluster keeps such a Job until they are gone."""
        kind, namespace, name = manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        pods = self._store.select("Pod", namespace=namespace) if kind == "Job" else ()
        for found in pods:
            if found["metadata"].get("labels", {}).get("job-name") == name:
                raise Conflict(f"pod {found['metadata']['name']} of an earlier Job {name} has not ended")

    def _missing_in_claim(self, namespace: str, source: PvcSource, field: str) -> list[Missing]:
        folder = self._layout.claim(namespace, source.claim_name)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / (source.path or "")
        if wanted.exists():
            return []
        message = f"{source.path} is not in claim {source.claim_name}; on this machine the claim is the folder {folder}: put it there"
        return [Missing(field=field, kind="PersistentVolumeClaim", name=source.claim_name, message=message)]


def locate(written: str, directory: str | Path) -> Path:
    """Return the absolute path of a `path` source, without following links."""
    return Path(os.path.abspath(Path(directory) / Path(written).expanduser()))  # noqa: PTH100 - resolve would follow links


def places_of(annotations: Mapping[str, str]) -> Callable[[str], Path]:
    """Return the places of a stored job's `path` sources: where they were last found, else relative to its manifest."""
    moved: dict[str, str] = json.loads(annotations.get(PLACES, "{}"))
    return lambda written: Path(moved[written]) if written in moved else locate(written, annotations.get(MANIFEST_DIRECTORY, "."))


def _follow_folders(stored: Object, wanted: Manifest) -> None:
    """Point a Job's volumes to the present places of the job's folders, because the same content may have been moved."""
    places = {volume["name"]: volume["hostPath"] for volume in wanted.get("volumes", ()) if "hostPath" in volume}
    for volume in stored.get("volumes", ()):
        if "hostPath" in volume and volume["name"] in places:
            volume["hostPath"] = dict(places[volume["name"]])


def _secrets_of(job: FineTuneJob) -> Iterator[tuple[str, SecretKeyRef, str]]:
    """Yield (field, reference, the container's variable that holds the value)."""
    hub, serving = job.spec.model.source.hugging_face, job.spec.serving
    if hub is not None and hub.token_secret_ref is not None:
        yield "spec.model.source.huggingFace.tokenSecretRef", hub.token_secret_ref, TOKEN_VARIABLE
    if serving is not None and serving.api_key_secret_ref is not None:
        yield "spec.serving.apiKeySecretRef", serving.api_key_secret_ref, environment.API_KEY


def _adapt(stored: Object, manifest: Object) -> None:
    """Change a stored child into the rendered one."""
    if manifest["kind"] == "Job":  # its template is immutable; an earlier attempt has no `suspend`
        _follow_folders(stored["spec"]["template"]["spec"], manifest["spec"]["template"]["spec"])
        if "suspend" in manifest["spec"]:
            stored["spec"]["suspend"] = manifest["spec"]["suspend"]
        return
    kept = {name: text for name, text in stored["metadata"].get("annotations", {}).items() if name in OURS}
    annotations = manifest["metadata"].get("annotations", {}) | kept
    for name in set(stored) | set(manifest):
        if name in manifest and name not in ("metadata", "status"):
            stored[name] = manifest[name]
        elif name not in ("metadata", "status"):
            del stored[name]
    for name, value in (
        ("labels", manifest["metadata"].get("labels")),
        ("ownerReferences", manifest["metadata"].get("ownerReferences")),
        ("annotations", annotations),
    ):
        if value:
            stored["metadata"][name] = value
        else:
            stored["metadata"].pop(name, None)
