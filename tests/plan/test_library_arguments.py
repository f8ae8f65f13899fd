"""The job's arguments, compared with the installed libraries."""

import dataclasses
import inspect

import pytest
from lazily import lazily
from plan_jobs import GPU, job

from tunewright.api.supported import NOT_SUPPORTED_YET
from tunewright.api.v1alpha1.training import TrainingSpec
from tunewright.plan import library_arguments
from tunewright.plan.library_arguments import adapter_arguments, lora_arguments, quantization_arguments, training_arguments

peft = lazily("peft")
transformers = lazily("transformers")
trl = lazily("trl")

VALIDATED = {"data": {"validation": [{"source": {"pvc": {"claimName": "corpora", "path": "valid.jsonl"}}}]}}


def sft(stage=0, **spec):
    return training_arguments(job(spec).spec, stage=stage)


def lora(**settings):
    return lora_arguments(job({"method": {"lora": settings}}).spec.method.effective_lora())


EVERYTHING = {
    "numTrainEpochs": 2.5, "maxSteps": 7, "perDeviceTrainBatchSize": 4, "perDeviceEvalBatchSize": 3, "gradientAccumulationSteps": 2,
    "learningRate": 1e-3, "lrSchedulerType": "cosine_with_min_lr", "lrSchedulerKwargs": {"min_lr": 1e-6}, "warmupSteps": 0.1,
    "optim": "adamw_torch_fused", "weightDecay": 0.01, "adamBeta1": 0.8, "adamBeta2": 0.9, "adamEpsilon": 1e-7, "maxGradNorm": 0.5,
    "precision": "bf16", "gradientCheckpointing": True, "neftuneNoiseAlpha": 5.0, "trainSamplingStrategy": "group_by_length",
    "labelSmoothingFactor": 0.1, "loggingSteps": 1.0, "loggingFirstStep": True, "evalStrategy": "steps", "evalSteps": 5.0,
    "evalDelay": 1.0, "evalOnStart": True, "evalAccumulationSteps": 2, "saveStrategy": "steps", "saveSteps": 5.0, "saveTotalLimit": 3,
    "saveOnlyModel": True, "loadBestModelAtEnd": True, "metricForBestModel": "loss", "greaterIsBetter": False, "seed": 1, "dataSeed": 2,
    "fullDeterminism": False, "dataloaderNumWorkers": 1, "dataloaderPrefetchFactor": 2, "ddpTimeout": 60,
}  # fmt: skip


@pytest.mark.parametrize("training", [{}, EVERYTHING], ids=["defaults", "everything set"])
def test_sft_config_takes_every_argument_and_keeps_its_value(training, tmp_path):
    arguments = sft(training=training, **VALIDATED)
    config = trl.SFTConfig(output_dir=str(tmp_path), **arguments)
    kept = {name: getattr(config, name) for name in arguments}
    assert {name: getattr(value, "value", value) for name, value in kept.items()} == arguments


@pytest.mark.parametrize("training", [{}, {**EVERYTHING, "metricForBestModel": "f1_macro", "greaterIsBetter": True}])
def test_a_classifier_is_trained_with_the_arguments_of_transformers(training, tmp_path):
    arguments = sft(task="SingleLabelClassification", training=training, **VALIDATED)
    config = transformers.TrainingArguments(output_dir=str(tmp_path), **arguments)
    kept = {name: getattr(config, name) for name in arguments}
    assert {name: getattr(value, "value", value) for name, value in kept.items()} == arguments


@pytest.mark.parametrize(
    ("task", "metric", "generates"),
    [
        ("Translation", "bleu", True),
        ("Translation", "eval_chrf", True),
        ("Summarization", "rougeLsum", True),
        ("Translation", "loss", None),
        ("Translation", None, None),
        ("SingleLabelClassification", "f1_macro", None),
    ],
)
def test_texts_are_generated_in_training_for_a_metric_that_needs_them(task, metric, generates, tmp_path):
    arguments = sft(task=task, training={"metricForBestModel": metric}, **VALIDATED)
    assert arguments.get("predict_with_generate") is generates
    assert transformers.Seq2SeqTrainingArguments(output_dir=str(tmp_path), **arguments).predict_with_generate is bool(generates)


def test_nothing_is_generated_where_nothing_is_evaluated():
    assert "predict_with_generate" not in sft(
        task="Translation", training={"metricForBestModel": "bleu", "evalStrategy": "no"}, **VALIDATED
    )


@pytest.mark.parametrize(
    ("task", "type_"),
    [
        ("ChatCompletion", "CAUSAL_LM"),
        ("SingleLabelClassification", "SEQ_CLS"),
        ("QuestionAnswering", "QUESTION_ANS"),
        ("Translation", "SEQ_2_SEQ_LM"),
    ],
)
def test_an_adapter_is_made_for_the_tasks_head(task, type_):
    assert adapter_arguments(job({"task": task}).spec)["lora"]["task_type"] == type_


def test_every_training_field_is_used_or_refused_at_admission():
    refused = {
        entry.path.removeprefix("spec.training.")
        for entry in NOT_SUPPORTED_YET
        if entry.path.startswith("spec.training.") and not entry.values
    }
    source = inspect.getsource(library_arguments) + "global_batch_size"  # that one is read by gradient_accumulation_steps()
    unused = [field.alias for name, field in TrainingSpec.model_fields.items() if name not in source]
    assert set(unused) <= refused


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"precision": "bf16"}, {"bf16": True, "fp16": False}),
        ({"precision": "fp16"}, {"bf16": False, "fp16": True}),
        ({"precision": "fp32"}, {"bf16": False, "fp16": False}),
        ({"warmupSteps": 0.1}, {"warmup_steps": 0.1}),
        ({"warmupSteps": 10.0}, {"warmup_steps": 10}),
        ({}, {"learning_rate": 2e-4, "gradient_accumulation_steps": 1, "enable_jit_checkpoint": False, "use_cpu": True}),
        ({"gradientCheckpointing": False}, {"gradient_checkpointing": False, "gradient_checkpointing_kwargs": None}),
    ],
)
def test_training_arguments(training, expected):
    arguments = sft(training=training)
    assert {name: arguments.get(name) for name in expected} == expected


def test_steps_are_accumulated_to_the_global_batch():
    spec = {"training": {"globalBatchSize": 64, "perDeviceTrainBatchSize": 4}, "workers": {"replicas": 2}}
    assert sft(**spec)["gradient_accumulation_steps"] == 8


def test_a_full_fine_tune_learns_more_slowly_by_default():
    assert sft(method={"tuner": "full"})["learning_rate"] == 2e-5


def test_each_tuner_learns_at_the_rate_of_its_row():
    rates = {"full": 2e-5, "lora": 2e-4, "ia3": 3e-3}
    assert {tuner: sft(method={"tuner": tuner})["learning_rate"] for tuner in rates} == rates


@pytest.mark.parametrize(
    ("expected", "settings"),
    [
        ({}, {}),
        ({"target_modules": "all-linear", "feedforward_modules": []}, {"targetModules": "all-linear", "feedforwardModules": []}),
        (
            {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"], "modules_to_save": ["norm"]},
            {
                "targetModules": ["k_proj", "down_proj"],
                "feedforwardModules": ["down_proj"],
                "modulesToSave": ["norm"],
                "initIa3Weights": True,
            },
        ),
    ],
)
def test_ia3_has_pefts_arguments(expected, settings):
    arguments = adapter_arguments(job({"method": {"tuner": "ia3", "ia3": settings}}).spec)
    assert arguments == {"ia3": {**expected, "task_type": "CAUSAL_LM"}}
    assert peft.IA3Config(**arguments["ia3"]).target_modules in (None, "all-linear", {"k_proj", "down_proj"})


def test_a_tuner_without_settings_has_no_arguments():
    assert adapter_arguments(job({"method": {"tuner": "full"}}).spec) == {}


def test_with_accelerators_use_cpu_is_false():
    assert sft(workers=GPU)["use_cpu"] is False


@pytest.mark.parametrize(("stage", "tuner", "reentrant"), [(0, "lora", False), (2, "lora", False), (3, "lora", True), (3, "full", False)])
def test_checkpointing_is_reentrant_only_where_trl_requires_it(stage, tuner, reentrant):
    assert sft(stage, method={"tuner": tuner})["gradient_checkpointing_kwargs"] == {"use_reentrant": reentrant}


def test_nothing_is_evaluated_without_validation_data():
    assert sft(data={"valSetSize": 0.0})["eval_strategy"] == "no"
    assert sft(**VALIDATED, training={"evalStrategy": "no"})["eval_strategy"] == "no"


def test_evaluation_follows_the_logs_when_no_step_is_given():
    arguments = sft(**VALIDATED, training={"evalStrategy": "steps", "loggingSteps": 25.0})
    assert (arguments["eval_strategy"], arguments["eval_steps"]) == ("steps", 25)
    assert "eval_steps" not in sft(**VALIDATED)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"assistant_only_loss": True}),
        ({"data": {"assistantOnlyLoss": False}}, {"assistant_only_loss": False}),
        ({"task": "TextGeneration"}, {}),
        ({"task": "TextGeneration", "data": {"completionOnlyLoss": False}}, {"completion_only_loss": False}),
    ],
)
def test_tokens_of_the_loss(spec, expected):
    arguments = sft(**spec)
    assert {name: arguments[name] for name in ("assistant_only_loss", "completion_only_loss") if name in arguments} == expected


def test_packing_is_copied():
    arguments = sft(data={"packing": True, "paddingFree": True})
    assert (arguments["packing"], arguments["padding_free"]) == (True, True)


def test_lora_defaults():
    assert lora() == {
        "r": 8, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear", "bias": "none",
        "use_rslora": False, "use_dora": False, "lora_bias": False, "init_lora_weights": True, "ensure_weight_tying": False,
    }  # fmt: skip


def test_lora_config_takes_every_argument():
    arguments = lora(
        r=4, loraAlpha=16, loraDropout=0.1, targetModules=["q_proj", "v_proj"], excludeModules=["lm_head"], layersToTransform=[0, 1],
        layersPattern=["layers"], rankPattern={"v_proj": 8}, alphaPattern={"v_proj": 32}, modulesToSave=["embed_tokens"], bias="lora_only",
        useRslora=True, useDora=True, initLoraWeights="gaussian", trainableTokenIndices=[1, 2],
    )  # fmt: skip
    config = peft.LoraConfig(**arguments)
    for name, value in arguments.items():
        kept = getattr(config, name)
        assert (set(kept) == set(value)) if isinstance(kept, set) else kept == value, name
    assert arguments.keys() <= {field.name for field in dataclasses.fields(peft.LoraConfig)}


def test_loftq_is_copied_in_pefts_form():
    assert lora(initLoraWeights="loftq", loftqConfig={"loftqBits": 2})["loftq_config"] == {"loftq_bits": 2, "loftq_iter": 1}


@pytest.mark.parametrize(
    ("quantization", "stage", "expected"),
    [
        ({"type": "none"}, 0, None),
        ({"type": "bnb8"}, 2, {"load_in_8bit": True}),
        ({"type": "bnb4"}, 2, {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_quant_storage": "uint8"}),
        ({"type": "bnb4"}, 3, {"bnb_4bit_quant_storage": "bfloat16"}),
        ({"type": "bnb4", "quantStorage": "uint8"}, 3, {"bnb_4bit_quant_storage": "uint8"}),
        ({"type": "bnb4", "computeDtype": "float32", "quantType": "fp4", "doubleQuant": False}, 3,
         {"bnb_4bit_quant_storage": "float32", "bnb_4bit_compute_dtype": "float32", "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False}),
    ],
)  # fmt: skip
def test_quantization_is_what_bitsandbytes_takes(quantization, stage, expected):
    arguments = quantization_arguments(job({"method": {"quantization": quantization}}).spec, stage=stage)
    assert arguments == expected if expected is None else expected.items() <= arguments.items()
    if arguments is not None:
        assert transformers.BitsAndBytesConfig(**arguments).load_in_4bit == (quantization["type"] == "bnb4")
