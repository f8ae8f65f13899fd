"""`plan`: a job, its references and its past → a complete plan. The entry point of this room.

Promises a `FineTunePlan` that can be rendered as it is, and is the same for the same arguments. For an admitted job it raises only
`PlanRejected` (the job must change) and `PlanWaiting` (an object that it names is missing).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.changes import Known, accept, reject_at_start
from tunewright.plan.errors import PlanRejected, PlanWaiting, Rejection
from tunewright.plan.inputs import Defaults, Missing, Past, References, StageOutcome, StageState, TrainOutcome
from tunewright.plan.label_names import KUEUE
from tunewright.plan.memory.zero import fit_memory, strategy_of
from tunewright.plan.names import names_of
from tunewright.plan.placement import placement_of
from tunewright.plan.plan_types import FineTunePlan, Objection, Owner
from tunewright.plan.regression import servable
from tunewright.plan.resize import shares_of
from tunewright.plan.revision import revision_of
from tunewright.plan.rollout import PublishedModel
from tunewright.plan.sources import data_files, model_origin
from tunewright.plan.stages import scheduling_of, served_model, wanted_stages
from tunewright.plan.storage import storage_of
from tunewright.plan.trainer_config import trainer_config
from tunewright_contract import stages
from tunewright_contract.reports import ModelFacts
from tunewright_contract.stages import Shape

# A folder that is missing on this machine does not appear by waiting; other objects may be applied a moment later.
_FINAL_KINDS = ("Folder", "File", "Path")
# Queues and gang schedulers read these on the Job and on its pods.
_PASSED_PREFIXES = (KUEUE, "kai.scheduler/", "scheduling.volcano.sh/", "scheduling.k8s.io/", "alpha.jobset.sigs.k8s.io/")


def plan(job: FineTuneJob, refs: References, past: Past, defaults: Defaults, *, model_facts: ModelFacts | None = None) -> FineTunePlan:
    """Plan a job. `model_facts` are used until Check has counted the model, so that memory can be estimated before.

    If a change is refused, the plan has the running work unchanged, and the objection.
    Raises `PlanRejected` and `PlanWaiting`.
    """
    lacking = _lacking(refs, past)
    origin, files, names, revision = model_origin(job, refs), data_files(job, refs), names_of(job.metadata.name), revision_of(job)
    facts = past.check.report.model if past.check.report is not None else model_facts
    storage = storage_of(job, names.output, defaults, facts)
    own = PublishedModel(job=job.metadata.name, revision=revision, claim=storage.models_claim, path=storage.models_path)
    model = served_model(refs, own, past.serve.rollout)
    accepted = accept(job, past, Known(refs=refs, defaults=defaults, facts=facts, storage=storage, model=model))
    if isinstance(accepted, Rejection):
        raise accepted.error()
    job, spec = accepted.job, accepted.job.spec
    shares = shares_of(spec, past.train)
    fit = fit_memory(spec, facts, defaults, begun_stage=past.train.zero_stage)
    return FineTunePlan(
        owner=Owner(namespace=job.metadata.namespace, name=job.metadata.name, uid=job.metadata.uid),
        names=names,
        revision=revision,
        config=trainer_config(job, revision=revision, origin=origin, files=files, strategy=strategy_of(fit), shares=shares),
        trainer_image=spec.workers.image or defaults.trainer_image,
        server_image=(spec.serving.image if spec.serving else None) or defaults.server_image,
        model_source=origin.source,
        data_volumes=files.volumes,
        storage=storage,
        fit=fit,
        scheduling=scheduling_of(spec.workers),
        placement=placement_of(job, refs, storage, model),
        hub_token=origin.token,
        hub_access=origin.hub is not None,
        progress_url=refs.progress_url,
        pass_labels=_passed(job.metadata.labels),
        pass_annotations=_passed(job.metadata.annotations),
        env={variable.name: variable.value for variable in spec.workers.env},
        suspend=spec.suspend,
        active_deadline_seconds=spec.active_deadline_seconds,
        progress_deadline_seconds=spec.progress_deadline_seconds,
        stages=wanted_stages(job, past, shares, servable(job, past, model)),
        objection=_objection(accepted.objections),
        lacking=lacking,
    )


def forecast(job: FineTuneJob, refs: References, defaults: Defaults, *, model_facts: ModelFacts | None = None) -> FineTunePlan:
    """Plan a job as if every stage had succeeded, to show all its children. Raises as `plan` does."""
    well = {Shape.POD: StageOutcome[Any](state=StageState.SUCCEEDED), Shape.GANG: TrainOutcome(state=StageState.SUCCEEDED, attempts=1)}
    past = Past(outcomes={stage: well[stage.shape] for stage in stages.STAGES if stage.shape in well})
    _lacking(refs, Past())
    if rejection := reject_at_start(job):
        raise rejection.error()
    return plan(job, refs, past, defaults, model_facts=model_facts)


def _objection(rejections: Sequence[Rejection]) -> Objection | None:
    return Objection(reason=rejections[0].reason, message="; ".join(map(str, rejections))) if rejections else None


def _lacking(refs: References, past: Past) -> tuple[Missing, ...]:
    """Return the missing objects that the running work does not need. Raises `PlanRejected` and `PlanWaiting` if no work runs.

    An exported model no longer needs its sources: its server continues when its data is deleted.
    """
    if not refs.missing or past.export.state is StageState.SUCCEEDED:
        return ()
    if any(past[stage].state in {StageState.PENDING, StageState.RUNNING} for stage in stages.STAGES if stage.shape is not Shape.SERVER):
        return refs.missing
    gone: Missing | None = next((item for item in refs.missing if item.kind in _FINAL_KINDS), None)
    if gone is not None:
        raise PlanRejected(reason="ReferenceMissing", field=gone.field, message=gone.message)
    raise PlanWaiting(refs.missing)


def _passed(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key.startswith(_PASSED_PREFIXES)}
