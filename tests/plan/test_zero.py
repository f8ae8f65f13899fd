"""Which ZeRO stage and offload a job gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_jobs import GPU, facts, job, merged, rejected

from tunewright.plan.inputs import GIB, Defaults
from tunewright.plan.memory import zero
from tunewright.plan.memory.estimate import Strategy
from tunewright.plan.memory.strategies import objection
from tunewright.plan.memory.zero import strategy_of, weigh_memory
from tunewright.plan.plan_types import Rejection

FULL = facts(trainable=None)


def spec(**changes):
    return job(changes).spec


def gpu(gib, *, replicas=1, per_pod=1, host=None, **changes):
    limits = {"nvidia.com/gpu": per_pod} | ({"memory": host} if host else {})
    workers = {"replicas": replicas, "acceleratorMemory": f"{gib}Gi", "resources": {"limits": limits}}
    return spec(**merged({"deepspeed": {}, "workers": workers}, changes))


def fit(spec, counted=None, **defaults):
    return weigh_memory(spec, counted, Defaults(**defaults))


def decided(fit):
    return (fit.zero_stage, fit.offload_optimizer, fit.offload_param)


FULL_TUNING = {"method": {"tuner": "full"}}


@pytest.mark.parametrize(
    ("gib", "replicas", "expected"),
    [
        (80, 1, (1, "none", "none")),
        (24, 8, (1, "none", "none")),
        (20, 8, (2, "none", "none")),
        (14, 8, (3, "none", "none")),
        (18, 1, (1, "cpu", "none")),
        (10, 1, (2, "cpu", "none")),
        (8, 2, (3, "cpu", "none")),
    ],
)
def test_auto_takes_the_lowest_stage_that_fits_a_full_fine_tune_of_phi3_mini(gib, replicas, expected):
    found = fit(gpu(gib, replicas=replicas, **FULL_TUNING), FULL)
    assert decided(found) == expected, found.why
    assert found.fits
    assert found.needed_bytes_per_rank <= gib * GIB


def test_the_decision_names_its_numbers_and_the_skipped_options():
    found = fit(gpu(20, replicas=8, **FULL_TUNING), FULL)
    assert found.why.startswith("ZeRO-2 on 8 ranks fits 20.0 GiB per rank: it needs 17.1 GiB (weights 7.12 GiB, gradients 911 MiB")
    assert found.why.endswith("; ZeRO-1 would need 23.4 GiB")


def test_every_option_is_in_the_table_with_its_states():
    found = fit(gpu(20, replicas=8, **FULL_TUNING), FULL)
    assert [name for name, _ in found.table] == [
        "DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3", "ZeRO-1 + optimizer on cpu", "ZeRO-2 + optimizer on cpu", "ZeRO-3 + optimizer on cpu",
        "ZeRO-3 + parameters on cpu", "ZeRO-3 + optimizer on cpu + parameters on cpu",
    ]  # fmt: skip
    assert dict(found.table)["ZeRO-2"] == found.estimated_bytes_per_rank
    assert [option.states for option in found.options] == [size for _, size in found.table]


def test_without_deepspeed_it_is_plain_ddp_even_where_that_does_not_fit():
    found = fit(gpu(8, replicas=8, deepspeed=None, **FULL_TUNING), FULL)
    assert (decided(found), found.fits) == ((0, "none", "none"), False)
    assert "deepspeed.stage and offloadOptimizer.device: Auto, which takes ZeRO-3 + optimizer on cpu" in found.why


def test_an_explicit_stage_is_kept_and_reported_as_fitting():
    found = fit(gpu(80, replicas=2, deepspeed={"stage": 3}), facts())
    assert (decided(found), found.fits) == ((3, "none", "none"), True)
    assert found.why.startswith("ZeRO-3 on 2 ranks fits 80.0 GiB")


def test_an_explicit_stage_is_kept_and_reported_as_not_fitting():
    found = fit(gpu(10, replicas=2, deepspeed={"stage": 2, "offloadOptimizer": {"device": "none"}}, **FULL_TUNING), FULL)
    assert (decided(found), found.fits) == ((2, "none", "none"), False)
    assert (
        "and a rank has 10.0 GiB. Any one of these would fit: deepspeed.stage and offloadOptimizer.device: Auto, which takes ZeRO-2 + optimizer on cpu;"
        in found.why
    )


def test_an_explicit_stage_0_is_plain_ddp():
    assert decided(fit(gpu(80, deepspeed={"stage": 0}), facts())) == (0, "none", "none")


def test_the_offload_of_an_explicit_stage_is_chosen_when_it_is_auto():
    assert decided(fit(gpu(14, deepspeed={"stage": 2}, **FULL_TUNING), FULL)) == (2, "cpu", "none")
    parameters_too = {"stage": 3, "offloadParam": {"device": "Auto"}}
    assert decided(fit(gpu(6, deepspeed=parameters_too, **FULL_TUNING), FULL)) == (3, "cpu", "cpu")


def test_an_explicit_offload_leaves_auto_only_the_stages_that_can():
    assert decided(fit(gpu(80, deepspeed={"offloadOptimizer": {"device": "cpu"}}), facts())) == (1, "cpu", "none")
    assert decided(fit(gpu(80, deepspeed={"offloadParam": {"device": "cpu"}}), facts())) == (3, "none", "cpu")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}, (3, "cpu", "none")),
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}, (3, "none", "nvme")),
        ({"zero_optimization": {"stage": "auto", "offload_param": "cpu"}}, (0, "none", "none")),
        ({"zero_optimization": True}, (0, "none", "none")),
        ({}, (0, "none", "none")),
    ],
)
def test_memory_settings_of_a_raw_configuration_are_read(config, expected):
    assert decided(fit(gpu(80, deepspeed={"config": config}), facts())) == expected


def test_before_check_the_decision_is_provisional():
    found = fit(gpu(80))
    assert (decided(found), found.estimated_bytes_per_rank, found.options, found.fits) == ((0, "none", "none"), None, (), None)
    assert found.why == "Auto: decided after Check has counted the parameters; DDP until then"
    assert found.available_bytes_per_rank == 80 * GIB


def test_before_check_an_explicit_stage_is_known_but_not_whether_it_fits():
    found = fit(gpu(80, deepspeed={"stage": 3, "offloadOptimizer": {"device": "none"}}))
    assert decided(found) == (3, "none", "none")
    assert found.why == "ZeRO-3 as set; Check counts the parameters, then the plan shows whether it fits"


def test_the_operators_default_is_an_accelerators_memory():
    assert fit(spec(workers=GPU), accelerator_memory_bytes=24 * GIB).available_bytes_per_rank == 24 * GIB


def test_on_processors_a_rank_has_the_pods_memory_limit():
    found = fit(spec(workers={"replicas": 2, "resources": {"limits": {"memory": "4Gi"}}}))
    assert (found.available_bytes_per_rank, found.world_size) == (4 * GIB, 2)


def test_on_processors_nothing_is_offloaded():
    cpu = {"workers": {"replicas": 4, "resources": {"limits": {"memory": "25Gi"}}}, "deepspeed": {}}
    found = fit(spec(**cpu, **FULL_TUNING), FULL)
    assert [option.name for option in found.options] == ["DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3"]
    assert decided(found) == (2, "none", "none")


def test_without_a_memory_limit_nothing_is_compared():
    found = fit(spec(deepspeed={}), facts())
    assert (decided(found), found.available_bytes_per_rank, found.fits) == ((0, "none", "none"), None, None)
    assert "no memory limit to compare with" in found.why
    assert found.why.startswith("DDP on 1 rank needs ")


def test_offloading_needs_room_in_the_pods_own_memory():
    assert decided(fit(gpu(13, host="80Gi", **FULL_TUNING), FULL)) == (2, "cpu", "none")
    rejected(fit(gpu(13, host="16Gi", **FULL_TUNING), FULL), r"of the pod's own memory.*of pod memory per rank")


def test_auto_prefers_zero_where_ddp_would_train_16_bit_weights_in_fp32():
    assert fit(gpu(200, **FULL_TUNING), FULL).options[0].refused.startswith("plain DDP trains bfloat16 weights in fp32 on every rank")
    assert decided(fit(gpu(200, model={"dtype": "float32"}, **FULL_TUNING), FULL)) == (0, "none", "none")
    assert decided(fit(gpu(200), facts())) == (0, "none", "none"), "PEFT keeps adapters in fp32"


def test_qdora_is_never_sharded_to_stage_3_by_auto():
    qdora = {"method": {"lora": {"useDora": True}, "quantization": {"type": "bnb4"}}}
    found = fit(gpu(80, replicas=8, **qdora), facts())
    assert {option.name for option in found.options if option.refused.startswith("E101")} == {
        "ZeRO-3", "ZeRO-3 + optimizer on cpu", "ZeRO-3 + parameters on cpu", "ZeRO-3 + optimizer on cpu + parameters on cpu",
    }  # fmt: skip
    assert "ZeRO-3" not in rejected(fit(gpu(4, replicas=8, **qdora), facts())).message


@pytest.mark.parametrize(
    ("method", "strategy", "reason"),
    [
        ({"lora": {"initLoraWeights": "pissa_niter_4"}}, Strategy(stage=3), "E104"),
        ({"quantization": {"type": "bnb8"}}, Strategy(stage=3), "8-bit weights under ZeRO-3 have passed no test"),
        ({"quantization": {"type": "bnb4"}}, Strategy(stage=3, offload_param="cpu"), "takes more accelerator memory"),
        ({"quantization": {"type": "bnb4"}}, Strategy(stage=3), ""),
        ({"lora": {"useDora": True}}, Strategy(stage=3), ""),
        ({"tuner": "full"}, Strategy(stage=3, offload_param="cpu"), ""),
    ],
)
def test_options_that_auto_never_takes(method, strategy, reason):
    found = objection(spec(method=method), strategy)
    assert reason in found
    assert bool(reason) == bool(found)


def test_a_job_without_an_allowed_option_is_refused():
    asked = {"method": {"quantization": {"type": "bnb4"}}, "deepspeed": {"offloadParam": {"device": "cpu"}}}
    words = r"offloadParam.device: leaves only ZeRO-3 \+ parameters on cpu to choose, and offloading"
    rejected(fit(gpu(80, **asked), facts()), words)


@pytest.mark.parametrize(
    ("gib", "changes", "ways"),
    [
        (
            13,
            {"training": {"perDeviceTrainBatchSize": 16}},
            ["training.perDeviceTrainBatchSize: 8 (now 16)", "data.maxLength: 512 (now 1024)"],
        ),
        (
            14,
            {"training": {"perDeviceTrainBatchSize": 8, "gradientCheckpointing": False}},
            ["training.gradientCheckpointing: true"],
        ),
        (9, {"workers": {"replicas": 8}}, ["deepspeed.stage: Auto", "method.tuner: lora with method.quantization.type: bnb4 (QLoRA)"]),
    ],
)
def test_alternatives_that_fit_are_named(gib, changes, ways):
    asked = gpu(gib, **merged({"deepspeed": {"stage": 0}}, changes))
    why = fit(asked, facts()).why
    for way in ways:
        assert way in why, why
    assert why.endswith("per rank")


def test_if_nothing_fits_the_job_is_refused_with_alternatives():
    refused = rejected(fit(gpu(7, deepspeed={"offloadOptimizer": {"device": "none"}}, **FULL_TUNING), FULL))
    assert refused.reason == "DoesNotFit"
    assert refused.field == "spec.deepspeed.stage"
    assert "(QLoRA)" in refused.message
    assert "workers.replicas: 32 (now 1)" in refused.message
    assert "accelerators of at least" in refused.message


def test_parameters_are_offloaded_by_auto_only_where_that_is_left_open():
    words = "deepspeed.stage and offloadOptimizer.device and offloadParam.device: Auto, which takes ZeRO-3"
    rejected(fit(gpu(6, **FULL_TUNING), FULL), words)
    assert decided(fit(gpu(6, deepspeed={"offloadParam": {"device": "Auto"}}, **FULL_TUNING), FULL)) == (3, "cpu", "cpu")


def test_more_pods_are_not_suggested_for_plain_ddp():
    assert "workers.replicas" not in fit(gpu(5, deepspeed=None), facts()).why


def test_on_processors_the_way_out_is_a_higher_memory_limit():
    why = fit(spec(workers={"resources": {"limits": {"memory": "1Gi"}}}), facts()).why
    assert "workers.resources.limits.memory of at least 9.03 GiB" in why


@st.composite
def asked_jobs(draw):
    tuner, stage = draw(st.sampled_from(["full", "lora"])), draw(st.sampled_from(["Auto", 0, 1, 2, 3]))
    quantization = draw(st.sampled_from(["none", "bnb4", "bnb8"])) if tuner == "lora" else "none"
    training = {"precision": draw(st.sampled_from(["bf16", "fp32"])), "perDeviceTrainBatchSize": draw(st.integers(1, 64))}
    method = {"tuner": tuner, "quantization": {"type": quantization}}
    gib, replicas = draw(st.integers(1, 200)), draw(st.integers(1, 64))
    return gpu(gib, replicas=replicas, method=method, training=training, deepspeed={"stage": stage}), FULL if tuner == "full" else facts()


@given(asked_jobs())
def test_a_decision_reports_correctly_whether_it_fits(asked):
    spec, counted = asked
    found = fit(spec, counted)
    if isinstance(found, Rejection):
        assert spec.deepspeed.stage == "Auto", "an explicit stage is never refused for its size"
        return
    available = found.available_bytes_per_rank
    assert found.fits == (found.needed_bytes_per_rank <= available)
    if spec.deepspeed.stage == "Auto":
        names = [option.name for option in found.options]
        before = found.options[: names.index(strategy_of(found).name)]
        assert all(option.refused or option.needed > available for option in before)
    else:
        assert found.zero_stage == spec.deepspeed.stage


def test_a_repeated_decision_is_not_computed_again_and_any_other_argument_is_another_decision(monkeypatch):
    wanted, counted, defaults, computed = gpu(20, **FULL_TUNING), FULL, Defaults(), []
    monkeypatch.setattr(zero, "_DECISIONS", {})
    monkeypatch.setattr(zero, "_MOST_DECISIONS", 4)
    monkeypatch.setattr(zero, "_weigh", lambda *question: computed.append(question) or len(computed))

    def decide(spec=wanted, facts=counted, defaults=defaults, begun=None):
        return weigh_memory(spec, facts, defaults, begun_stage=begun)

    assert [decide(), decide(), decide(wanted.model_copy(deep=True))] == [1, 1, 1]
    others = [decide(gpu(21, **FULL_TUNING)), decide(facts=None), decide(defaults=Defaults(output_size="1Gi")), decide(begun=2)]
    assert (others, len(zero._DECISIONS)) == ([2, 3, 4, 5], 4)
    assert decide() == 6  # the oldest has been dropped
