"""A predicate and its CEL give the same result."""

import celpy
import pytest
from api_jobs import raw_job
from celpy.adapter import json_to_cel

from tunewright.api.rules.predicates import any_of, exists, field, flag, has, number_given, size, text, variable
from tunewright.api.v1alpha1.job import FineTuneJobSpec, parse

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
    (True, "(has(self.data.packing) ? self.data.packing : false)", PACKS),
    (False, "!(has(self.data.packing) ? self.data.packing : false)", ~PACKS),
    (True, "(has(self.data.packing) ? self.data.packing : false)", ~~PACKS),
    (True, "has(self.deepspeed)", has("deepspeed")),
    (False, "has(self.serving)", has("serving")),
    (True, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) == 5", STEPS.equals(5)),
    (False, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) != 5", ~STEPS.equals(5)),
    (True, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) == 5", ~STEPS.differs(5)),
    (True, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) < 6", STEPS.below(6)),
    (False, "!((has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) < 6)", ~STEPS.below(6)),
    (True, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) <= 5", STEPS.at_most(5)),
    (False, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) > 5", STEPS.above(5)),
    (True, "(has(self.training) && has(self.training.maxSteps) ? self.training.maxSteps : -1) > (has(self.backoffLimit) ? self.backoffLimit : 3)", STEPS.above(field("backoffLimit"))),
    (True, "(has(self.deepspeed.offloadOptimizer) && has(self.deepspeed.offloadOptimizer.ratio) ? self.deepspeed.offloadOptimizer.ratio : 1.0) < 1.0", field("deepspeed.offloadOptimizer.ratio").below(1.0)),
    (True, "(has(self.deepspeed.stage) ? string(self.deepspeed.stage) : 'Auto') == '2'", text("deepspeed.stage").equals("2")),
    (True, "(has(self.deepspeed.stage3Gather16bitWeightsOnModelSave) ? self.deepspeed.stage3Gather16bitWeightsOnModelSave : true)", flag("deepspeed.stage3Gather16bitWeightsOnModelSave")),
    (True, "self.task == 'ChatCompletion'", field("task").among(["ChatCompletion"])),
    (False, "self.task in ['Translation', 'Summarization']", field("task").among(["Translation", "Summarization"])),
    (True, "!(self.task in ['Translation', 'Summarization'])", ~field("task").among(["Translation", "Summarization"])),
    (True, "(has(self.training) && has(self.training.optim) ? self.training.optim : 'adamw_torch').startsWith('adamw')", field("training.optim").starts_with("adamw")),
    (False, "(has(self.training) && has(self.training.optim) ? self.training.optim : 'adamw_torch').endsWith('bit')", field("training.optim").ends_with("bit")),
    (True, "size(self.data.train) == 1", size("data.train").equals(1)),
    (
        True,
        "[has(self.model.source.huggingFace), has(self.model.source.path)].filter(x, x).size() == 1",
        number_given(["model.source.huggingFace", "model.source.path"]).equals(1),
    ),
    (
        True,
        "self.workers.env.exists(e, e.name.matches('^OMP_.*$'))",
        exists("workers.env", "e", field("name", of="e").matches("^OMP_.*$")),
    ),
    (
        False,
        "self.workers.env.exists(e, e.name.matches('^MP_.*$'))",
        exists("workers.env", "e", field("name", of="e").matches("^MP_.*$")),
    ),
    (False, "self.data.train.exists(d, has(d.weight))", exists("data.train", "d", has("weight", of="d"))),
    (True, "(has(self.training) && has(self.training.reportTo) ? self.training.reportTo.exists(name, name == 'wandb') : false)", exists("training.reportTo", "name", variable("name").equals("wandb"))),
    (False, "(has(self.data.packing) ? self.data.packing : false) && (has(self.data.streaming) ? self.data.streaming : false) && has(self.deepspeed)", PACKS & STREAMS & has("deepspeed")),
    (True, "(has(self.data.packing) ? self.data.packing : false) || (has(self.data.streaming) ? self.data.streaming : false) || has(self.serving)", PACKS | STREAMS | has("serving")),
    (True, "(has(self.data.packing) ? self.data.packing : false) && ((has(self.data.streaming) ? self.data.streaming : false) || has(self.deepspeed))", PACKS & (STREAMS | has("deepspeed"))),
    (True, "((has(self.data.packing) ? self.data.packing : false) && (has(self.data.streaming) ? self.data.streaming : false)) || has(self.deepspeed)", (PACKS & STREAMS) | has("deepspeed")),
    (False, "!((has(self.data.packing) ? self.data.packing : false) || (has(self.data.streaming) ? self.data.streaming : false))", ~any_of(PACKS, STREAMS)),
    (True, "!(has(self.serving) && (has(self.serving.replicas) ? self.serving.replicas : 1) > 1)", ~(has("serving") & field("serving.replicas").above(1))),
]  # fmt: skip


@pytest.mark.parametrize(("holds", "cel", "predicate"), PREDICATES, ids=[cel for _, cel, _ in PREDICATES])
def test_a_predicate_and_its_cel_agree(holds, cel, predicate):
    as_written = SPEC.model_dump(mode="json", by_alias=True, exclude_unset=True)
    with_defaults = SPEC.model_dump(mode="json", by_alias=True, exclude_none=True)
    program = CEL.program(CEL.compile(cel))
    assert predicate.cel({"self": FineTuneJobSpec}) == cel
    assert predicate(SPEC) is holds
    assert [bool(program.evaluate({"self": json_to_cel(spec)})) for spec in (as_written, with_defaults)] == [holds, holds]


def test_an_optional_part_must_be_guarded():
    with pytest.raises(AttributeError):
        field("serving.replicas").above(1)(SPEC)
