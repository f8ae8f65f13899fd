"""Fields that no stage implements yet are refused by name."""

import pytest
from api_jobs import raw_job

from tunewright.api.crdgen import IMMUTABLE_FIELDS
from tunewright.api.field_names import model_at, names_in
from tunewright.api.supported import CODE, NOT_SUPPORTED_YET, unsupported
from tunewright.api.v1alpha1.job import parse

PVC = {"pvc": {"claimName": "c"}}
# field -> the change that sets it
REFUSED = {
    "spec.model.source.oci": {"model.source": {"oci": {"image": "registry/model:1"}}},
    "spec.model.source.modelRef": {"model.source": {"modelRef": {"name": "other"}}},
    "spec.data.train[0].source.configMap": {"data.train[0].source": {"configMap": {"name": "c", "key": "k"}}},
    "spec.data.test[1].format": {"data.test": [{"source": PVC}, {"source": PVC, "format": "alpaca"}]},
    "spec.data.validation[0].weight": {"data.validation": [{"source": PVC, "weight": 2}]},
    "spec.data.packing": {"data.packing": True},
    "spec.method.type": {"method.type": "dpo"},
    "spec.method.tuner": {"method.tuner": "vera"},
    "spec.method.lora.initLoraWeights": {"method.lora": {"initLoraWeights": "eva"}},
    "spec.method.lora.loraplusLrRatio": {"method.lora": {"loraplusLrRatio": 16}},
    "spec.training.optim": {"training.optim": "lomo"},
    "spec.training.earlyStopping": {"training.earlyStopping": {}},
    "spec.training.reportTo": {"training.reportTo": ["wandb"]},
    "spec.evaluation.gates": {"evaluation.gates": [{"metric": "loss", "maximum": 1}]},
    "spec.output.destinations[1]": {"output.destinations": [PVC, PVC]},
    "spec.serving.executionProviders[1]": {"serving": {"executionProviders": ["CUDA", "TensorRT"]}},
    "spec.ttlSecondsAfterFinished": {"ttlSecondsAfterFinished": 60},
}
HONOURED = {
    "everything at its default": {},
    "a hub model with a template of its own": {"model.chatTemplate": {"jinja": "{{ messages }}"}},
    "PiSSA, rank patterns, DoRA": {"method.lora": {"initLoraWeights": "pissa", "rankPattern": {"o_proj": 4}, "useDora": True}},
    "a full fine-tune from a folder": {"method.tuner": "full", "model.source": {"path": "/model"}},
    "raw DeepSpeed": {"deepspeed": {"config": {"zero_optimization": {"stage": 2}}}},
    "a server": {"serving": {"executionProviders": ["CUDA", "CPU"], "replicas": 2}},
    "one destination": {"output.destinations": [PVC]},
    "defaults written out": {"training.reportTo": [], "method.lora": {"loraplusLrRatio": None, "loftqConfig": None}},
}


@pytest.mark.parametrize("path", REFUSED)
def test_an_unsupported_setting_is_refused_by_name(path):
    problems = {problem.path: problem for problem in unsupported(parse(raw_job(REFUSED[path])).spec)}
    assert list(problems) == [path]
    assert problems[path].code == CODE
    assert problems[path].message.endswith("is not supported yet")
    assert problems[path].way_out


@pytest.mark.parametrize("name", HONOURED)
def test_supported_settings_pass(name):
    assert unsupported(parse(raw_job(HONOURED[name])).spec) == ()


@pytest.mark.parametrize("entry", NOT_SUPPORTED_YET, ids=lambda entry: entry.path)
def test_every_entry_names_a_field_that_exists(entry):
    *above, last = [step.partition("[")[0] for step in entry.path.split(".")]
    owner = model_at(above)
    assert owner is not None
    assert last in names_in(owner)


def test_unsupported_mutable_fields_have_a_rule_against_adding():
    may_change = [
        entry.path for entry in NOT_SUPPORTED_YET if not entry.path.startswith(tuple(f"spec.{field}" for field in IMMUTABLE_FIELDS))
    ]
    assert may_change == [entry.path for entry in NOT_SUPPORTED_YET if entry.not_added]


def test_no_field_is_listed_twice():
    paths = [entry.path for entry in NOT_SUPPORTED_YET]
    assert len(paths) == len(set(paths))
