"""Every rule between fields: the job that breaks it, and the closest one that does not."""

import re

import pytest
from api_jobs import raw_job
from rule_cases import BNB4, CASES, IDS, raw

from tunewright.api.admission import admit
from tunewright.api.problems import InvalidJob
from tunewright.api.rules import RULES, check
from tunewright.api.supported import CODE
from tunewright.api.v1alpha1.job import parse


def found(changes):
    return {(problem.code, problem.path): problem for problem in check(parse(raw_job(changes)).spec)}


def test_the_smallest_job_breaks_no_rule():
    assert check(parse(raw_job()).spec) == ()


@pytest.mark.parametrize(("code", "path", "broken", "kept"), CASES, ids=IDS)
def test_a_rule_names_the_field_and_accepts_a_similar_valid_job(code, path, broken, kept):
    problem = found(broken)[code, path]
    assert problem.message
    assert problem.way_out
    assert (code, path) not in found(kept)


def test_every_rule_has_a_case():
    places = {(rule.code, rule.path, f"{node}.{rule.path}".replace("[*]", "[")) for rule in RULES for node in rule.subject.nodes}
    tried = {(code, re.sub(r"\[[0-9]+\]", "[", path)) for code, path, _, _ in CASES}
    assert {(code, path) for code, path, place in places if (code, place) in tried} == {(rule.code, rule.path) for rule in RULES}
    assert tried <= {(code, place) for code, _, place in places}


@pytest.mark.parametrize(
    ("left", "changes"),
    [
        (set(), {"training.globalBatchSize": 3, "workers.replicas": 2}),
        (set(), {"deepspeed": {"config": {"train_batch_size": 4}}}),
        (set(), {"method": {"type": "grpo", "grpo": {"numGenerations": 3}}}),
        ({"E202"}, {"deepspeed": {"config": {}, "stage": 2}, "training.globalBatchSize": 3, "workers.replicas": 2}),
    ],
)
def test_rules_about_the_first_ranks_do_not_apply_after_the_start(left, changes):
    spec = parse(raw_job(changes)).spec
    assert {problem.code for problem in check(spec, begun=True)} == left
    assert {problem.code for problem in check(spec)} > left


@pytest.mark.parametrize("changes", [changes for case in CASES for changes in case[2:]])
def test_no_other_rule_reads_the_mutable_number_of_workers(changes):
    """Else an edit of `workers.replicas` would make a job that runs look wrong."""
    spec = parse(raw_job(changes)).spec
    others = [spec.model_copy(update={"workers": spec.workers.model_copy(update={"replicas": replicas})}) for replicas in (2, 3, 4, 7)]
    assert [check(other, begun=True) for other in others] == [check(spec, begun=True)] * len(others)


def test_messages_name_the_wrong_value():
    wanted = {
        "E209": (
            {"training.globalBatchSize": 3, "workers.replicas": 2},
            "globalBatchSize 3 is not a multiple of perDeviceTrainBatchSize 1 x 2 ranks = 2",
        ),
        "E102": (BNB4 | {"method.tuner": "full"}, "quantization bnb4 stores weights that the tuner full cannot train or adapt"),
        "E202": (raw(train_micro_batch_size_per_gpu=4), "contradicts spec.training: train_micro_batch_size_per_gpu 4 (training says 1)"),
    }
    for code, (changes, message) in wanted.items():
        assert [problem.message for problem in check(parse(raw_job(changes)).spec) if problem.code == code] == [message]


def test_all_violations_are_reported_at_once():
    codes = {code for code, _ in found({"model.source.path": "/x", "data.paddingFree": True, **BNB4, "method.tuner": "full"})}
    assert codes == {"E001", "E102", "E302"}


def test_messages_show_values_as_the_job_has_them():
    wanted = {
        "E010": ({"method": {"tuner": "oft", "oft": {"r": 4, "oftBlockSize": 8}}}, "{r: 4, oftBlockSize: 8}"),
        "E014": ({"evaluation.gates": [{"metric": "loss"}]}, '["loss"]'),
        "E111": ({"method.lora": {"initLoraWeights": False, "loftqConfig": {"loftqBits": 4}}}, "false and loftqConfig {loftqBits: 4}"),
        "E202": (
            raw(bf16={"enabled": False}, gradient_clipping=2e-7),
            "gradient_clipping 2e-7 (training says 1); bf16.enabled false (training says true)",
        ),
        "E305": ({"training.evalOnStart": True, "data.valSetSize": 0}, "(evalOnStart true)"),
    }
    for code, (changes, message) in wanted.items():
        (problem,) = [problem for problem in check(parse(raw_job(changes)).spec) if problem.code == code]
        assert message in problem.message


def test_a_field_whose_value_is_not_supported_is_reported_once():
    changes = {"training.optim": "galore_adamw", "deepspeed": {"stage": 2}}
    with pytest.raises(InvalidJob) as caught:
        admit(raw_job(changes))
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [("spec.training.optim", CODE)]
