"""Windows over long contexts are those of transformers, and answers are found in them as its example finds them."""

import numpy as np
import pytest
from lazily import lazily
from questions import CONTEXT, QUESTION, bytes_, word_pieces
from tokenizers import processors

from tunewright_contract.questions import AnswerSpan, UnreadableContextError, Window, find_answers, windows_of

transformers = lazily("transformers")

TOKENIZERS = {
    "BERT": word_pieces,
    "RoBERTa": lambda: bytes_(processors.RobertaProcessing(("</s>", 2), ("<s>", 1))),
    "a decoder, without special tokens": lambda: bytes_(processors.TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])),
}


@pytest.mark.parametrize(("length", "stride"), [(40, 8), (64, 0), (64, 20), (4096, 128)])
@pytest.mark.parametrize("family", TOKENIZERS)
def test_windows_are_those_of_transformers(family: str, length: int, stride: int) -> None:
    made = TOKENIZERS[family]()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS[family](), model_input_names=["input_ids", "token_type_ids"])
    fast.backend_tokenizer.post_processor = made.post_processor  # the class would replace it
    expected = fast(
        QUESTION,
        CONTEXT,
        truncation="only_second",
        max_length=length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )

    found = windows_of(made, QUESTION, CONTEXT, length=length, stride=stride)

    assert [list(window.tokens) for window in found] == expected["input_ids"]
    assert [list(window.types) for window in found] == expected["token_type_ids"]
    for number, window in enumerate(found):
        ours = {window.first + at: trimmed(span) for at, span in enumerate(window.spans)}
        theirs = {place: trimmed(span) for place, span in enumerate(expected["offset_mapping"][number])}
        assert ours == {place: span for place, span in theirs.items() if expected.sequence_ids(number)[place] == 1}


def trimmed(span: tuple[int, int]) -> tuple[int, int] | None:
    """A byte-level tokenizer counts the space before a word to it in some places; a space alone covers nothing."""
    text = CONTEXT[slice(*span)]
    return (span[1] - len(text.lstrip()), span[1]) if text.strip() else None


def test_a_question_that_leaves_no_room_is_refused_with_the_numbers() -> None:
    tokens = len(word_pieces().encode(CONTEXT, add_special_tokens=False).ids)
    with pytest.raises(
        UnreadableContextError,
        match=f"the question has 9 tokens and the context {tokens}; .* windows of 16 tokens that overlap by 5 have room for a question of 7",
    ):
        windows_of(word_pieces(), QUESTION, CONTEXT, length=16, stride=5)
    assert len(windows_of(word_pieces(), QUESTION, CONTEXT, length=16, stride=3)) == tokens - 3
    assert len(windows_of(word_pieces(), QUESTION, "oak", length=13, stride=5)) == 1


TWO_WORDS = Window(tokens=(2, 9, 3, 4, 5, 3), types=(0, 0, 0, 1, 1, 1), first=3, spans=((0, 3), (4, 7)))  # of "the box"


def logits(*places: tuple[int, float]) -> list[float]:
    found = [-9.0] * 6
    for place, value in places:
        found[place] = value
    return found


def test_the_best_span_is_the_answer() -> None:
    best, second, *_ = find_answers("the box", [TWO_WORDS], [(logits((4, 5)), logits((4, 4)))], no_answer=False)
    assert (best.text, best.start, best.end) == ("box", 4, 7)
    assert second.text in {"the box", "the"}
    assert 0.99 < best.score < 1


def test_a_question_is_no_answer() -> None:
    """A start in the question, and an end before its start, are no answers however likely they are."""
    found = find_answers("the box", [TWO_WORDS], [(logits((1, 99), (4, 5), (3, 1)), logits((1, 99), (3, 9), (4, 1)))], no_answer=False)
    assert [answer.text for answer in found] == ["the", "box", "the box"]


NO_ANSWER = AnswerSpan("", 0, 0, 0.0)


@pytest.mark.parametrize(("null", "expected"), [(9.0, ""), (4.0, "box"), (4.5, "box")])
def test_no_answer_wins_where_token_0_is_likelier_than_each_span(null: float, expected: str) -> None:
    found = find_answers("the box", [TWO_WORDS], [(logits((0, null), (4, 5)), logits((0, null), (4, 4)))], no_answer=True)
    assert found[0].text == expected
    assert {answer.text for answer in found} == {"", "the", "box", "the box"}
    assert sum(answer.score for answer in found) == pytest.approx(1)
    without = find_answers("the box", [TWO_WORDS], [(logits((0, null), (4, 5)), logits((0, null), (4, 4)))], no_answer=False)
    assert without[0].text == "box"


def test_of_several_windows_each_span_counts_once_and_no_answer_is_the_least_likely() -> None:
    sides = [(logits((0, 9), (4, 5)), logits((0, 9), (4, 4))), (logits((0, 1), (4, 6)), logits((0, 1), (4, 4)))]
    found = find_answers("the box", [TWO_WORDS, TWO_WORDS], sides, no_answer=True)
    assert [answer.text for answer in found].count("box") == 1
    assert found[0].text == "box"
    ratio = next(answer for answer in found if not answer.text).score / found[0].score
    assert ratio == pytest.approx(np.exp(2 - 10))


def test_an_answer_has_at_most_so_many_tokens() -> None:
    sides = [(logits((3, 5)), logits((4, 5)))]
    assert find_answers("the box", [TWO_WORDS], sides, no_answer=False)[0].text == "the box"
    assert {answer.text for answer in find_answers("the box", [TWO_WORDS], sides, no_answer=False, longest=1)} == {"the", "box"}


def test_white_space_that_a_token_covers_is_no_part_of_an_answer() -> None:
    window = Window(tokens=(2, 9, 3, 4, 5, 3), types=(0,) * 6, first=3, spans=((0, 3), (3, 7)))
    assert find_answers("the box", [window], [(logits((4, 5)), logits((4, 5)))], no_answer=False)[0].text == "box"


def test_a_context_without_tokens_has_no_answer() -> None:
    empty = Window(tokens=(2, 9, 3, 3), types=(0,) * 4, first=4, spans=())
    assert find_answers("\u200b", [empty], [(logits(), logits())], no_answer=False) == []
    assert find_answers("\u200b", [empty], [(logits(), logits())], no_answer=True) == [AnswerSpan("", 0, 0, 1.0)]


def reference(context: str, windows: list[Window], sides: list[tuple[list[float], list[float]]], *, no_answer: bool) -> str:
    """The best answer as `postprocess_qa_predictions` of transformers' example finds it."""
    candidates, null = [], None
    for window, (starts, ends) in zip(windows, sides, strict=True):
        if null is None or null > starts[0] + ends[0]:
            null = starts[0] + ends[0]
        for start in np.argsort(starts)[-1:-21:-1].tolist():
            for end in np.argsort(ends)[-1:-21:-1].tolist():
                inside = all(0 <= at - window.first < len(window.spans) for at in (start, end))
                if inside and start <= end < start + 30:
                    span = window.spans[start - window.first][0], window.spans[end - window.first][1]
                    candidates.append((starts[start] + ends[end], context[span[0] : span[1]]))
    score, text = max(candidates, key=lambda candidate: candidate[0])
    return "" if no_answer and null > score else text


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_is_that_of_the_example(seed: int) -> None:
    windows = windows_of(word_pieces(), QUESTION, CONTEXT, length=32, stride=8)
    random = np.random.default_rng(seed)
    sides = [tuple(random.normal(size=(2, len(window.tokens))).tolist()) for window in windows]
    for no_answer in (False, True):
        found = find_answers(CONTEXT, windows, sides, no_answer=no_answer)[0]
        assert found.text == reference(CONTEXT, windows, sides, no_answer=no_answer)
        assert CONTEXT[found.start : found.end] == found.text
