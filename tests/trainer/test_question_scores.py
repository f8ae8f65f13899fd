"""Exact match and F1 are those of SQuAD's own evaluation, and windows carry the right places of answers."""

import numpy as np
import pytest
from questions import CONTEXT, QUESTION, word_pieces

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.data.questions import NOWHERE, AskedContext, ReadingWindows, encode_questions, windows_review
from tunewright_trainer.evaluation.question_answering import answers_of, exact_match, score, token_f1, training_metrics

# The values of evaluate-v2.0.py's compute_exact and compute_f1, the best of all references.
PAIRS = {
    "the same": ("the Box", ["box"], 1, 1.0),
    "punctuation, articles and spaces": ("An  oak, plank!", ["a oak plank"], 1, 1.0),
    "a part": ("box of nails", ["nails"], 0, 0.5),
    "words that repeat": ("nails nails", ["nails screws"], 0, 0.5),
    "nothing shared": ("oak", ["nails"], 0, 0.0),
    "the best of several": ("oak plank", ["nails", "oak", "oak plank box"], 0, 0.8),
    "no answer where there is none": ("", [], 1, 1.0),
    "an answer where there is none": ("oak", [], 0, 0.0),
    "no answer where there is one": ("", ["oak"], 0, 0.0),
    "references of articles alone count as none": ("", ["the"], 1, 1.0),
    "articles alone": ("the", ["oak"], 0, 0.0),
}


@pytest.mark.parametrize(("answer", "references", "exact", "f1"), PAIRS.values(), ids=PAIRS)
def test_an_answer_is_scored(answer: str, references: list[str], exact: float, f1: float) -> None:
    assert exact_match(answer, references) == exact
    assert token_f1(answer, references) == pytest.approx(f1)


def row(question: str = QUESTION, context: str = CONTEXT, answer: str | None = None, line: int = 1) -> dict:
    found = [] if answer is None else [answer]
    return {
        "question": question,
        "context": context,
        "answers": found,
        "starts": [context.index(each) for each in found],
        "source": f"f:{line}",
    }


def reading(length: int = 32, stride: int = 8) -> ReadingWindows:
    return ReadingWindows(word_pieces(), length, stride)


@pytest.mark.parametrize("answer", ["nails and screws", "planks", "oak", "The", "abc"])
def test_the_places_of_an_answer_cover_it(answer: str) -> None:
    (asked,) = reading().read([row(answer=answer)])
    held = [(window, place) for window, place in zip(asked.windows, asked.places, strict=True) if place != NOWHERE]
    assert 0 < len(held) < len(asked.windows)
    for window, (start, end) in held:
        first, last = window.spans[start - window.first], window.spans[end - window.first]
        assert answer in CONTEXT[first[0] : last[1]]
        assert len(CONTEXT[first[0] : last[1]]) - len(answer) <= 1  # "plank", "##s"


def test_a_window_without_the_whole_answer_has_none() -> None:
    (asked,) = reading(length=20, stride=2).read([row(answer="The box of nails and screws is beside oaks")])
    assert [place == NOWHERE for place in asked.places] == [True] * len(asked.places)
    (unanswered,) = reading().read([row()])
    assert set(unanswered.places) == {NOWHERE}


def test_rows_have_the_inputs_of_the_model_and_a_place_each() -> None:
    found = encode_questions([row(answer="oak"), row(line=2)], reading())
    assert set(found.dataset.column_names) == {"input_ids", "attention_mask", "token_type_ids", "start_positions", "end_positions"}
    assert (found.facts.samples, found.facts.dropped, found.unanswered, found.several) == (2, 0, 1, 2)
    assert len(found.dataset) == found.facts.supervised_tokens > 2
    assert found.asked == []
    assert max(map(len, found.dataset["input_ids"])) == 32


def test_a_training_question_whose_answer_no_window_holds_is_dropped_and_counted() -> None:
    long = CONTEXT[: CONTEXT.index("oaks")].strip()
    trained = encode_questions([row(answer=long), row(answer="oak", line=2)], reading(length=18, stride=2))
    assert (trained.facts.dropped, trained.facts.samples) == (1, 2)
    assert (
        "1 of 2 training question(s) are dropped, because no window of 18 tokens holds their answer whole"
        in windows_review({"train": trained}, reading(18, 2))[0]
    )
    held_out = encode_questions([row(answer=long)], reading(length=18, stride=2), held_out=True)
    assert (held_out.facts.dropped, len(held_out.asked)) == (0, 1)


REFUSED = {
    "a context of too many windows": (
        [row(context="oak " * 20_000)],
        "f:1: the context has 20000 tokens and needs 1666 windows of 32 tokens that overlap by 8; 1024 are read at most",
    ),
    "a question without tokens": ([row(question="\u200b\u0000")], "f:1: the question has no tokens"),
    "no question has an answer": ([row()], r"none of 1 question\(s\) has an answer that a window of 32 tokens holds"),
    "a question that leaves no room": (
        [row(question=QUESTION * 4)],
        r"f:1: the question has 36 tokens and the context 84; .* have room for a question of 20",
    ),
    "a context without tokens": ([row(context="\u200b\u0000")], "f:1: the context has no tokens"),
}


@pytest.mark.parametrize(("rows", "words"), REFUSED.values(), ids=REFUSED)
def test_a_set_is_refused(rows: list[dict], words: str) -> None:
    with pytest.raises(StageError, match=words) as refused:
        encode_questions(rows, reading())
    assert refused.value.suggestion


def perfect(asked: list[AskedContext]) -> list[np.ndarray]:
    """Logits of a model that is right about each window."""
    found = []
    for question in asked:
        for window, (start, end) in zip(question.windows, question.places, strict=True):
            logits = np.zeros((len(window.tokens), 2), np.float32)
            logits[start, 0] = logits[end, 1] = 30
            found.append(logits)
    return found


def test_a_model_that_is_right_about_each_window_gets_the_best_scores() -> None:
    asked = encode_questions([row(answer="nails and screws"), row(line=2)], reading(), held_out=True).asked
    logits = perfect(asked)
    answers = answers_of(asked, logits, no_answer=True)
    assert answers == ["nails and screws", ""]
    found = score(asked, logits, answers)
    assert (found.exact_match, found.f1, found.token_accuracy, found.samples) == (1, 1, 1, 2)
    assert found.loss == pytest.approx(0, abs=1e-6)


def test_a_model_that_knows_nothing_has_the_loss_of_chance() -> None:
    asked = encode_questions([row(answer="oak")], reading(length=4096), held_out=True).asked
    tokens = len(asked[0].windows[0].tokens)
    logits = [np.zeros((tokens, 2), np.float32)]
    assert score(asked, logits, [""]).loss == pytest.approx(np.log(tokens))


def test_each_metric_of_the_task_can_choose_the_best_checkpoint() -> None:
    """transformers pads the logits of all batches to one width with -100."""
    asked = encode_questions([row(answer="nails and screws"), row(answer="oak", line=2)], reading(), held_out=True).asked
    logits = perfect(asked)
    width = max(map(len, logits)) + 3
    starts, ends = (np.stack([np.pad(each[:, side], (0, width - len(each)), constant_values=-100) for each in logits]) for side in (0, 1))
    found = training_metrics(asked, no_answer=False)(((starts, ends), None))
    assert tuple(sorted(found)) == tuple(sorted(TASKS["QuestionAnswering"].metrics))
    assert found == {"exact": 1.0, "f1": 1.0}
