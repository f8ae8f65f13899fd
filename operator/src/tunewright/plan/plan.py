"""`plan`: a job, its references and its past → a complete plan. The entry point of this room.

Promises a `FineTunePlan` that can be rendered as it is, and is the same for the same arguments. For an admitted job without one it
returns a `Rejection` (the job must change) or `ReferencesMissing` (an object that it names is missing).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.changes import Known, accept, reject_at_start
from tunewright.plan.inputs import Defaults, Missing, Past, References, StageOutcome, StageState, TrainOutcome
from tunewright.plan.label_names import KUEUE
from tunewright.plan.memory.zero import strategy_of, weigh_memory
from tunewright.plan.names import names_of, revision_of
from tunewright.plan.placement import placement_of
from tunewright.plan.plan_types import FineTunePlan, Objection, Owner, ReferencesMissing, Rejection
from tunewright.plan.pods import pod_options
from tunewright.plan.regression import servable
from tunewright.plan.resize import shares_of
from tunewright.plan.rollout import PublishedModel
from tunewright.plan.stages import served_model, wanted_stages
from tunewright.plan.storage import data_files, model_origin, storage_of
from tunewright.plan.trainer_config import trainer_config
from tunewright_contract import stages
from tunewright_contract.reports import ModelFacts
from tunewright_contract.stages import Shape

# A folder that is missing on this machine does not appear by waiting; other objects may be applied a moment later.
_FINAL_KINDS = ("Folder", "File", "Path")
# Queues and gang schedulers read these on the Job and on its pods.
_PASSED_PREFIXES = (KUEUE, "kai.scheduler/", "scheduling.volcano.sh/", "scheduling.k8s.io/", "alpha.jobset.sigs.k8s.io/")


Decision = FineTunePlan | Rejection | ReferencesMissing


def plan(job: FineTuneJob, refs: References, past: Past, defaults: Defaults, *, model_facts: ModelFacts | None = None) -> Decision:
    """Plan a job. `model_facts` are used until Check has counted the model, so that memory can be estimated before.

    If a change is refused, the plan has the running work unchanged, and the objection.
    """
    if (stop := _other_inputs(job, past) or _missing_to_begin(refs, past)) is not None:
        return stop
    origin, files, names, revision = model_origin(job, refs), data_files(job, refs), names_of(job.metadata.name), revision_of(job)
    if isinstance(origin, Rejection):
        return origin
    if isinstance(files, Rejection):
        return files
    facts = past.check.report.model if past.check.report is not None else model_facts
    storage = storage_of(job, names.output, defaults, facts, present_size=past.claim_sizes.get(names.output, ""))
    if isinstance(storage, Rejection):
        return storage
    own = PublishedModel(job=job.metadata.name, revision=revision, claim=storage.models_claim, path=storage.models_path)
    model = served_model(refs, own, past.serve.rollout)
    accepted = accept(job, past, Known(refs=refs, defaults=defaults, facts=facts, storage=storage, model=model))
    if isinstance(accepted, Rejection):
        return accepted
    job, spec = accepted.job, accepted.job.spec
    shares = shares_of(spec, past.train)
    fit = weigh_memory(spec, facts, defaults, begun_stage=past.train.zero_stage)
    if isinstance(fit, Rejection):  # of the workers that a gang began with, when another number is refused
        return fit
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
        pods=pod_options(spec),
        placement=placement_of(job, refs, storage, model),
        hub_token=origin.token,
        hub_access=origin.hub is not None,
        progress_url=refs.progress_url,
        pass_labels=_passed(job.metadata.labels),
        pass_annotations=_passed(job.metadata.annotations),
        suspend=spec.suspend,
        active_deadline_seconds=spec.active_deadline_seconds,
        progress_deadline_seconds=spec.progress_deadline_seconds,
        stages=wanted_stages(job, past, shares, servable(job, past, model), refused=bool(accepted.objections)),
        objection=_objection(accepted.objections),
        lacking=() if _is_written(past) else refs.missing,
    )


def forecast(job: FineTuneJob, refs: References, defaults: Defaults, *, model_facts: ModelFacts | None = None) -> Decision:
    """Plan a job as if every stage had succeeded, to show all its children."""
    well = {Shape.POD: StageOutcome[Any](state=StageState.SUCCEEDED), Shape.GANG: TrainOutcome(state=StageState.SUCCEEDED, attempts=1)}
    past = Past(outcomes={stage: well[stage.shape] for stage in stages.STAGES if stage.shape in well})
    return _missing_to_begin(refs, Past()) or reject_at_start(job) or plan(job, refs, past, defaults, model_facts=model_facts)


def _objection(rejections: Sequence[Rejection]) -> Objection | None:
    return Objection(reason=rejections[0].reason, message="; ".join(map(str, rejections))) if rejections else None


def _other_inputs(job: FineTuneJob, past: Past) -> Rejection | None:
    """Return why a job whose inputs have changed cannot continue. A cluster without the policy of immutable inputs lets them change."""
    if not past.made_from:
        return None
    message = (
        f"the inputs changed after the first stage began: they have revision {revision_of(job)}, and the Jobs were made from"
        f" {past.made_from}. Nothing is started or stopped. Apply the earlier specification again, or this one under another metadata.name"
    )
    return Rejection(reason="InputsChanged", field="spec", message=message)


def _missing_to_begin(refs: References, past: Past) -> Rejection | ReferencesMissing | None:
    """Return why the next stage cannot begin without what is missing. A stage that runs continues without it."""
    if not refs.missing or _is_written(past):
        return None
    if any(past[stage].state in {StageState.PENDING, StageState.RUNNING} for stage in stages.STAGES if stage.shape is not Shape.SERVER):
        return None
    gone: Missing | None = next((item for item in refs.missing if item.kind in _FINAL_KINDS), None)
    if gone is not None:
        return Rejection(reason="ReferenceMissing", field=gone.field, message=gone.message)
    return ReferencesMissing(refs.missing)


def _is_written(past: Past) -> bool:
    """Return whether the model is exported. It no longer needs its sources: its server continues when its data is deleted."""
    return past.export.state is StageState.SUCCEEDED


def _passed(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key.startswith(_PASSED_PREFIXES)}
