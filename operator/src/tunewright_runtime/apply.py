"""Writes children: compares a rendered object with the existing one, and applies the difference.

`decide` and `carry_out` handle one child; `ChildWriter` adds the cache and conflicts. Each write has the version that it was decided
from as its precondition: it never creates over an existing object, and changes or deletes only the object that was read.

A Job is created once: its template is immutable, and node selectors and tolerations that Kueue or people have added stay. Of an
existing Job only labels and `spec.suspend` are updated, the latter unless the Job has ended or another program controls it. A Job whose
rendered annotations have `ended` (an annotation of the operator) is ended in one patch with that annotation. `noted` is an annotation
that is added to a Job that has not ended, and removed when it is no longer rendered.
"""

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from tunewright_runtime.alterations import Alterations
from tunewright_runtime.cache import Cache
from tunewright_runtime.client import Client
from tunewright_runtime.differences import can_close, closing_patch, is_as_rendered
from tunewright_runtime.errors import REFUSED_BY_CLUSTER, Conflict, Rejected
from tunewright_runtime.objects import Manifest, ObjectRef, ref_of


class Action(Enum):
    """What to do with a child."""

    CREATE = "create"
    APPLY = "apply"
    LABEL = "label"  # of a Job whose labels were removed, because the operator finds it by them
    SUSPEND = "suspend"  # or resume
    END = "end"  # a Job: record why in an annotation, and end its pods
    NOTE = "note"  # a Job: record in an annotation what happened to its pods
    KEEP = "keep"


def decide(
    rendered: Manifest, live: Manifest | None, *, manager: str, may_suspend: Callable[[Manifest], bool], ended: str = "", noted: str = ""
) -> Action:
    """Return the action that makes `live` equal to `rendered`. `may_suspend`: whether this operator may change `spec.suspend` of a Job.

    `ended`: the annotation with which a Job is ended. `noted`: one that is added to a Job, or removed.
    """
    if live is None:
        return Action.CREATE
    if live["metadata"].get("deletionTimestamp"):
        return Action.KEEP  # the end of its deletion causes a reconcile, which creates it again
    if rendered["kind"] == "Job":
        if not rendered["metadata"].get("labels", {}).items() <= (live["metadata"].get("labels") or {}).items():
            return Action.LABEL
        if _annotation(rendered, ended) != "" and _annotation(rendered, ended) != _annotation(live, ended) and not has_ended(live):
            return Action.END
        if _annotation(rendered, noted) != _annotation(live, noted) and not has_ended(live):
            return Action.NOTE
        wanted = rendered["spec"].get("suspend")
        differs = wanted is not None and wanted != live["spec"].get("suspend", False)
        return Action.SUSPEND if differs and not has_ended(live) and may_suspend(live) else Action.KEEP
    return Action.KEEP if is_as_rendered(live, rendered, manager=manager) else Action.APPLY


async def carry_out(
    action: Action, client: Client, rendered: Manifest, live: Manifest | None, *, ended: str = "", noted: str = ""
) -> Manifest | None:
    """Perform an action, and return the stored object; None if there was nothing to do. Raises the client's errors."""
    meta = rendered["metadata"]
    if action is Action.CREATE:
        return await make(client, rendered)
    if action is Action.APPLY and live is not None:
        # Bound to the version that was read: an object deleted meanwhile is a conflict, and is not created from an old decision. Nor does
        # an annotation come back that was read from a Deployment and has been removed since.
        bound = _bound(rendered, live)
        try:
            applied = await client.apply(bound, force=True)
        except Rejected as error:
            if error.reason != REFUSED_BY_CLUSTER:
                raise
            # An item that another writer added to a list can conflict with a rendered one (two equal ports). A merge replaces whole lists.
            return await client.merge(rendered["kind"], meta["namespace"], meta["name"], bound)
        if not can_close(applied, rendered):
            return applied
        return await client.merge(rendered["kind"], meta["namespace"], meta["name"], closing_patch(applied, _bound(rendered, applied)))
    if action is Action.LABEL and live is not None:
        patch = {"metadata": {"uid": live["metadata"]["uid"], "labels": meta["labels"]}}
        return await client.merge("Job", meta["namespace"], meta["name"], patch)
    if action is Action.SUSPEND and live is not None:
        patch = {"metadata": {"uid": live["metadata"]["uid"]}, "spec": {"suspend": rendered["spec"]["suspend"]}}
        return await client.merge("Job", meta["namespace"], meta["name"], patch)
    if action is Action.END and live is not None:
        ends = {name: rendered["spec"][name] for name in ("suspend", "activeDeadlineSeconds") if rendered["spec"].get(name)}
        mark = {"annotations": {ended: _annotation(rendered, ended)}}
        return await client.merge("Job", meta["namespace"], meta["name"], {"metadata": _identity(live) | mark, "spec": ends})
    if action is Action.NOTE and live is not None:
        note = {"annotations": {noted: _annotation(rendered, noted) or None}}  # None removes it
        return await client.merge("Job", meta["namespace"], meta["name"], {"metadata": _identity(live) | note})
    return None


async def make(client: Client, rendered: Manifest) -> Manifest:
    """Create a child, and return it as stored. Raises Conflict if one exists, and does not overwrite it.

    A Job's `suspend: false` is not sent: if a webhook changes a field that was sent, the API server records this operator as its manager.
    """
    if rendered["kind"] == "Job" and not rendered["spec"].get("suspend"):
        rendered = {**rendered, "spec": {name: value for name, value in rendered["spec"].items() if name != "suspend"}}
    return await client.apply_new(rendered)


class ChildWriter:
    """Writes children and puts every answer into the cache at once."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        may_suspend: Callable[[Manifest], bool],
        ended: str = "",
        noted: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._cache = cache
        self._may_suspend = may_suspend
        self._ended = ended
        self._noted = noted
        self._alterations = Alterations(clock=clock)

    async def apply(self, manifest: Manifest, live: Manifest | None, *, refuse_others: Callable[[Manifest], None]) -> bool:
        """Update one child to the rendered one. Returns whether anything was written.

        `live` is the cached object of that name. `refuse_others` raises if an object of another owner has the name.
        """
        ref, unknown = ref_of(manifest), live is None
        if live is None:
            try:
                made = await make(self._client, manifest)
                self._alterations.note(ref, manifest, made, manager=self._cache.scheme.field_manager)
                self._cache.put(made)
            except Conflict:
                # An object without the operator's labels may exist: another owner's, or a child whose labels were removed.
                live = await self.fetch(ref, 0)
                if live is None:
                    raise
            else:
                return True
        refuse_others(live)
        wrote = await self._change(ref, manifest, live)
        if unknown:  # the plan was made without it: with a check that counts as missing, the gang would be pruned
            raise Conflict(f"{ref} exists, but was not in the cache")
        return wrote

    async def delete(self, item: Manifest) -> None:
        """Delete the object with this uid."""
        ref, meta = ref_of(item), item["metadata"]
        await self._client.delete(*ref, uid=meta["uid"])
        self._cache.remove(ref, int(meta["resourceVersion"]))
        self._alterations.forget(ref)

    def altered(self, manifests: Sequence[Manifest]) -> tuple[str, ...]:
        """Return a message for each of these objects that is stored differently from what was written."""
        return self._alterations.messages(map(ref_of, manifests))

    async def fetch(self, ref: ObjectRef, version: int) -> Manifest | None:
        """Read the present object into the cache. `version` is that of the cached one."""
        found = await self._client.get(*ref)
        if found is None:
            self._cache.remove(ref, version)
        else:
            self._cache.put(found, ref.kind)
        return found

    async def _change(self, ref: ObjectRef, manifest: Manifest, live: Manifest) -> bool:
        manager = self._cache.scheme.field_manager
        action = decide(manifest, live, manager=manager, may_suspend=self._may_suspend, ended=self._ended, noted=self._noted)
        if action is Action.KEEP:
            if manifest["kind"] != "Job":  # a Job is compared when it is created, and never written again
                self._alterations.forget(ref)
            return False
        if action is Action.APPLY and self._alterations.rests(ref, manifest, live):
            return False
        try:
            stored = await carry_out(action, self._client, manifest, live, ended=self._ended, noted=self._noted)
        except Conflict:
            await self.fetch(ref, int(live["metadata"]["resourceVersion"]))
            raise
        if stored is not None:
            if action is Action.APPLY:
                self._alterations.note(ref, manifest, stored, manager=manager)
            self._cache.put(stored)
        return True


def _bound(rendered: Manifest, live: Manifest) -> dict[str, Any]:
    return {**rendered, "metadata": {**rendered["metadata"], **_identity(live)}}


def _identity(live: Manifest) -> dict[str, Any]:
    return {name: live["metadata"][name] for name in ("uid", "resourceVersion")}


def _annotation(item: Manifest, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def has_ended(job: Manifest) -> bool:
    """Return whether a Job is complete or failed."""
    conditions = job.get("status", {}).get("conditions", ())
    return any(found["type"] in ("Complete", "Failed") and found["status"] == "True" for found in conditions)
