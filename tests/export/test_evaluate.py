"""Scores and answers: what is counted, and that padding and batches have no effect."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lazily import lazily
from tiny import END_ID, EOS_ID

from tunewright_contract.reports import Score
from tunewright_contract.trainer_config import DataConfig, DataFile, EvaluationConfig
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation import evaluate
from tunewright_trainer.evaluation.held_out import Example, HeldOut, Question, read_held_out, stop_ids
from tunewright_trainer.tuning.tokenizer import load_tokenizer

torch = lazily("torch")
transformers = lazily("transformers")

Job = Callable[..., Settings]


@pytest.fixture(scope="session")
def settings(job: Job) -> Settings:
    return job()


@pytest.fixture(scope="session")
def exam(settings: Settings) -> HeldOut:
    return read_held_out(settings, load_tokenizer(settings))


@pytest.fixture(scope="session")
def model(bases: dict[str, Path]) -> "transformers.AutoModelForCausalLM":
    return transformers.AutoModelForCausalLM.from_pretrained(bases["phi3"]).eval()


def with_data(settings: Settings, **data: object) -> Settings:
    return dataclasses.replace(settings, config=settings.config.model_copy(update={"data": DataConfig(**data)}))


def text_of(ids: list[int], settings: Settings) -> str:
    return load_tokenizer(settings).decode(ids)


def test_models_are_scored_on_the_test_file(settings: Settings, exam: HeldOut) -> None:
    assert len(exam.scored) == 10
    assert "item 100?" in text_of(exam.scored[0].ids, settings)


def test_parity_takes_as_many_examples_as_asked(exam: HeldOut) -> None:
    assert len(exam.compared) == 6


def test_without_test_file_the_validation_file_is_scored(settings: Settings) -> None:
    job = with_data(settings, train=[DataFile(path="train.jsonl")], validation=[DataFile(path="test.jsonl")])
    assert len(read_held_out(job, load_tokenizer(job)).scored) == 10


def test_with_training_data_alone_nothing_is_scored_but_parity_is_measured(settings: Settings) -> None:
    job = with_data(settings, train=[DataFile(path="train.jsonl")])
    found = read_held_out(job, load_tokenizer(job))
    assert (found.scored, found.questions) == ([], [])
    assert "item 0?" in text_of(found.compared[0].ids, job)


def test_only_the_assistants_tokens_are_supervised(settings: Settings, exam: HeldOut) -> None:
    example = exam.scored[1]  # two turns
    said = [token for token, supervised in zip(example.ids, example.supervised, strict=True) if supervised]
    assert text_of(said, settings) == "It is a box of 101 nails.<|end|>3 euros.<|end|>"
    assert text_of(example.prompt, settings) == "<|user|>What is item 101?<|end|><|assistant|>"


def test_compared_positions_are_one_before_each_supervised_token() -> None:
    assert Example([5, 6, 7, 8], [False, False, True, True]).speaking == [1, 2]


def test_a_question_is_the_conversation_up_to_the_last_answer(settings: Settings, exam: HeldOut) -> None:
    question = exam.questions[1]
    assert (question.text, question.reference) == ("And its price?", "3 euros.")
    assert text_of(question.ids, settings).endswith("<|end|><|user|>And its price?<|end|><|assistant|>")
    assert [message["role"] for message in question.messages] == ["user", "assistant", "user"]
    assert question.messages[-1] == {"role": "user", "content": "And its price?"}


def test_an_answer_ends_at_eos_at_the_bases_own_ids_and_at_the_end_of_a_turn(settings: Settings, exam: HeldOut) -> None:
    tokenizer = load_tokenizer(settings)
    assert stop_ids(settings, tokenizer, []) == [EOS_ID, END_ID]
    generation = settings.model_dir / "generation_config.json"
    before = generation.read_text()
    try:
        generation.write_text(json.dumps({"eos_token_id": EOS_ID}))
        assert stop_ids(settings, tokenizer, []) == [EOS_ID]
        assert stop_ids(settings, tokenizer, exam.compared) == [EOS_ID, END_ID]
    finally:
        generation.write_text(before)


def test_the_loss_is_torchs_over_supervised_tokens(model: "transformers.AutoModelForCausalLM", exam: HeldOut) -> None:
    total = count = 0.0
    for example in exam.scored:
        labels = torch.tensor([[token if said else -100 for token, said in zip(example.ids, example.supervised, strict=True)]])
        with torch.no_grad():
            mean = model(input_ids=torch.tensor([example.ids]), labels=labels).loss
        spoken = len(example.speaking)
        total, count = total + float(mean) * spoken, count + spoken
    assert evaluate.token_scores(model, exam.scored, pad=0)[0] == pytest.approx(total / count, rel=1e-5)


def test_batches_and_padding_change_no_score(
    model: "transformers.AutoModelForCausalLM", exam: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = evaluate.token_scores(model, exam.scored, pad=0)
    monkeypatch.setattr(evaluate, "_BATCH_TOKENS", 1)
    assert evaluate.token_scores(model, exam.scored, pad=0) == pytest.approx(together, rel=1e-5)


def evaluator(exam: HeldOut, settings: Settings, *, stop: list[int] | None = None) -> evaluate.Evaluator:
    return evaluate.Evaluator(exam, load_tokenizer(settings), stop or [EOS_ID, END_ID], 12)


def test_answers_in_a_padded_batch_equal_those_alone(model: "transformers.AutoModelForCausalLM", exam: HeldOut, settings: Settings) -> None:
    together = evaluator(exam, settings).evaluate(model).answers
    alone = [evaluator(dataclasses.replace(exam, questions=[question]), settings).evaluate(model).answers[0] for question in exam.questions]
    assert together == alone
    assert len(set(together)) > 1


def test_an_exact_match_ignores_white_space_around_the_answer(
    model: "transformers.AutoModelForCausalLM", exam: HeldOut, settings: Settings
) -> None:
    answers = evaluator(exam, settings).evaluate(model).answers
    known = [Question(q.text, q.ids, f" {a}\n") for q, a in zip(exam.questions, answers, strict=True)]
    known[0] = dataclasses.replace(known[0], reference="something else")
    score = evaluator(dataclasses.replace(exam, questions=known), settings).evaluate(model).score
    assert score.exact_match == 0.75
    assert score.samples == 10


def test_an_answer_stops_before_its_stop_token(model: "transformers.AutoModelForCausalLM", exam: HeldOut, settings: Settings) -> None:
    question = dataclasses.replace(exam, questions=exam.questions[:1])
    with torch.no_grad():
        ids = torch.tensor([exam.questions[0].ids])
        said = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    third = int(said[2])
    expected = said[: said.tolist().index(third)].tolist()
    answer = evaluator(question, settings, stop=[third]).evaluate(model).answers[0]
    assert answer == load_tokenizer(settings).decode(expected, skip_special_tokens=True)


def test_without_questions_there_is_no_exact_match(model: "transformers.AutoModelForCausalLM", exam: HeldOut, settings: Settings) -> None:
    result = evaluator(dataclasses.replace(exam, questions=[]), settings).evaluate(model)
    assert (result.score.exact_match, result.answers) == (None, [])


def test_texts_are_scored_without_questions_and_prompts_with_them(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text('{"text": "a box of nails"}\n')
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a box of ", "completion": "nails"}\n')
    found = {}
    for name in ("text", "pairs"):
        data = DataConfig(train=[DataFile(path=f"{name}.jsonl")], test=[DataFile(path=f"{name}.jsonl")])
        config = settings.config.model_copy(
            update={"task": "TextGeneration", "data": data, "evaluation": EvaluationConfig(generate_samples=1)}
        )
        job = dataclasses.replace(settings, config=config, data_dir=tmp_path)
        found[name] = read_held_out(job, load_tokenizer(job))
    assert (len(found["text"].scored), found["text"].questions) == (1, [])
    assert [(question.text, question.reference, question.messages) for question in found["pairs"].questions] == [("a box of ", "nails", [])]


def test_the_file_holds_both_scores_and_every_answer(exam: HeldOut, tmp_path: Path) -> None:
    base = evaluate.Result(Score(loss=2.0, token_accuracy=0.5, exact_match=0.0, samples=10), ["a", "b", "c", "d"])
    tuned = evaluate.Result(Score(loss=1.0, token_accuracy=0.75, exact_match=0.25, samples=10), ["A", "B", "C", "D"])
    report = evaluate.write_evaluation(tmp_path / "evaluation.json", exam.questions, base, tuned)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert (report.base, report.tuned) == (base.score, tuned.score)
    assert written["tuned"] == {"loss": 1.0, "tokenAccuracy": 0.75, "exactMatch": 0.25, "samples": 10}
    told = written["answers"][1]
    assert told.pop("messages") == exam.questions[1].messages
    assert told == {"question": "And its price?", "reference": "3 euros.", "base": "b", "tuned": "B"}


def test_a_prompt_is_written_without_messages(tmp_path: Path) -> None:
    result = evaluate.Result(Score(loss=2.0, token_accuracy=0.5, samples=1), ["nails"])
    evaluate.write_evaluation(tmp_path / "evaluation.json", [Question("a box of ", [1], "nails")], result, result)
    (told,) = json.loads((tmp_path / "evaluation.json").read_text())["answers"]
    assert told == {"question": "a box of ", "reference": "nails", "base": "nails", "tuned": "nails"}
