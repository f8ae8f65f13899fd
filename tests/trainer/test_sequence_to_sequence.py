"""An encoder-decoder from its configuration to two graphs that translate: checked, trained with ZeRO and any tuner, exported, scored."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from encoder_decoders import encoder_decoder
from gang import WarmGang, Workspace, deepspeed, job, merged
from layouts import metrics_by_layout
from lazily import lazily
from serving import ready_server

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import ModelManifest
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.formats import BadRow, normalise, recognise
from tunewright_trainer.data.pairs import encode_pairs, target_ids
from tunewright_trainer.data.reading import read_splits
from tunewright_trainer.evaluation.generated_text import METRICS, text_metrics, training_metrics
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export
from tunewright_trainer.tuning.adapters import fitted_adapter
from tunewright_trainer.tuning.encoder_decoder import unserved_generation

peft = lazily("peft")

WORDS = {"red": "rot", "blue": "blau", "oak": "Eiche", "pine": "Kiefer"}
SAID, WANTED = ["a red oak and a pine", "four boxes"], ["a red oak and an elm", "five boxes"]
GENERATING = tuple(name for name, row in TASKS.items() if row.metrics_of_answers)


def translation(**changes: object) -> dict:
    config = job(
        task="Translation",
        data={"train": [{"path": "corpus/pairs.jsonl"}], "test": [{"path": "corpus/pairs-test.jsonl"}], "maxLength": 32},
        model={"fromScratch": True, "dtype": "float32"},
        training={"max_steps": 90, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "save_steps": 45},
        export={"precision": "fp32", "parity": {"minTop1Agreement": 0.9, "prompts": 4}},
        evaluation={"maxSamples": 8, "generateSamples": 4, "maxNewTokens": 28},
    )
    return merged(config, changes)


def write_pairs(space: Workspace) -> None:
    pairs = [(f"the {one} and the {two}", f"das {WORDS[one]} und das {WORDS[two]}") for one in WORDS for two in WORDS]
    for name, rows in (("pairs", pairs), ("pairs-test", pairs[::2])):
        text = "".join(json.dumps({"prompt": source, "completion": target}) + "\n" for source, target in rows)
        (space.data / "corpus" / f"{name}.jsonl").write_text(text)


def of_family(family: str, space: Workspace, folder: Path) -> Workspace:
    """A base of which there is a configuration and a tokenizer only."""
    space.model = Path(shutil.copytree(space.model, folder))
    (space.model / "model.safetensors").unlink()
    model = encoder_decoder(family)
    model.generation_config.forced_bos_token_id = None  # this tokenizer begins no target with a token of its own
    model.config.save_pretrained(space.model)
    model.generation_config.save_pretrained(space.model)
    write_pairs(space)
    return space


RATES = {"full": 8e-3, "lora": 1e-2}
METHODS = {"full": {"tuner": "full", "lora": None}, "lora": {"lora": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}}}
WAYS = [
    ("bart", "full", None, "fp32"),
    pytest.param(("bart", "full", 3, "fp32"), marks=pytest.mark.matrix),  # generates with sharded weights
    pytest.param(("t5", "lora", 2, "int8"), marks=pytest.mark.matrix),
    pytest.param(("marian", "lora", 3, "int8"), marks=pytest.mark.matrix),
    pytest.param(("mt5", "full", 2, "int4"), marks=pytest.mark.matrix),
]


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS, ids=lambda how: "-".join(map(str, how)))
def test_an_encoder_decoder_is_checked_trained_and_exported(
    gang: WarmGang, space: Workspace, tmp_path: Path, how: tuple[str, str, int | None, str]
) -> None:
    """The best checkpoint is chosen by BLEU, so both ranks generate during training."""
    family, tuner, stage, precision = how
    of_family(family, space, tmp_path / "model")
    by_bleu = {"eval_strategy": "steps", "eval_steps": 45, "save_strategy": "steps", "load_best_model_at_end": True}
    config = translation(
        method=METHODS[tuner],
        data={"validation": [{"path": "corpus/pairs-test.jsonl"}]},
        deepspeed=None if stage is None else deepspeed(stage),
        worldSize=2,
        export={"precision": precision, "parity": {"minTop1Agreement": 0.6}},
        training={"learning_rate": RATES[tuner], "predict_with_generate": True, "metric_for_best_model": "bleu", **by_bleu},
    )
    folder = tmp_path / "models" / "colours" / "r1"
    settings = Settings.from_environment({**os.environ, **space.environment(config), environment.PUBLISH_DIR: str(folder)})

    facts = check(settings)
    assert (facts.data.format, facts.data.train.samples, facts.exporter, facts.warnings) == (
        "promptCompletion", 16, "dynamo", ["8 of 8 validation example(s) are also in train, so their score is too good",
        "8 of 8 test example(s) are also in train, so their score is too good"],
    )  # fmt: skip

    assert gang.run(space, config) == [0, 0], (space.root / "pod" / "log").read_text()[-4000:]
    measured = [line["eval_bleu"] for line in space.metrics if "eval_bleu" in line]
    assert len(measured) == 2
    export(settings)

    manifest = ModelManifest.model_validate_json((folder / "tunewright.json").read_bytes())
    assert manifest.graph.kind == "sequence_to_sequence"
    scores = manifest.evaluation
    assert scores.tuned.loss < scores.base.loss
    assert scores.base.bleu < 5
    if (tuner, family) == ("full", "bart"):  # the others learn more slowly
        assert scores.tuned.bleu > 50
    answers = json.loads((folder / "evaluation.json").read_text())["answers"]
    assert [answer["reference"] for answer in answers] == [
        f"das {one} und das {two}" for one in ("rot", "blau") for two in ("rot", "Eiche")
    ]
    assert served(folder, tmp_path, [answer["question"] for answer in answers]) == [answer["tuned"] for answer in answers]
    assert json.loads((folder / "generation_config.json").read_text()).keys() <= {
        "decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id",
    }  # fmt: skip


@pytest.mark.slow
def test_the_loss_hardly_depends_on_how_a_step_is_divided(gang: WarmGang, space: Workspace, tmp_path: Path) -> None:
    """It is the mean over batches of the mean over their tokens, so it differs a little where the targets differ in length."""
    of_family("bart", space, tmp_path / "model")
    dropout = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    (space.model / "config.json").write_text(json.dumps(json.loads((space.model / "config.json").read_text()) | dropout))
    held_out = {"validation": [{"path": "corpus/pairs-test.jsonl"}]}
    found = metrics_by_layout(gang, space, translation(method=METHODS["full"], data=held_out))
    assert len(found["one batch"]) == 5
    assert found["two batches"] == pytest.approx(found["one batch"], rel=0.05)
    assert found["two ranks"] == pytest.approx(found["one batch"], rel=0.05)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_all_linear_adapts_encoder_and_decoder_and_not_the_head(space: Workspace, family: str) -> None:
    settings = Settings.from_environment({**os.environ, **space.environment(translation(method=METHODS["lora"]))})
    model = encoder_decoder(family)
    adapted = peft.get_peft_model(model, fitted_adapter(settings, model))
    found = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert {part for part in ("encoder", "decoder", "lm_head") if any(f".{part}." in name for name in found)} == {"encoder", "decoder"}


def served(folder: Path, scratch: Path, sources: list[str]) -> list[str]:
    """The targets that a real server answers with, all of them in one request."""
    with ready_server(folder, scratch) as server:
        model = server.openai.models.list().data[0].id
        answer = server.openai.completions.create(model=model, prompt=sources, max_tokens=28, temperature=0)
        return [choice.text.strip() for choice in answer.choices]


def test_a_base_without_an_encoder_is_refused(space: Workspace) -> None:
    write_pairs(space)
    with pytest.raises(
        StageError, match=r"model\.source: the architecture phi3 has no encoder and decoder, which task Translation"
    ) as refused:
        check(Settings.from_environment({**os.environ, **space.environment(translation(model={"fromScratch": False}))}))
    assert "T5, BART, Marian or mT5" in refused.value.suggestion


REFUSED = {
    "a source that is too long": ({"data": {"maxLength": 19, "overlongPolicy": "raise"}}, {}, r"pairs.jsonl:1: the target has 20 tokens"),
    "more than the positions": ({"data": {"maxLength": 512}}, {}, "data.maxLength=512 is beyond the model's context of 128"),
    "a first token that is not learned": ({}, {"forced_bos_token_id": 5}, r"forced_bos_token_id=5 .* begins each answer, but the tokenizer begins"),
    "no start token": ({}, {"decoder_start_token_id": None}, "have no decoder_start_token_id"),
    "a start that is none": ({}, {"decoder_start_token_id": "x"}, "decoder_start_token_id='x' is no token id"),
    "words of several tokens": ({}, {"bad_words_ids": [[7, 8]]}, "bad_words_ids has words of several tokens"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "generation", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_trained_or_served_is_refused(space: Workspace, tmp_path: Path, changes: dict, generation: dict, words: str) -> None:
    of_family("bart", space, tmp_path / "model")
    for name in ("config.json", "generation_config.json")[0 if None in generation.values() else 1 :]:
        path = space.model / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
    with pytest.raises(StageError, match=words):
        check(Settings.from_environment({**os.environ, **space.environment(translation(**changes))}))


def test_a_base_that_searches_with_beams_is_used_with_a_warning(space: Workspace, tmp_path: Path) -> None:
    of_family("bart", space, tmp_path / "model")
    settings = Settings.from_environment({**os.environ, **space.environment(translation())})
    assert unserved_generation(settings) == []
    path = space.model / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_beams": 4, "no_repeat_ngram_size": 3, "length_penalty": 2.0}))
    (found,) = unserved_generation(settings)
    assert "num_beams=4, no_repeat_ngram_size=3: left out, since targets are generated" in found


@pytest.mark.parametrize(("policy", "samples", "ending"), [("truncate", 16, 1 / 16), ("drop", 1, 1.0)])
def test_long_pairs_are_cut_or_dropped_and_counted(space: Workspace, policy: str, samples: int, ending: float) -> None:
    """One target has 20 tokens with its end. A target that is cut has no end token, so the model does not learn to stop there."""
    write_pairs(space)
    settings = Settings.from_environment({**os.environ, **space.environment(translation(data={"maxLength": 20, "overlongPolicy": policy}))})
    encoded = encode_pairs(read_splits(settings).train, tiny.tokenizer(), settings)
    assert (len(encoded.dataset), encoded.facts.truncated, encoded.ending_share) == (samples, 15, ending)
    assert {len(ids) for ids in encoded.dataset["labels"]} == {20}


NESTED = {"prompt": "translation.en", "completion": "translation.de"}


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"prompt": "oak", "completion": "Eiche"}, {}),
        ({"en": "oak", "de": "Eiche"}, {"prompt": "en", "completion": "de"}),
        ({"translation": {"en": "oak", "de": "Eiche", "fr": "chêne"}}, NESTED),
        ({"translation.en": "oak", "translation.de": "Eiche"}, NESTED),
    ],
    ids=["a pair", "other columns", "the form of Hugging Face", "columns with a dot"],
)
def test_a_pair_is_taken(row: dict, columns: dict[str, str]) -> None:
    format_ = recognise(row, columns, "Translation")
    found = normalise(row, format_=format_, columns=columns, task="Translation")
    assert (format_, found) == ("promptCompletion", {"prompt": "oak", "completion": "Eiche"})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"translation": {"en": "oak"}}, r"column 'translation\.de' is missing"),
        ({"translation": "oak"}, r"column 'translation\.en' is missing"),
        ({"translation": {"en": "oak", "de": None}}, "'completion' must be text, not nothing"),
        ({"translation": {"en": "oak", "de": " "}}, "'completion' is empty"),
    ],
)
def test_a_pair_without_one_side_is_refused(row: dict, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        normalise(row, format_="promptCompletion", columns=NESTED, task="Translation")


def test_a_target_ends_with_the_end_token_once() -> None:
    tokenizer = tiny.tokenizer()
    assert target_ids("rot", tokenizer)[-1] == tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = None
    assert target_ids("rot<|endoftext|>", tokenizer).count(tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("task", GENERATING)
def test_each_metric_of_the_task_can_choose_the_best_checkpoint(task: str) -> None:
    tokenizer = tiny.tokenizer()
    names = TASKS[task].metrics
    assert set(names) <= set(METRICS)
    said, wanted = ([tokenizer(text)["input_ids"] for text in texts] for texts in (SAID, WANTED))
    width = max(map(len, said + wanted))
    ids, labels = (np.array([row + [-100] * (width - len(row)) for row in rows]) for rows in (said, wanted))
    found = training_metrics(names, tokenizer)((ids, labels))
    assert found == text_metrics(names, SAID, WANTED)
    assert all(0 < value < 100 for value in found.values())


def test_figures_are_those_of_the_libraries_documentation() -> None:
    """A text equal to its reference has 100 in BLEU and chrF and 1 in ROUGE. ROUGE-1 of 3 words of 6 and of 3 is 2 * 0.5 / 1.5."""
    same = ["The box holds nails and screws"]
    assert text_metrics(("bleu", "chrf", "rouge1", "rougeLsum"), same, same) == pytest.approx(
        {"bleu": 100, "chrf": 100, "rouge1": 1, "rougeLsum": 1}
    )
    assert text_metrics(("bleu", "chrf"), SAID[:1], SAID[:1]) == {"bleu": 100.0, "chrf": 100.0}  # not more, which a report refuses
    assert text_metrics(("rouge1", "rouge2"), ["the box holds"], same) == pytest.approx({"rouge1": 2 / 3, "rouge2": 2 * (1 * 0.4) / 1.4})
