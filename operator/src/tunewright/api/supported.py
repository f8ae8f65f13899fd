"""Fields and values that the API has and no stage implements yet. They are refused, never ignored.

`NOT_SUPPORTED_YET` is data: the README's list is generated from it. Its names of tasks, tuners, formats and so on come from the capability
tables. A field that will never be allowed is a rule (E015), not an entry here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tunewright.api.problems import Problem, as_written
from tunewright.api.rules.predicates import OLD_SELF, Predicate, exists, has, variable
from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.data_formats import DATA_FORMATS
from tunewright_contract.capabilities.execution_providers import EXECUTION_PROVIDERS
from tunewright_contract.capabilities.methods import METHODS
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.table import Table
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import LORA_STARTS, TUNERS

CODE = "not supported yet"


@dataclass(frozen=True)
class NotYet:
    """A field, or some of its values, that no stage implements yet. `[*]` stands for every entry of a list, `[1]` for the second."""

    path: str
    instead: str
    values: tuple[str, ...] = ()  # only these values are refused; empty: everything but the field's default
    not_added: Predicate | None = None  # of a field that may change: true unless an edit adds this, so a running job stays valid


_DATASETS = ("spec.data.train[*]", "spec.data.validation[*]", "spec.data.test[*]")


def _in_every_dataset(field: str, instead: str, values: tuple[str, ...] = ()) -> tuple[NotYet, ...]:
    return tuple(NotYet(f"{dataset}.{field}", instead, values) for dataset in _DATASETS)


def _names(path: str, table: Table[Any], *, not_added: Predicate | None = None) -> tuple[NotYet, ...]:
    """Return the entry for the names of a table that are not supported yet, if there are any."""
    return (NotYet(path, table.instead, table.unsupported, not_added),) if table.unsupported else ()


_PROVIDERS = "serving.executionProviders"
_WAS_THERE = has("serving", of=OLD_SELF) & exists(_PROVIDERS, "old", variable("old").equals(variable("name")), of=OLD_SELF)
_ADDS_PROVIDER = has("serving") & exists(_PROVIDERS, "name", ~variable("name").among(EXECUTION_PROVIDERS.supported) & ~_WAS_THERE)

NOT_SUPPORTED_YET: tuple[NotYet, ...] = (
    *_names("spec.task", TASKS),
    NotYet("spec.model.source.oci", "Use huggingFace or pvc."),
    NotYet("spec.model.source.s3", "Copy the model into a claim and use pvc."),
    NotYet("spec.model.source.url", "Copy the model into a claim and use pvc."),
    NotYet("spec.model.source.modelRef", "Use pvc with the claim the other job published to."),
    *_in_every_dataset("source.huggingFace", "Download the data set and use pvc, or path without a cluster."),
    *_in_every_dataset("source.url", "Download the file and use pvc, or path without a cluster."),
    *_in_every_dataset("source.s3", "Copy the file into a claim and use pvc."),
    *_in_every_dataset("source.configMap", "Copy the file into a claim and use pvc."),
    *_in_every_dataset("format", DATA_FORMATS.instead, DATA_FORMATS.unsupported),
    *_in_every_dataset("split", "Give each split as a file of its own."),
    *_in_every_dataset("fraction", "Shorten the file."),
    *_in_every_dataset("numSamples", "Shorten the file."),
    *_in_every_dataset("weight", "Name the source several times under train."),
    NotYet("spec.data.mixStrategy", "Mix the files beforehand."),
    NotYet("spec.data.interleaveProbs", "Mix the files beforehand."),
    NotYet("spec.data.packing", "Leave it false: packed examples could see each other where flash attention is missing."),
    NotYet("spec.data.paddingFree", "Leave it false."),
    NotYet("spec.data.streaming", "Leave it false."),
    *_names("spec.method.type", METHODS),
    *_names("spec.method.tuner", TUNERS),
    *_names("spec.method.lora.initLoraWeights", LORA_STARTS),
    NotYet("spec.method.lora.loftqConfig", "Leave it out."),
    NotYet("spec.method.lora.loraplusLrRatio", "Leave it out."),
    NotYet("spec.training.useLigerKernel", "Leave it false."),
    *_names("spec.training.optim", OPTIMIZERS),
    NotYet("spec.training.metricForBestModel", "Use another metric of the task (docs/capabilities.md).", ("perplexity", "eval_perplexity")),
    NotYet("spec.training.earlyStopping", "Use loadBestModelAtEnd."),
    NotYet("spec.training.reportTo", "Leave it out: metrics are in status and in metrics.jsonl."),
    NotYet("spec.training.pushToHub", "Publish to a claim with output.destinations."),
    NotYet("spec.deepspeed.offloadOptimizer.device", "Use cpu: the images hold no asynchronous I/O for DeepSpeed.", ("nvme",)),
    NotYet("spec.deepspeed.offloadParam.device", "Use cpu: the images hold no asynchronous I/O for DeepSpeed.", ("nvme",)),
    NotYet("spec.evaluation.gates", "Compare status.evaluation by hand."),
    NotYet("spec.output.destinations[1]", "Name one destination."),
    *_names("spec.serving.executionProviders[*]", EXECUTION_PROVIDERS, not_added=~_ADDS_PROVIDER),
    NotYet(
        "spec.ttlSecondsAfterFinished", "Delete the job by hand.",
        not_added=~has("ttlSecondsAfterFinished") | has("ttlSecondsAfterFinished", of=OLD_SELF),
    ),
)  # fmt: skip


def unsupported(spec: FineTuneJobSpec) -> tuple[Problem, ...]:
    """Return every setting that no stage implements yet, in the list's order."""
    return tuple(
        Problem(code=CODE, path=path, message=f"{_written(value)} is not supported yet", way_out=entry.instead)
        for entry in NOT_SUPPORTED_YET
        for path, value, default in _places(spec, "spec", entry.path.removeprefix("spec.").split("."))
        if _refused(entry, value, default)
    )


def _refused(entry: NotYet, value: Any, default: Any) -> bool:
    return value in entry.values if entry.values else value != default


def _places(part: Spec | None, path: str, steps: list[str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, value, default) of every place at the end of these steps, below parts that are present."""
    if part is None:
        return
    step, *rest = steps
    alias, _, index = step.removesuffix("]").partition("[")
    name, default = _field(type(part), alias)
    value = getattr(part, name)
    if not index:
        places = [(f"{path}.{alias}", value, default)]
    else:
        wanted = range(len(value)) if index == "*" else range(int(index), min(int(index) + 1, len(value)))
        places = [(f"{path}.{alias}[{i}]", value[i], None) for i in wanted]
    for place, found, usual in places:
        if rest:
            yield from _places(found, place, rest)
        else:
            yield place, found, usual


@cache
def _field(model: type[Spec], alias: str) -> tuple[str, Any]:
    """Return a field's name and its default. Cached, because each reconcile of each job needs it."""
    name, field = next((name, field) for name, field in model.model_fields.items() if field.alias == alias)
    return name, field.get_default(call_default_factory=True)


def _written(value: Any) -> str:
    return as_written(value) if isinstance(value, str | int | float) else "this setting"
