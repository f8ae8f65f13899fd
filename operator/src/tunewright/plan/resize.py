"""Resizing: keeps the global batch, divides it among the new number of ranks, and refuses numbers that do not fit.

A revision's first gang fixes the examples per optimizer step and the ZeRO stage. Both are read from the gangs' Jobs, because
`spec.workers.replicas` may have changed since. A resize changes the passes per step. Only if the batch is too small for that, it reduces
the examples per pass, and never exceeds the job's own number, so that memory suffices.
Refuses a number of ranks that does not divide the batch, and shards that cannot be partitioned again.
"""

from dataclasses import dataclass

from tunewright.api.rules.facts import raw_deepspeed
from tunewright.api.v1alpha1.common import ResourceRequirements
from tunewright.api.v1alpha1.job import FineTuneJob, FineTuneJobSpec
from tunewright.api.v1alpha1.pod_settings import ACCELERATOR_RESOURCES
from tunewright.plan.inputs import Past, StageState, TrainOutcome
from tunewright.plan.plan_types import Rejection
from tunewright_contract.capabilities.optimizers import CONVERTIBLE_OPTIMIZERS
from tunewright_contract.quantities import amount

_MOST_REPLICAS = 1024
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How a global batch is divided: global = per_device x passes x ranks."""

    global_batch_size: int
    per_device: int
    passes: int


def as_trained(job: FineTuneJob, past: Past) -> FineTuneJob:
    """Return the job with the workers that trained it: after training, another number has no effect."""
    return as_begun(job, past) if past.train.state is StageState.SUCCEEDED else job


def as_begun(job: FineTuneJob, past: Past) -> FineTuneJob:
    """Return the job with the workers of its newest gang, if there is one."""
    if not is_resized(job.spec, past.train):
        return job
    workers = job.spec.workers.model_copy(update={"replicas": past.train.replicas})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"workers": workers})})


def with_begun_resources(job: FineTuneJob, past: Past) -> FineTuneJob:
    """Return the job with the resources of its newest gang, if there is one."""
    if not past.train.resources:
        return job
    workers = job.spec.workers.model_copy(update={"resources": ResourceRequirements.model_validate(past.train.resources)})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"workers": workers})})


def reject_accelerators(job: FineTuneJob, past: Past) -> Rejection | None:
    """Reject other accelerators per pod than those that the gang began with: they fix the ranks of a pod."""
    if not past.train.resources:
        return None
    limits = job.spec.workers.resources.limits
    begun = past.train.resources.get("limits", {})
    for name in ACCELERATOR_RESOURCES:
        before, now = begun.get(name, "0"), limits.get(name, "0")
        if amount(before) != amount(now):
            return Rejection(
                reason="AcceleratorsFixed",
                field=f"spec.workers.resources.limits[{name}]",
                message=f"{now} is not {before}, with which the gang began: the ranks of a pod stay the same; set it back to {before} and "
                "change spec.workers.replicas, or create a new job",
            )
    return None


def can_stay(job: FineTuneJob, past: Past) -> bool:
    """Return whether a gang of another size runs, which continues if the change is refused."""
    return is_resized(job.spec, past.train) and goes_on(past)


def goes_on(past: Past) -> bool:
    """Return whether a gang exists that can continue as it is."""
    return past.train.state in {StageState.PENDING, StageState.RUNNING, StageState.SUSPENDED}


def is_resized(spec: FineTuneJobSpec, train: TrainOutcome) -> bool:
    """Return whether the newest gang has another number of pods than the job."""
    return train.replicas not in {None, spec.workers.replicas}


def reject_batch(spec: FineTuneJobSpec, train: TrainOutcome) -> Rejection | None:
    """Reject a number of ranks that cannot share the global batch, or that contradicts a raw DeepSpeed configuration."""
    total = _global_batch_size(spec, train)
    if total % spec.world_size:
        return Rejection(reason="BatchNotDivisible", field="spec.workers.replicas", message=_why_not_divisible(spec, train, total))
    return _reject_raw_numbers(spec, train, _share(spec, total))


def shares_of(spec: FineTuneJobSpec, train: TrainOutcome) -> Shares:
    """Divide the global batch among the new number of ranks, for which `reject_batch` returns None."""
    return _share(spec, _global_batch_size(spec, train))


def reject_stuck_shards(spec: FineTuneJobSpec, train: TrainOutcome, *, stage: int) -> Rejection | None:
    """Reject another number of workers if the checkpoints cannot be partitioned again."""
    optimizer = "deepspeed.config.optimizer" if "optimizer" in raw_deepspeed(spec) else f"training.optim {spec.training.optim}"
    convertible = optimizer in {f"training.optim {name}" for name in CONVERTIBLE_OPTIMIZERS}
    if not stage or convertible or not is_resized(spec, train):
        return None
    return Rejection(
        reason="CheckpointNotConvertible",
        field="spec.workers.replicas",
        message=f"{spec.workers.replicas} cannot resume from a checkpoint of {train.replicas} workers: under ZeRO-{stage} only the "
        f"state of {' and '.join(CONVERTIBLE_OPTIMIZERS)} can be partitioned again, not that of {optimizer}; "
        f"set it back to {train.replicas}",
    )


def _global_batch_size(spec: FineTuneJobSpec, train: TrainOutcome) -> int:
    passes = spec.gradient_accumulation_steps()
    return train.global_batch_size or spec.training.per_device_train_batch_size * passes * spec.world_size


def _share(spec: FineTuneJobSpec, total: int) -> Shares:
    each = total // spec.world_size
    per_device = next(size for size in range(min(each, spec.training.per_device_train_batch_size), 0, -1) if each % size == 0)
    return Shares(global_batch_size=total, per_device=per_device, passes=each // per_device)


def _why_not_divisible(spec: FineTuneJobSpec, train: TrainOutcome, total: int) -> str:
    processes = spec.workers.processes
    possible = [str(replicas) for replicas in range(1, min(_MOST_REPLICAS, total) + 1) if total % (replicas * processes) == 0]
    shown = ", ".join(possible[:_SHOWN]) + (", …" if len(possible) > _SHOWN else "")
    ranks = f"{spec.workers.replicas} workers" if processes == 1 else f"{spec.workers.replicas} workers of {processes} ranks"
    return (
        f"{ranks} cannot share the {total} examples per optimizer step of this job evenly; use one of {shown} "
        f"(it was {train.replicas}, and the running gang continues), or create a new job for another batch"
    )


def _reject_raw_numbers(spec: FineTuneJobSpec, train: TrainOutcome, shares: Shares) -> Rejection | None:
    """A raw DeepSpeed configuration is kept as it is, so numbers in it hold for one number of ranks only."""
    now = {
        "train_batch_size": shares.global_batch_size,
        "train_micro_batch_size_per_gpu": shares.per_device,
        "gradient_accumulation_steps": shares.passes,
    }
    raw = raw_deepspeed(spec)
    numbers = {name: raw[name] for name in now if isinstance(raw.get(name), int)}
    fixed = [f"{name} {said} (it would be {now[name]})" for name, said in numbers.items() if said != now[name]]
    if not fixed or not is_resized(spec, train):
        return None
    return Rejection(
        reason="BatchFixed",
        field="spec.workers.replicas",
        message=f"{spec.workers.replicas} would divide the batch differently from deepspeed.config: {', '.join(fixed)}; "
        f'set it back to {train.replicas}, or create a new job with "auto" there',
    )
