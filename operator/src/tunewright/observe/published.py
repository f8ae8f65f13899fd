"""Finds the published model of a job, for another job that serves it."""

from collections.abc import Sequence

from tunewright.api.admission import admit
from tunewright.api.problems import InvalidJob
from tunewright.observe.observation import has_begun, observe
from tunewright.observe.raw import Raw
from tunewright.plan.inputs import Missing, StageState
from tunewright.plan.names import names_of
from tunewright.plan.placement import SERVED_MODEL
from tunewright.plan.regression import regression_of
from tunewright.plan.revision import revision_of
from tunewright.plan.rollout import PublishedModel
from tunewright.plan.storage import published_to


def read_published(name: str, raw: Raw | None, children: Sequence[Raw]) -> PublishedModel | Missing:
    """Return the location of this FineTuneJob's model, or why there is none. `raw` is the job, or None if it does not exist."""
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return _missing(name, "there is no such job; create it, or name another")
    try:
        job = admit(raw, begun=has_begun(children))
    except InvalidJob:
        return _missing(name, "it is invalid, see its status; correct it, or name another")
    revision = revision_of(job)
    past = observe(children, revision=revision, status=raw.get("status")).past
    if past.export.state is not StageState.SUCCEEDED:
        return _missing(name, "it has not exported its model yet; the present server continues until then")
    found = regression_of(job, past)
    if found is not None and not found.allowed:
        way_out = "set evaluation.allowRegression: true on that job to serve it anyway, or name another"
        return _missing(name, f"{found.figures}; the present server continues; {way_out}")
    claim, path = published_to(job, names_of(name).output)
    return PublishedModel(job=name, revision=revision, claim=claim, path=path)


def _missing(name: str, why: str) -> Missing:
    return Missing(field=SERVED_MODEL, kind="FineTuneJob", name=name, message=why)
