"""E305-E312: evaluating, saving and stopping.

Sources: transformers 5.23.0 (training_args.py, optimization.py), trl 1.16.0, Azure ML's components.
"""

from typing import Any

from tunewright.api.problems import as_written
from tunewright.api.rules.predicates import any_of, exists, field, flag, has, size, variable
from tunewright.api.rules.table import Faults, Rule, job_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.method import DpoSpec
from tunewright_contract.capabilities.tasks import TASKS

METRIC_SCHEDULERS = ("reduce_lr_on_plateau", "greedy")
# trl/trainer/dpo_trainer.py: f_divergence_loss_types
F_DIVERGENCE_LOSSES = frozenset({"sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"})

# Settings that decide by eval_loss.
DECIDES_BY_LOSS = Faults[FineTuneJobSpec](
    (
        (has("training.earlyStopping"), "earlyStopping"),
        (field("training.lrSchedulerType").among(METRIC_SCHEDULERS), "lrSchedulerType {scheduler}"),
    )
)
NO_EVALUATION = field("training.evalStrategy").equals("no")
UNLIKE_STRATEGIES = (
    flag("training.loadBestModelAtEnd")
    & field("training.saveStrategy").differs("best")
    & field("training.evalStrategy").differs(field("training.saveStrategy"))
)
BEST_UNMEASURED = field("training.saveStrategy").equals("best") & (
    NO_EVALUATION | (~has("training.metricForBestModel") & ~flag("training.loadBestModelAtEnd"))
)
UNEVEN_WEIGHTS = size("method.dpo.lossWeights").above(0) & size("method.dpo.lossWeights").differs(size("method.dpo.lossType"))
WITHOUT_DIVERGENCE = field("method.dpo.fDivergenceType").differs("reverse_kl") & exists(
    "method.dpo.lossType", "loss", ~variable("loss").among(sorted(F_DIVERGENCE_LOSSES))
)
UNMEASURED_METRIC = any_of(
    *(
        field("task").equals(name) & ~field("training.metricForBestModel").among([*measured, *(f"eval_{metric}" for metric in measured)])
        for name, measured in ((name, ("loss", *task.metrics)) for name, task in TASKS.items())
    )
)


def best_model_conflict(spec: FineTuneJobSpec) -> str:
    """Return why the best model cannot be determined, or an empty text."""
    training = spec.training
    if BEST_UNMEASURED(spec):
        return (
            f"saveStrategy best saves when a metric improves, but metricForBestModel is {as_written(training.metric_for_best_model)} "
            f"and evalStrategy {training.eval_strategy}"
        )
    if not training.load_best_model_at_end or training.save_strategy == "best":
        return ""
    if UNLIKE_STRATEGIES(spec):
        return (
            f"every saved step must have been evaluated, but evalStrategy is {training.eval_strategy} and "
            f"saveStrategy {training.save_strategy}"
        )
    eval_steps = training.eval_steps or training.logging_steps
    if training.eval_strategy == "steps" and not _multiple(training.save_steps, eval_steps):
        return (
            f"every saved step must have been evaluated, but saveSteps {as_written(training.save_steps)} is not a multiple of "
            f"evalSteps {as_written(eval_steps)}"
        )
    return ""


def _multiple(value: float, of: float) -> bool:
    return abs(value / of - round(value / of)) < 1e-9


def generation_conflict(spec: FineTuneJobSpec) -> str:
    """Return why GRPO's groups cannot be made, or nothing."""
    grpo, training = spec.method.grpo, spec.training
    if grpo is None:
        return ""
    if grpo.num_generations < 2:
        return f"numGenerations {grpo.num_generations} leaves nothing to compare: every advantage is 0"
    batch = training.per_device_train_batch_size * spec.gradient_accumulation_steps() * spec.world_size
    return (
        f"the generation batch of {batch} examples is not a multiple of numGenerations {grpo.num_generations}"
        if batch % grpo.num_generations
        else ""
    )


def dpo_conflict(spec: FineTuneJobSpec) -> str:
    """Return what is wrong with DPO's losses, of which something is."""
    dpo = spec.method.dpo or DpoSpec()
    if UNEVEN_WEIGHTS(spec):
        return f"{len(dpo.loss_weights)} lossWeights for {len(dpo.loss_type)} losses"
    return f"fDivergenceType {dpo.f_divergence_type} does not go with {', '.join(sorted(set(dpo.loss_type) - F_DIVERGENCE_LOSSES))}"


def scheduler_conflict(spec: FineTuneJobSpec) -> str:
    """Return which argument the schedule lacks, or nothing."""
    given = spec.training.lr_scheduler_kwargs
    name = spec.training.lr_scheduler_type
    if name in {"cosine_with_min_lr", "cosine_warmup_with_min_lr"} and ("min_lr" in given) == ("min_lr_rate" in given):
        return f"{name} needs exactly one of min_lr and min_lr_rate"
    return f"{name} needs num_decay_steps" if name == "warmup_stable_decay" and "num_decay_steps" not in given else ""


RULES: tuple[Rule[Any], ...] = (
    job_rule(
        code="E305",
        path="training.evalStrategy",
        broken=NO_EVALUATION & DECIDES_BY_LOSS.any,
        says=lambda spec: (
            f"{' and '.join(DECIDES_BY_LOSS.texts(spec, scheduler=spec.training.lr_scheduler_type))} decides by eval_loss, "
            f"but evalStrategy is {spec.training.eval_strategy}"
        ),
        refuses="a decision by eval_loss without evaluation",
        way_out="Set evalStrategy to steps or epoch.",
    ),
    job_rule(
        code="E305",
        path="training.evalStrategy",
        broken=(~NO_EVALUATION | flag("training.evalOnStart"))
        & size("data.validation").equals(0)
        & has("data.valSetSize")
        & field("data.valSetSize").equals(0.0),
        says=lambda spec: (
            f"evalStrategy {spec.training.eval_strategy} (evalOnStart {as_written(spec.training.eval_on_start)}) has "
            f"nothing to evaluate on: "
            f"data.validation is empty and valSetSize is {as_written(spec.data.val_set_size)}"
        ),
        refuses="evaluation without validation data",
        way_out="Give data.validation, or a valSetSize above 0, or set evalStrategy to no.",
    ),
    job_rule(
        code="E306",
        path="training.loadBestModelAtEnd",
        broken=BEST_UNMEASURED | UNLIKE_STRATEGIES,
        also=lambda spec: bool(best_model_conflict(spec)),
        says=best_model_conflict,
        refuses="a best model where saved steps are not evaluated",
        way_out="Give evalStrategy and saveStrategy the same value, saveSteps a multiple of evalSteps, and metricForBestModel.",
    ),
    job_rule(
        code="E307",
        path="method.grpo.numGenerations",
        broken=has("method.grpo") & field("method.grpo.numGenerations").below(2),
        also=lambda spec: bool(generation_conflict(spec)),
        says=generation_conflict,
        refuses="fewer than two generations, or a batch that they do not divide",
        way_out="Choose numGenerations of at least 2 that divides perDeviceTrainBatchSize x gradientAccumulationSteps x ranks.",
        at_start=True,
    ),
    job_rule(
        code="E308",
        path="method.dpo",
        broken=has("method.dpo") & (UNEVEN_WEIGHTS | WITHOUT_DIVERGENCE),
        says=dpo_conflict,
        refuses="DPO losses without weights of their own, or with a divergence they cannot take",
        way_out="Give lossWeights one entry for each of lossType, and fDivergenceType: reverse_kl with these losses.",
    ),
    job_rule(
        code="E309",
        path="training.saveOnlyModel",
        broken=flag("training.saveOnlyModel") & field("backoffLimit").above(0),
        says=lambda spec: (
            f"saveOnlyModel: true leaves the optimizer out, so a gang that is started again (backoffLimit "
            f"{spec.backoff_limit}) could not go on"
        ),
        refuses="saveOnlyModel where training must be able to resume",
        way_out="Set saveOnlyModel to false, or backoffLimit to 0.",
    ),
    job_rule(
        code="E310",
        path="training.lrSchedulerKwargs",
        broken=lambda spec: bool(scheduler_conflict(spec)),
        says=scheduler_conflict,
        refuses="a learning rate schedule without the arguments it needs",
        way_out="Add it, e.g. lrSchedulerKwargs: {min_lr_rate: 0.1}.",
    ),
    job_rule(
        code="E311",
        path="training.metricForBestModel",
        broken=has("training.metricForBestModel") & UNMEASURED_METRIC,
        says=lambda spec: f"{spec.training.metric_for_best_model} is not measured for task {spec.task}",
        refuses="a metric that the task does not have",
        way_out="Choose loss or a metric of the task (docs/capabilities.md).",
    ),
    job_rule(
        code="E312",
        path="training.dataloaderPrefetchFactor",
        broken=has("training.dataloaderPrefetchFactor") & field("training.dataloaderNumWorkers").equals(0),
        says=lambda spec: (
            f"dataloaderPrefetchFactor {spec.training.dataloader_prefetch_factor} needs loader processes, but dataloaderNumWorkers is 0"
        ),
        refuses="prefetching without loader processes",
        way_out="Set dataloaderNumWorkers above 0, or leave dataloaderPrefetchFactor out.",
    ),
)
