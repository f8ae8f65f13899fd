"""A plan for people: its stages, the ZeRO decision with its arithmetic, and the memory of every option. What `tunewright plan` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunewright.plan.memory.zero import strategy_of
from tunewright.plan.names import attempt_name
from tunewright.plan.plan_types import FineTunePlan, FolderSource, MemoryOption, Source, StagePlan
from tunewright_contract import stages
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.quantities import people_bytes
from tunewright_contract.stages import Shape, Stage

COLUMNS = ("option", "weights", "gradients", "optimizer", "model states", "buffers", "activations", "process", "needed", "verdict")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The parts of an explanation: (label, text) pairs, and a table of rows under `COLUMNS`."""

    job: tuple[tuple[str, str], ...]
    stages: tuple[tuple[str, str], ...]
    memory: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, ...], ...]


def explain(plan: FineTunePlan) -> Explanation:
    """Return a plan in words. The command line draws the parts as tables; `explain_text` returns plain text."""
    return Explanation(job=tuple(_job(plan)), stages=tuple(_stages(plan)), memory=tuple(_memory(plan)), options=tuple(_options(plan)))


def explain_text(plan: FineTunePlan) -> str:
    """Return the explanation as plain text."""
    parts = explain(plan)
    blocks = [_pairs("Job", parts.job), _pairs("Stages", parts.stages), _pairs("Memory", parts.memory)]
    if parts.options:
        blocks.append("Memory per rank, for every option\n" + _table([COLUMNS, *parts.options]))
    return "\n\n".join(blocks) + "\n"


def _job(plan: FineTunePlan) -> Iterator[tuple[str, str]]:
    hub, source, storage = plan.config.model.hub, plan.model_source, plan.storage
    yield "name", f"{plan.owner.namespace}/{plan.owner.name}, revision {plan.revision}"
    yield from [("model", f"{hub.repo}@{hub.revision} from the hub")] if hub else []
    yield from [("model", _place(source))] if source else []
    yield "data", ", ".join(f"{volume.name} = {_place(volume.source)}" for volume in plan.data_volumes)
    made = f" (created, {storage.create.size}, {'kept' if storage.retain else 'deleted'} with the job)" if storage.create else ""
    yield "checkpoints", f"claim {storage.output_claim}{made}"
    yield "models", f"claim {storage.models_claim}{f', folder {storage.models_path}' if storage.models_path else ''}"


def _stages(plan: FineTunePlan) -> Iterator[tuple[str, str]]:
    writers = {Shape.POD: _pod, Shape.GANG: _gang, Shape.SERVER: _server}
    return ((stage.name.capitalize(), writers[stage.shape](plan, stage)) for stage in stages.STAGES)


def _pod(plan: FineTunePlan, stage: Stage) -> str:
    does = stage.summary.format(precision=plan.config.export.precision)
    return f"Job {plan.names[stage]}, 1 pod, no accelerator: {does}{_limit(plan.stages.get(stage))}"


def _gang(plan: FineTunePlan, stage: Stage) -> str:
    name, config = plan.names[stage], plan.config
    before = stage.predecessor.name.capitalize() if stage.predecessor else ""
    job = attempt_name(name, plan.train.attempt) if plan.train else f"{attempt_name(name, 0)}, when {before} has succeeded"
    how = f"{config.world_size} rank{'s' * (config.world_size != 1)}, {_strategy(plan)}, {_method(plan)}"
    return f"Job {job}: {how}{_together(plan.placement.gang)}{_limit(plan.train, 'workers.resources')}"


def _server(plan: FineTunePlan, stage: Stage) -> str:
    if plan.serve is None:
        return f"no server, or not before {stage.predecessor.name.capitalize() if stage.predecessor else ''} has succeeded"
    limit = _limit(plan.serve, "serving.resources")
    return f"Deployment {plan.names[stage]}: {plan.serve.replicas} x {plan.serve.model_name}{_together(plan.placement.servers)}{limit}"


def _limit(stage: StagePlan | None, field: str = "") -> str:
    """Return the memory limit of a stage's pod; an empty text for a stage that is not planned. `field`: where a user sets a limit."""
    if stage is None:
        return ""
    memory = stage.resources.get("limits", {}).get("memory")
    return (
        f"; memory limit {memory}" if memory else f"; no memory limit: {field}.limits.memory sets one, and protects other pods of the node"
    )


def _together(why: str) -> str:
    return f"; all on one node, for {why}" if why else ""


def _memory(plan: FineTunePlan) -> Iterator[tuple[str, str]]:
    fit = plan.fit
    yield "decision", fit.why
    available = fit.available_bytes_per_rank
    yield "available", f"{people_bytes(available)} per rank" if available is not None else "no limit is set"
    chosen = next((option for option in fit.options if option.name == _strategy(plan)), None)
    if chosen is not None:
        formulas = dict(fit.arithmetic)
        for term in ("weights", "gradients", "optimizer", "buffers", "activations", "process"):
            formula = f" = {formulas[term]}" if term in formulas else ""
            yield term, f"{getattr(chosen, term):>18,} bytes{formula}"
        yield "needed", f"{chosen.needed:>18,} bytes = {people_bytes(chosen.needed)}"
        if chosen.host:
            yield "offloaded", f"{chosen.host:>18,} bytes of the pod's own memory per rank"


def _options(plan: FineTunePlan) -> Iterator[tuple[str, ...]]:
    for option in plan.fit.options:
        sizes = (option.weights, option.gradients, option.optimizer, option.states, option.buffers, option.activations, option.process)
        yield (option.name, *(people_bytes(size) for size in (*sizes, option.needed)), _verdict(plan, option))


def _verdict(plan: FineTunePlan, option: MemoryOption) -> str:
    available = plan.fit.available_bytes_per_rank
    chosen = "chosen, " if option.name == _strategy(plan) else ""
    if option.refused:
        return f"{chosen}{option.refused}"
    if available is None:
        return f"{chosen}no limit is set"
    short = option.needed - available
    return f"{chosen}{'fits' if short <= 0 else f'{people_bytes(short)} too much'}"


def _strategy(plan: FineTunePlan) -> str:
    return strategy_of(plan.fit).name


def _method(plan: FineTunePlan) -> str:
    method = plan.config.method
    tuner = TUNERS[method.tuner]
    if not tuner.adapts:
        return "full fine-tune"
    if method.lora is None:
        return tuner.title or tuner.name
    kind = "DoRA" if method.lora.get("use_dora") else "LoRA"
    return f"{'Q' if method.quantization else ''}{kind} r={method.lora['r']}"


def _place(source: Source) -> str:
    return source.path if isinstance(source, FolderSource) else f"claim {source.claim}, {source.path or 'its root'}"


def _pairs(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    return "\n".join([title, *(f"  {label:<12} {text}" for label, text in pairs)])


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
