"""Chooses the server revision to run: the requested one, or the last good one. A table without state of its own.

Its input is on the Deployment: the present pod template, whether that was ever fully ready (condition Progressing), and three annotations
that render/ writes and observe/ reads back. A Deployment is written atomically, so a crash never separates them.
"""

from dataclasses import dataclass
from typing import Any

from tunewright_contract.base import Message
from tunewright_contract.reports import Failure


class PublishedModel(Message):
    """A finished model: the folder `<path>/<job>/<revision>` of a claim."""

    job: str
    revision: str
    claim: str
    path: str = ""
    access_modes: tuple[str, ...] = ()  # of the claim, as far as they are known


class ServingRevision(Message):
    """What server pods are or were made from."""

    name: str  # `<revision of the model>-<digest of the template>`
    template: dict[str, Any]  # Kubernetes' PodTemplateSpec
    model: PublishedModel | None = None  # when it is another job's: that may be gone tomorrow


class Refusal(Message):
    """A revision that was rolled back, and why. It is not tried again until the job requests another one."""

    revision: str
    failure: Failure


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What the Deployment says of its revisions."""

    live: ServingRevision | None = None  # what its pods are to be made from now
    current: bool = False  # its status speaks of what it says now, not of something older
    completed: bool = False  # `live` was ready everywhere, once
    failure: Failure | None = None  # why `live`, which never was, never will be
    previous: ServingRevision | None = None
    refused: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the Deployment is to say."""

    run: ServingRevision
    previous: ServingRevision | None = None  # to go back to
    refused: Refusal | None = None  # what the job asks for, when that is not what runs


def choose(wanted: ServingRevision | None, rollout: Rollout) -> Choice | None:
    """Choose the revision. The result is the same until the Deployment or the wanted revision changes.

    Where what the job asks for cannot be made yet, nothing is wanted, and what runs continues; None when nothing does.
    """
    live = rollout.live
    if live is None:
        return Choice(run=wanted) if wanted else None
    if wanted is None or (live.name != wanted.name and not rollout.current):
        # It is not known yet whether `live` is good. Wait, because a forgotten good revision could not be restored.
        return Choice(run=live, previous=rollout.previous, refused=rollout.refused)
    good = rollout.previous
    if good is not None and good.name != wanted.name and (refused := _refusal(wanted, live, rollout)) is not None:
        return Choice(run=good, previous=good, refused=refused)
    return Choice(run=wanted, previous=live if live.name != wanted.name and rollout.completed else good)


def _refusal(wanted: ServingRevision, live: ServingRevision, rollout: Rollout) -> Refusal | None:
    if rollout.refused is not None and rollout.refused.revision == wanted.name:
        return rollout.refused
    if rollout.failure is not None and live.name == wanted.name:
        return Refusal(revision=wanted.name, failure=rollout.failure)
    return None
