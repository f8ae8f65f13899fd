"""A tagger of words from its configuration to a graph that finds entities: its data, its scores, trained, exported and read as the server does."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tiny
from gang import WarmGang, Workspace, deepspeed, job
from layouts import metrics_by_layout
from lazily import lazily
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import ModelManifest
from tunewright_contract.words import first_tokens, join_words, split_words
from tunewright_server.engine.encoder import Encoder
from tunewright_server.engine.row_queue import TokenRow
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.files import read_rows
from tunewright_trainer.data.formats import normalise, recognise
from tunewright_trainer.data.reading import Splits
from tunewright_trainer.data.rows import Located, RowProblem
from tunewright_trainer.data.tags import encode_tagged, tag_names
from tunewright_trainer.data.tokenization import IGNORED
from tunewright_trainer.data.values import BadRow
from tunewright_trainer.evaluation.tagging import chosen_tags, score, training_metrics
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export

datasets = lazily("datasets")
transformers = lazily("transformers")

TASK = "NamedEntityRecognition"
NAMES = {"Ada": "Xu", "Ben": "Ypsilanti", "Cleo": "Zander", "Dora": "Xu"}
PLACES = ("Oslo", "Paris", "Quito", "Rome")
TAGS = ["O", "B-LOC", "B-PER", "I-PER"]


def sentence(number: int) -> dict:
    first, place = list(NAMES)[number % 4], PLACES[(number // 4) % 4]
    words = [first, NAMES[first], "lives", "in", place, "at", "no.", str(number), "."]
    return {"tokens": words, "ner_tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O", "O", "O", "O"]}


def tagging(**changes: object) -> dict:
    files = {"train": "tagged", "validation": "tagged-validation", "test": "tagged-test"}
    config = job(
        task=TASK,
        data={**{name: [{"path": f"corpus/{file}.jsonl"}] for name, file in files.items()}, "maxLength": 64},
        training={"max_steps": 30, "per_device_train_batch_size": 4, "learning_rate": 3e-3},
        export={"precision": "fp32", "parity": {"minTop1Agreement": 0.9}},
    )
    return {**config, **changes}


@pytest.fixture
def tagger(space: Workspace, tmp_path: Path) -> Workspace:
    """A BERT of which there is a configuration and a tokenizer only, and sentences."""
    space.model = Path(shutil.copytree(space.model, tmp_path / "model"))
    (space.model / "model.safetensors").unlink()
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": tiny.VOCAB_SIZE}
    transformers.BertForTokenClassification(
        transformers.BertConfig(**shape, max_position_embeddings=128, pad_token_id=tiny.PAD_ID)
    ).config.save_pretrained(space.model)
    for name, numbers in (("tagged", range(48)), ("tagged-validation", range(50, 54)), ("tagged-test", range(60, 68))):
        (space.data / "corpus" / f"{name}.jsonl").write_text("".join(json.dumps(sentence(number)) + "\n" for number in numbers))
    return space


@pytest.mark.slow
@pytest.mark.matrix
def test_the_loss_does_not_depend_on_how_a_step_is_divided(gang: WarmGang, tagger: Workspace) -> None:
    full = {"model": {"fromScratch": True, "dtype": "float32"}, "method": {"tuner": "full", "lora": None}}
    config = json.loads((tagger.model / "config.json").read_text())
    (tagger.model / "config.json").write_text(json.dumps({name: 0.0 if "dropout" in name else value for name, value in config.items()}))
    found = metrics_by_layout(gang, tagger, tagging(**full))
    assert len(found["one batch"]) == 5
    assert found["two batches"] == pytest.approx(found["one batch"], rel=1e-4)
    assert found["two ranks"] == pytest.approx(found["one batch"], rel=1e-4)


@pytest.mark.slow
def test_a_tagger_is_checked_trained_and_exported(gang: WarmGang, tagger: Workspace, tmp_path: Path) -> None:
    config = tagging(
        model={"fromScratch": True, "dtype": "float32"},
        method={"tuner": "full"},
        deepspeed=deepspeed(2),
        worldSize=2,
        export={"precision": "int8", "parity": {"minTop1Agreement": 0.8}},
    )
    steps = {
        "eval_strategy": "steps",
        "eval_steps": 10,
        "save_strategy": "steps",
        "save_steps": 10,
        "load_best_model_at_end": True,
        "metric_for_best_model": "f1",
    }
    config["training"] |= {**steps, "greater_is_better": True}
    folder = tmp_path / "models" / "entities" / "r1"
    settings = Settings.from_environment({**os.environ, **tagger.environment(config), environment.PUBLISH_DIR: str(folder)})

    facts = check(settings)
    assert (facts.data.format, facts.data.train.samples, facts.data.train.supervised_tokens) == ("taggedWords", 48, 48 * 9)
    assert (facts.data.label_count, facts.data.labels) == (2, {"PER": 48, "LOC": 48})

    assert gang.run(tagger, config) == [0, 0], (tagger.root / "pod" / "log").read_text()[-4000:]
    measured = [json.loads(line) for line in settings.metrics_file.read_text().splitlines()]
    assert {f"eval_{name}" for name in TASKS[TASK].metrics} <= {name for entry in measured for name in entry}
    export(settings)

    manifest = ModelManifest.model_validate_json((folder / "tunewright.json").read_bytes())
    assert (manifest.graph.head.kind, manifest.graph.head.labels) == ("token_classification", TAGS)
    assert manifest.parity.positions == 8 * 9
    assert manifest.evaluation.tuned.f1 > 0.9 > manifest.evaluation.base.f1
    assert (manifest.evaluation.tuned.samples, manifest.evaluation.tuned.f1_macro) == (8, None)
    answers = json.loads((folder / "evaluation.json").read_text())["answers"]
    assert answers[0]["question"] == "Ada Xu lives in Rome at no. 60 ."
    assert answers[0]["reference"] == answers[0]["tuned"] == "Ada Xu (PER), Rome (LOC)"
    assert served_tags(folder, manifest, "Dora Xu lives in Quito.") == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]


def served_tags(folder: Path, manifest: ModelManifest, text: str) -> list[str]:
    """Tag the words of a text as the model server does."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    sizes = {"max_length": manifest.context_length, "vocab_size": manifest.vocab_size}
    encoder = Encoder(session, manifest.graph, pad_token_id=manifest.pad_token_id, **sizes)
    joined, spans = join_words([text[start:end] for start, end in split_words(text)])
    encoded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(joined)
    (logits,) = encoder.run([TokenRow(tuple(encoded.ids))], len(encoded.ids))
    return [manifest.graph.head.labels[logits[first].argmax()] for first in first_tokens(spans, encoded.offsets)]


def test_tagged_words_are_taken() -> None:
    row = {"id": "7", **sentence(0)}
    format_ = recognise(row, {}, TASK)
    assert (format_, normalise(row, format_=format_, columns={}, task=TASK)) == (
        "taggedWords",
        {"tokens": row["tokens"], "tags": row["ner_tags"]},
    )


def test_lists_in_cells_of_a_table_are_read_as_json() -> None:
    row = {"tokens": '["Ada", "in", "Rome"]', "ner_tags": '["B-PER", "O", "B-LOC"]'}
    assert normalise(row, format_="taggedWords", columns={}, task=TASK)["tags"] == ["B-PER", "O", "B-LOC"]


CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter\tNNP\tB-PER
de Vries\tNNP\tI-PER

alone

Berlin NNP B-LOC"""


def test_sentences_in_columns_are_read_with_the_line_of_their_first_word(tmp_path: Path) -> None:
    path = tmp_path / "corpus.conll"
    path.write_text(CONLL)
    found = list(read_rows(path, path.name))
    rows = [(each.line, each.row["tokens"], each.row["ner_tags"]) for each in found if isinstance(each, Located)]
    assert rows == [
        (3, ["EU", "rejects"], ["B-ORG", "O"]),
        (6, ["Peter", "de Vries"], ["B-PER", "I-PER"]),
        (11, ["Berlin"], ["B-LOC"]),
    ]
    (problem,) = [str(each) for each in found if isinstance(each, RowProblem)]
    assert problem.startswith("corpus.conll:9: the line has one column")


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        (["Ada"], ["B-PER", "O"], "'tokens' has 1 entries and 'ner_tags' has 2"),
        ([], [], "'tokens' is empty"),
        ("Ada", ["B-PER"], "'tokens' is not JSON"),
        (["Ada"], "B-PER", "'ner_tags' is not JSON"),
        (["Ada"], {"0": "O"}, "'ner_tags' must be a list, not dict"),
        (["Ada", " "], ["B-PER", "O"], r"tokens\[1\] is empty"),
        (["Ada", 7], ["B-PER", "O"], r"tokens\[1\] must be text, not int"),
        (["Ada"], [1], r"ner_tags\[0\] is the class number 1; write the name of the tag"),
        (["Ada"], [None], r"ner_tags\[0\] must be the name of a tag, not nothing"),
        (["Ada"], [""], r"ner_tags\[0\] must have 1 to 128 printable characters, and has 0"),
        (["Ada"], ["B-" + "x" * 200], "and has 202"),
        (["Ada"], ["B-P\x1bER"], "printable"),
        (["Ada"], ["PER"], r"ner_tags\[0\] is 'PER'; a tag is O, or B- or I- with the type"),
        (["Ada"], ["B-"], r"ner_tags\[0\] is 'B-'"),
        (["Ada"], ["S-PER"], "which is not IOB2; convert the tags"),
        (["Ada"], ["I-PER"], r"ner_tags\[0\] is 'I-PER' after 'O'; in IOB2 the first word of an entity has 'B-PER'"),
        (["Ada", "Rome"], ["B-PER", "I-LOC"], r"ner_tags\[1\] is 'I-LOC' after 'B-PER'"),
    ],
)
def test_words_and_tags_that_do_not_fit_are_refused(words: object, tags: object, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        normalise({"tokens": words, "ner_tags": tags}, format_="taggedWords", columns={}, task=TASK)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["O", "B-GPE"], r"tagged-test.jsonl:1: no training example has the tag 'B-GPE' of this test example"),
        (["O", "B-LOC"], None),
    ],
)
def test_a_held_out_tag_that_train_lacks_is_named_with_its_line(tags: list[str], words: str | None, tagger: Workspace) -> None:
    (tagger.data / "corpus" / "tagged-test.jsonl").write_text(json.dumps({"tokens": ["in", "Rome"], "ner_tags": tags}) + "\n")
    settings = Settings.from_environment({**os.environ, **tagger.environment(tagging(model={"fromScratch": True, "dtype": "float32"}))})
    if words is None:
        assert check(settings).data.test.samples == 1
        return
    with pytest.raises(StageError, match=words):
        check(dataclasses.replace(settings))


def test_examples_without_entities_are_refused() -> None:
    rows = datasets.Dataset.from_list([{"tokens": ["a"], "tags": ["O"], "source": "a:1"}])
    with pytest.raises(StageError, match="no entity: each tag is O"):
        tag_names(Splits(rows, None, None))


def wordpieces() -> "transformers.PreTrainedTokenizerFast":
    """Pairs of characters, between special tokens."""
    from tokenizers import processors

    letters = "abcdefghijklmnopqrstuvwxyz."
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *letters, *(f"##{letter}" for letter in letters)]
    built = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    built.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=built, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def metaspace() -> "transformers.PreTrainedTokenizerFast":
    """SentencePiece's way: the space before a word is a part of its first token, or a token by itself."""
    pieces = [("<unk>", 0.0), ("▁", -9.0), *((letter, -9.0) for letter in "abcdefgh."), ("▁ab", -1.0)]
    built = Tokenizer(models.Unigram(pieces, unk_id=0))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=built, unk_token="<unk>", pad_token="<unk>")


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        ("[CLS] a:B-A ##b c:I-A ##d ##e .:O [SEP]", wordpieces),
        ("▁ab:B-A ▁ c:I-A d e ▁ .:O", metaspace),
        ("a:B-A b Ġ c:I-A d e Ġ .:O", tiny.tokenizer),
    ],
    ids=["wordpiece", "metaspace", "bytes"],
)
def test_a_tag_is_on_the_first_token_of_its_word(
    expected: str, make: Callable[[], "transformers.PreTrainedTokenizerFast"], space: Workspace
) -> None:
    settings, tokenizer = Settings.from_environment({**os.environ, **space.environment(tagging())}), make()
    rows = datasets.Dataset.from_list([{"tokens": ["ab", "cde", "."], "tags": ["B-A", "I-A", "O"], "source": "a:1"}])
    tags = ["O", "B-A", "I-A"]
    found = encode_tagged(rows, tokenizer, settings, tags)
    tokens = tokenizer.convert_ids_to_tokens(found.dataset[0]["input_ids"])
    labels = found.dataset[0]["labels"]
    shown = [token if label == IGNORED else f"{token}:{tags[label]}" for token, label in zip(tokens, labels, strict=True)]
    assert " ".join(shown) == expected
    assert found.facts.supervised_tokens == 3


@pytest.mark.parametrize(("policy", "kept", "words"), [("truncate", [0, 1], 5), ("drop", [1], 2)])
def test_a_text_that_is_too_long_is_cut_or_left_out(policy: str, kept: list[int], words: int, space: Workspace) -> None:
    config = tagging()
    config["data"] |= {"maxLength": 6, "overlongPolicy": policy}
    settings = Settings.from_environment({**os.environ, **space.environment(config)})
    rows = [{"tokens": ["a"] * count, "tags": ["B-A"] * count, "source": f"a:{count}"} for count in (9, 2)]
    found = encode_tagged(datasets.Dataset.from_list(rows), tiny.tokenizer(), settings, ["O", "B-A"])
    assert (found.kept, found.facts.supervised_tokens, found.facts.truncated) == (kept, words, 1)


def test_scores_count_entities_as_conlleval_does() -> None:
    """Two of three entities are found, of which one has the wrong end: precision 1/2, recall 1/3, F1 2/5; 4 of 6 tags are right."""
    wanted = [[2, 3, 3, 0, IGNORED, 1], [IGNORED, 1]]
    chosen = [[2, 3, 0, 0, 3, 1], [0, 0]]
    logits = [np.eye(4, dtype=np.float32)[row] * 100 for row in chosen]
    found, tags = score(logits, wanted, TAGS)
    assert tags == [["B-PER", "I-PER", "O", "O", "B-LOC"], ["O"]]
    assert (found.precision, found.recall, found.f1) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert (found.token_accuracy, found.samples) == (pytest.approx(4 / 6), 2)
    padded = np.array([wanted[0], [IGNORED, 1, *[IGNORED] * 4]])
    batch = np.zeros((2, 6, 4), np.float32)
    batch[0], batch[1, :2] = logits[0], logits[1]
    metrics = training_metrics(TAGS)((chosen_tags(batch, None), padded))
    assert tuple(sorted(metrics)) == tuple(sorted(TASKS[TASK].metrics))
    assert metrics == pytest.approx({"precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5, "accuracy": 4 / 6})


def test_a_model_that_finds_nothing_has_no_precision() -> None:
    found, _ = score([np.eye(4, dtype=np.float32)[[0, 0]]], [[2, 3]], TAGS)
    assert (found.precision, found.recall, found.f1, found.token_accuracy) == (0, 0, 0, 0)
