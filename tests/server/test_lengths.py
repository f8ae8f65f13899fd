"""How many tokens an answer can have after a prompt."""

import pytest

from tunewright_server.engine.request import Lengths
from tunewright_server.http.errors import ApiError
from tunewright_server.http.limits import check_room

SHARED = Lengths.shared(32)
SEPARATE = Lengths.separate(prompt=32, answer=8)


@pytest.mark.parametrize(
    ("room", "lengths", "prompt"),
    [(31, SHARED, 1), (1, SHARED, 31), (0, SHARED, 32), (0, SHARED, 33), (8, SEPARATE, 1), (8, SEPARATE, 32), (0, SEPARATE, 33)],
)
def test_most_tokens_of_an_answer(room: int, lengths: Lengths, prompt: int) -> None:
    assert lengths.room(prompt) == room


@pytest.mark.parametrize(
    ("param", "words", "lengths", "prompt", "max_tokens"),
    [
        ("prompt", "maximum context length is 32 tokens; you asked for 32 in the prompt, which leaves no room", SHARED, 32, None),
        ("prompt", "you asked for 30 in the prompt and 3 for the answer", SHARED, 30, 3),
        ("prompt", "reads at most 32 tokens; the prompt has 33", SEPARATE, 33, None),
        ("prompt", "reads at most 32 tokens; the prompt has 33", SEPARATE, 33, 9),
        ("max_tokens", "writes at most 8 tokens; max_tokens is 9", SEPARATE, 1, 9),
    ],
)
def test_a_request_that_does_not_fit_names_the_bound(param: str, words: str, lengths: Lengths, prompt: int, max_tokens: int | None) -> None:
    with pytest.raises(ApiError) as refused:
        check_room(prompt, max_tokens, lengths, param="prompt")
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "context_length_exceeded", param)
    assert words in str(refused.value)


def test_a_separate_bound_is_shown_beside_the_other() -> None:
    assert (str(SHARED), str(SEPARATE)) == ("32", "32 and 8")
