"""A predicate and its CEL give the same result."""

import celpy
import pytest
from api_jobs import raw_job
from celpy.adapter import json_to_cel

from tunewright.api.rules.predicates import any_of, field, flag, has, number_given, size, text, variable
from tunewright.api.v1alpha1.job import parse

CEL = celpy.Environment()
SPEC = parse(
    raw_job(
        {
            "data.packing": True,
            "training.maxSteps": 5,
            "deepspeed": {"stage": 2, "offloadOptimizer": {"ratio": 0.5}},
            "workers.env": [{"name": "OMP_NUM_THREADS", "value": "4"}],
            "training.reportTo": ["wandb"],
        }
    )
).spec
PACKS, STREAMS = flag("data.packing"), flag("data.streaming")
STEPS = field("training.maxSteps")

PREDICATES = [
    (True, "self.data.packing", PACKS),
    (False, "!self.data.packing", ~PACKS),
    (True, "self.data.packing", ~~PACKS),
    (True, "has(self.deepspeed)", has("deepspeed")),
    (False, "has(self.serving)", has("serving")),
    (True, "self.training.maxSteps == 5", STEPS.equals(5)),
    (False, "self.training.maxSteps != 5", ~STEPS.equals(5)),
    (True, "self.training.maxSteps == 5", ~STEPS.differs(5)),
    (True, "self.training.maxSteps < 6", STEPS.below(6)),
    (False, "!(self.training.maxSteps < 6)", ~STEPS.below(6)),
    (True, "self.training.maxSteps <= 5", STEPS.at_most(5)),
    (False, "self.training.maxSteps > 5", STEPS.above(5)),
    (True, "self.training.maxSteps > self.backoffLimit", STEPS.above(field("backoffLimit"))),
    (True, "self.deepspeed.offloadOptimizer.ratio < 1.0", field("deepspeed.offloadOptimizer.ratio").below(1.0)),
    (True, "string(self.deepspeed.stage) == '2'", text("deepspeed.stage").equals("2")),
    (True, "self.deepspeed.stage3Gather16bitWeightsOnModelSave", flag("deepspeed.stage3Gather16bitWeightsOnModelSave")),
    (True, "self.task == 'ChatCompletion'", field("task").among(["ChatCompletion"])),
    (False, "self.task in ['Translation', 'Summarization']", field("task").among(["Translation", "Summarization"])),
    (True, "!(self.task in ['Translation', 'Summarization'])", ~field("task").among(["Translation", "Summarization"])),
    (True, "self.training.optim.startsWith('adamw')", field("training.optim").starts_with("adamw")),
    (False, "self.training.optim.endsWith('bit')", field("training.optim").ends_with("bit")),
    (True, "size(self.data.train) == 1", size("data.train").equals(1)),
    (
        True,
        "[has(self.model.source.huggingFace), has(self.model.source.path)].filter(x, x).size() == 1",
        number_given(["model.source.huggingFace", "model.source.path"]).equals(1),
    ),
    (
        True,
        "self.workers.env.exists(e, e.name.matches('^OMP_.*$'))",
        field("workers.env").exists("e", field("name", of="e").matches("^OMP_.*$")),
    ),
    (
        False,
        "self.workers.env.exists(e, e.name.matches('^MP_.*$'))",
        field("workers.env").exists("e", field("name", of="e").matches("^MP_.*$")),
    ),
    (False, "self.data.train.exists(d, has(d.weight))", field("data.train").exists("d", has("weight", of="d"))),
    (True, "self.training.reportTo.exists(name, name == 'wandb')", field("training.reportTo").exists("name", variable("name").equals("wandb"))),
    (False, "self.data.packing && self.data.streaming && has(self.deepspeed)", PACKS & STREAMS & has("deepspeed")),
    (True, "self.data.packing || self.data.streaming || has(self.serving)", PACKS | STREAMS | has("serving")),
    (True, "self.data.packing && (self.data.streaming || has(self.deepspeed))", PACKS & (STREAMS | has("deepspeed"))),
    (True, "(self.data.packing && self.data.streaming) || has(self.deepspeed)", (PACKS & STREAMS) | has("deepspeed")),
    (False, "!(self.data.packing || self.data.streaming)", ~any_of(PACKS, STREAMS)),
    (True, "!(has(self.serving) && self.serving.replicas > 1)", ~(has("serving") & field("serving.replicas").above(1))),
]  # fmt: skip


@pytest.mark.parametrize(("holds", "cel", "predicate"), PREDICATES, ids=[cel for _, cel, _ in PREDICATES])
def test_a_predicate_and_its_cel_agree(holds, cel, predicate):
    seen_by_the_api_server = SPEC.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert predicate.cel() == cel
    assert predicate(SPEC) is holds
    assert bool(CEL.program(CEL.compile(cel)).evaluate({"self": json_to_cel(seen_by_the_api_server)})) is holds


def test_an_optional_part_must_be_guarded():
    with pytest.raises(AttributeError):
        field("serving.replicas").above(1)(SPEC)
