"""From logits to tokens: what may be drawn, how often, and that a seed decides it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright_server.engine.request import Sampling
from tunewright_server.engine.sampling import LogitsError, Sampler, distribution, log_probability, penalised, without_repeats

LOGITS = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float32))


def candidates(**options: float) -> list[int]:
    return distribution(LOGITS, Sampling(**{"temperature": 1.0, **options}))[0].tolist()


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        ([1], {"top_p": 0.0}),
        ([1], {"top_p": 0.5}),
        ([1, 3], {"top_p": 0.51}),
        ([1, 3, 2], {"top_p": 0.9}),
        ([0, 1, 2, 3], {"top_p": 1.0}),
        ([1, 3], {"top_k": 2}),
        ([1], {"top_k": 2, "top_p": 0.6}),  # of the two that top_k leaves, the first has two thirds
        ([1, 3, 2, 0], {"top_k": 9}),
    ],
)
def test_top_p_and_top_k_leave_the_most_likely_tokens(expected: list[int], options: dict[str, float]) -> None:
    assert candidates(**options) == expected


def test_temperature_zero_takes_the_most_likely_token() -> None:
    assert Sampler(Sampling(temperature=0, seed=1)).choose(LOGITS) == 1


def test_tokens_are_drawn_with_the_models_probabilities() -> None:
    sampler = Sampler(Sampling(temperature=1.0, seed=11))
    drawn = np.bincount([sampler.choose(LOGITS) for _ in range(20_000)], minlength=4) / 20_000
    assert drawn == pytest.approx([0.1, 0.5, 0.15, 0.25], abs=0.02)


def test_a_low_temperature_sharpens_without_overflowing() -> None:
    ids, probabilities = distribution(LOGITS * 1000, Sampling(temperature=1e-6))
    assert probabilities[ids == 1] == pytest.approx(1.0)


@given(seed=st.integers(0, 2**64 - 1), temperature=st.floats(0.05, 2), top_p=st.floats(0.05, 1))
def test_the_same_seed_gives_the_same_tokens(seed: int, temperature: float, top_p: float) -> None:
    samplers = [Sampler(Sampling(temperature=temperature, top_p=top_p, seed=seed)) for _ in range(2)]
    first, second = ([sampler.choose(LOGITS) for _ in range(8)] for sampler in samplers)
    assert first == second


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_nan_is_never_turned_into_a_token(bad: float) -> None:
    with pytest.raises(LogitsError):
        Sampler(Sampling()).choose(np.array([0.0, bad, 1.0], np.float32))


def test_log_probabilities_are_those_of_the_model_before_temperature() -> None:
    found = log_probability(LOGITS, 0, 2)
    assert found.logprob == pytest.approx(np.log(0.1), abs=1e-6)
    assert [(token, pytest.approx(value, abs=1e-6)) for token, value in found.top] == [(1, np.log(0.5)), (3, np.log(0.25))]


# Against transformers' own processors: (temperature, top_k, top_p, min_p, repetition_penalty).
AGAINST_TRANSFORMERS = [
    (1.0, 0, 1.0, 0.0, 1.0),
    (0.7, 0, 1.0, 0.0, 1.0),
    (1.0, 7, 1.0, 0.0, 1.0),
    (1.0, 0, 0.8, 0.0, 1.0),
    (1.3, 0, 1.0, 0.05, 1.0),
    (1.0, 0, 1.0, 0.0, 1.3),
    (0.8, 20, 0.9, 0.02, 1.1),
    (1.5, 5, 0.95, 0.3, 0.8),
]


@pytest.mark.parametrize(("temperature", "top_k", "top_p", "min_p", "penalty"), AGAINST_TRANSFORMERS)
def test_probabilities_are_those_of_transformers(temperature: float, top_k: int, top_p: float, min_p: float, penalty: float) -> None:
    import torch
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = np.random.default_rng(3).normal(size=60).astype(np.float32) * 2
    before = [3, 3, 17, 59, 0]
    processors = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty), TemperatureLogitsWarper(temperature)])
    processors += [TopKLogitsWarper(top_k)] if top_k else []
    processors += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    processors += [MinPLogitsWarper(min_p)] if min_p else []
    expected = torch.softmax(processors(torch.tensor([before]), torch.tensor(logits[None])), -1)[0].double().numpy()
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty)
    ids, probabilities = distribution(penalised(logits, before, penalty), sampling)
    found = np.zeros(60)
    found[ids] = probabilities / probabilities.sum()
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_greedy_answer_is_penalised_too() -> None:
    assert Sampler(Sampling(repetition_penalty=5.0)).choose(np.array([2.0, 1.5, -1.0], np.float32), [0]) == 1


@pytest.mark.parametrize(
    ("ruled_out", "before", "size"),
    [
        ([], [], 2),
        ([], [1], 3),
        ([1, 3], [1, 3, 1], 1),
        ([3], [1, 3, 1], 2),
        ([], [1, 3, 2], 2),
        ([0, 3], [1, 3, 1, 0, 1], 2),
        ([2], [1, 3, 2, 1, 3], 3),
        ([], [1, 3, 2, 3], 3),
    ],
)
def test_a_token_that_would_repeat_a_sequence_is_ruled_out(ruled_out: list[int], before: list[int], size: int) -> None:
    """As in transformers."""
    import torch
    from transformers import NoRepeatNGramLogitsProcessor

    found = without_repeats(LOGITS, before, size)
    assert np.flatnonzero(np.isneginf(found)).tolist() == ruled_out
    theirs = NoRepeatNGramLogitsProcessor(size)(torch.tensor([before], dtype=torch.long), torch.tensor(LOGITS)[None])[0].numpy()
    assert np.array_equal(found, theirs)
    sampler = Sampler(Sampling(temperature=1.0, seed=2, no_repeat_ngram_size=size))
    assert not {sampler.choose(LOGITS, before) for _ in range(40)} & set(ruled_out)
