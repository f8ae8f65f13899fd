"""E001-E015, E020: parts of a job that exclude or need each other, independent of any library."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from tunewright.api.problems import as_written
from tunewright.api.rules.predicates import Predicate, Term, exists, field, flag, has, number_given, size
from tunewright.api.rules.table import DATASET, Faults, Rule, job_rule
from tunewright.api.v1alpha1.data import DATA_SOURCES
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.model import MODEL_SOURCES
from tunewright.api.v1alpha1.pod_settings import ACCELERATOR_RESOURCES
from tunewright_contract.capabilities.methods import METHODS
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.quantities import amount

# Settings block under `method` -> the tuner or type that it belongs to.
TUNER_BLOCKS = {row.settings: row.name for row in TUNERS.values() if row.settings is not None}
TYPE_BLOCKS = {row.settings: row.name for row in METHODS.values() if row.settings is not None}
OFT_BOTH = field("method.oft.r").above(0) & field("method.oft.oftBlockSize").above(0)
OFT_NEITHER = field("method.oft.r").at_most(0) & field("method.oft.oftBlockSize").at_most(0)


def names(attributes: Sequence[str]) -> str:
    """Write attribute names as in YAML."""
    return ", ".join(map(to_camel, attributes))


def number_of(fields: Sequence[str], owner: str) -> Term:
    """Return how many of the fields are given."""
    return number_given([f"{owner}.{to_camel(field)}" for field in fields])


def _foreign_blocks(by: str, owners: Mapping[str, str]) -> Iterator[tuple[Predicate, str]]:
    for block, owner in owners.items():
        name = to_camel(block)
        yield has(f"method.{name}") & field(f"method.{by}").differs(owner), name


# Settings under `method` that the chosen tuner and type would ignore.
FOREIGN_BLOCKS = Faults[FineTuneJobSpec]((*_foreign_blocks("tuner", TUNER_BLOCKS), *_foreign_blocks("type", TYPE_BLOCKS)))
# Settings of a claim to create.
NEW_CLAIM = Faults[FineTuneJobSpec](
    (
        (has("output.storage.size"), "size"),
        (has("output.storage.storageClassName"), "storageClassName"),
        (size("output.storage.accessModes").above(0), "accessModes"),
    )
)
UNUSED_PROBABILITIES = field("data.mixStrategy").equals("concat")
UNEVEN_PROBABILITIES = size("data.interleaveProbs").differs(size("data.train"))


def bad_probabilities(spec: FineTuneJobSpec) -> str:
    """Return why interleaveProbs do not fit, or nothing."""
    data = spec.data
    if not data.interleave_probs:
        return ""
    if UNUSED_PROBABILITIES(spec):
        return "mixStrategy concat takes all examples, so interleaveProbs would be ignored"
    if UNEVEN_PROBABILITIES(spec):
        return f"{len(data.interleave_probs)} probabilities for {len(data.train)} train entries"
    total = sum(data.interleave_probs)
    return "" if abs(total - 1) <= 1e-6 else f"the probabilities sum to {total:g}"


def _is_whole(quantity: str) -> bool:
    return amount(quantity) % 1 == 0


RULES: tuple[Rule[Any], ...] = (
    job_rule(
        code="E001",
        path="model.source",
        broken=number_of(MODEL_SOURCES, "model.source").differs(1),
        says=lambda spec: f"exactly one source must be given, here: {names(spec.model.source.chosen()) or 'none'}",
        refuses="more or fewer than one model source",
        way_out=f"Give one of {names(MODEL_SOURCES)}.",
    ),
    Rule(
        code="E002",
        subject=DATASET,
        path="source",
        broken=number_of(DATA_SOURCES, "source").differs(1),
        says=lambda data: f"exactly one source must be given, here: {names(data.source.chosen()) or 'none'}",
        refuses="more or fewer than one data source",
        way_out=f"Give one of {names(DATA_SOURCES)}.",
    ),
    Rule(
        code="E004",
        subject=DATASET,
        path="fraction",
        broken=has("fraction") & has("numSamples"),
        says=lambda data: f"fraction {as_written(data.fraction)} and numSamples {data.num_samples} both say how much is used",
        refuses="fraction together with numSamples",
        way_out="Keep one of the two.",
    ),
    job_rule(
        code="E005",
        path="data.interleaveProbs",
        broken=size("data.interleaveProbs").above(0) & (UNUSED_PROBABILITIES | UNEVEN_PROBABILITIES),
        also=lambda spec: bool(bad_probabilities(spec)),
        says=bad_probabilities,
        refuses="interleaveProbs that do not fit mixStrategy and train",
        way_out="Give one probability per train entry, summing to 1, with mixStrategy interleave_under or interleave_over.",
    ),
    job_rule(
        code="E006",
        path="method",
        broken=FOREIGN_BLOCKS.any,
        says=lambda spec: (
            f"tuner {spec.method.tuner} and type {spec.method.type} would ignore the settings in {', '.join(FOREIGN_BLOCKS.texts(spec))}"
        ),
        refuses="settings of another tuner or type than the chosen one",
        way_out="Remove those settings, or choose the tuner or type they belong to.",
    ),
    job_rule(
        code="E007",
        path="output.storage",
        broken=has("output.storage.claimName") & NEW_CLAIM.any,
        says=lambda spec: (
            f"claimName {spec.output.storage.claim_name} is an existing claim, so {', '.join(NEW_CLAIM.texts(spec))} would be ignored"
        ),
        refuses="an existing claim together with the settings of a new one",
        way_out="Keep claimName, or describe the claim to create.",
    ),
    job_rule(
        code="E008",
        path="workers.acceleratorsPerReplica",
        broken=lambda spec: spec.workers.accelerators_per_replica not in {None, spec.workers.accelerators},
        says=lambda spec: (
            f"acceleratorsPerReplica is {spec.workers.accelerators_per_replica}, resources.limits hold "
            f"{spec.workers.accelerators} accelerators"
        ),
        refuses="acceleratorsPerReplica unlike the number in resources.limits",
        way_out=f"Set one of {', '.join(ACCELERATOR_RESOURCES)} in workers.resources.limits to that number, or leave "
        f"acceleratorsPerReplica out.",
    ),
    job_rule(
        code="E009",
        path="workers.resources.limits",
        broken=lambda spec: any(
            not _is_whole(value) for name, value in spec.workers.resources.limits.items() if name in ACCELERATOR_RESOURCES
        ),
        says=lambda spec: f"accelerators are whole pieces, here: {as_written(spec.workers.resources.limits)}",
        refuses="a fraction of an accelerator",
        way_out="Give a whole number such as 1.",
    ),
    job_rule(
        code="E010",
        path="method.oft",
        broken=has("method.oft") & (OFT_BOTH | OFT_NEITHER),
        says=lambda spec: f"exactly one of r and oftBlockSize must be above 0, here: {as_written(spec.method.oft)}",
        refuses="OFT with r and oftBlockSize both set, or neither",
        way_out="Set the one you mean and the other to 0.",
    ),
    job_rule(
        code="E014",
        path="evaluation.gates",
        broken=exists(
            "evaluation.gates", "gate", ~(flag("mustNotRegress", of="gate") | has("minimum", of="gate") | has("maximum", of="gate"))
        ),
        says=lambda spec: f"a gate demands nothing: {as_written([gate.metric for gate in spec.evaluation.gates])}",
        refuses="a gate without a demand",
        way_out="Give mustNotRegress: true, minimum or maximum.",
    ),
    Rule(
        code="E020",
        subject=DATASET,
        path="source.pvc.path",
        broken=has("source.pvc") & (~has("source.pvc.path") | field("source.pvc.path").ends_with("/")),
        says=lambda data: f"{as_written(data.source.pvc.path if data.source.pvc else None)} names a folder, not a file of examples",
        refuses="a folder instead of a file of examples",
        way_out="Name the file in it, e.g. corpora/train.jsonl.",
    ),
    Rule(
        code="E020",
        subject=DATASET,
        path="source.path",
        broken=has("source.path") & field("source.path").ends_with("/"),
        says=lambda data: f"{data.source.path} names a folder, not a file of examples",
        refuses="a folder instead of a file of examples",
        way_out="Name the file in it, e.g. data/train.jsonl.",
    ),
    job_rule(
        code="E015",
        path="model.trustRemoteCode",
        broken=flag("model.trustRemoteCode"),
        says=lambda _: "true would run code that lies beside the model, with the rights of this job",
        refuses="running code that lies beside a model",
        way_out="Set it to false, and use a model whose architecture transformers knows.",
    ),
)
