"""Chooses the server revision to run: the requested one, or the last good one. A table without state of its own.

Its input is on the Deployment: the present pod template, whether its rollout was complete once (condition Progressing), and three
annotations that render/ writes and observe/ reads. A Deployment is written atomically, so a crash never separates them.
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
    """The content of server pods."""

    name: str  # `<revision of the model>-<digest of the template>`
    template: dict[str, Any]  # Kubernetes' PodTemplateSpec
    model: PublishedModel | None = None  # set if it is another job's, which can be deleted


class Terms(Message):
    """The conditions under which a job tries a revision. Under other ones, a revision that was rolled back is tried again."""

    retry: str = ""  # the job's annotation
    progress_deadline_seconds: int = 0


class Refusal(Message):
    """A revision that was rolled back, and why. It is not tried again until the job requests another one, or has other terms."""

    revision: str
    failure: Failure
    terms: Terms = Terms()


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The Deployment's record of its revisions."""

    live: ServingRevision | None = None  # the present pod template
    current: bool = False  # its status belongs to its present generation
    completed: bool = False  # all replicas of `live` were ready at some time
    failure: Failure | None = None  # why `live` failed before all its replicas were ready
    previous: ServingRevision | None = None
    refused: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The revisions to render into the Deployment."""

    run: ServingRevision
    previous: ServingRevision | None = None  # target of a rollback
    refused: Refusal | None = None  # the requested revision, if it was rolled back


def choose(wanted: ServingRevision | None, rollout: Rollout, terms: Terms) -> Choice | None:
    """Choose the revision. The result is the same until the Deployment or the wanted revision changes.

    If the requested revision cannot be rendered yet, `wanted` is None, and the present revision continues. Returns None if there is none.
    """
    live = rollout.live
    if live is None:
        return Choice(run=wanted) if wanted else None
    if wanted is None or (live.name != wanted.name and not rollout.current):
        # It is unknown whether `live` is good. Wait, because a good revision that is overwritten cannot be restored.
        return Choice(run=live, previous=rollout.previous, refused=rollout.refused)
    good = rollout.previous
    if good is not None and good.name != wanted.name and (refused := _refusal(wanted, live, rollout, terms)) is not None:
        return Choice(run=good, previous=good, refused=refused)
    return Choice(run=wanted, previous=live if live.name != wanted.name and rollout.completed else good)


def _refusal(wanted: ServingRevision, live: ServingRevision, rollout: Rollout, terms: Terms) -> Refusal | None:
    refused = rollout.refused
    if refused is not None and refused.revision == wanted.name and refused.terms == terms:
        return refused
    if rollout.failure is not None and live.name == wanted.name:
        return Refusal(revision=wanted.name, failure=rollout.failure, terms=terms)
    return None
