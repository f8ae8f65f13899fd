"""Text that arrives token by token: no half characters, no lost ones, and nothing after a stop string."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import make_tokenizer
from tokenizers import Tokenizer, decoders, models

from tunewright_server.engine.answer import StopStrings
from tunewright_server.text.tokenizer import REPLACEMENT, Detokenizer

VOCABULARY = 700


@cache
def byte_level() -> Tokenizer:
    return make_tokenizer(VOCABULARY).backend_tokenizer


@cache
def sentence_piece() -> Tokenizer:
    """Like Llama's and Phi-3's: `▁` for a space, a byte token for what the vocabulary lacks, the first space dropped."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁Hello", "▁world", "a", "b", "!"]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def pieces(tokenizer: Tokenizer, tokens: list[int], context: tuple[int, ...] = ()) -> list[str]:
    growing = Detokenizer(lambda ids: tokenizer.decode(list(ids)), context)
    return [*(growing.push(token) for token in tokens), growing.flush()]


@given(text=st.text(max_size=60))
def test_no_piece_has_a_partial_character(text: str) -> None:
    found = pieces(byte_level(), byte_level().encode(text).ids)
    assert "".join(found) == text
    if REPLACEMENT not in text:
        assert all(REPLACEMENT not in piece for piece in found)


@given(tokens=st.lists(st.integers(0, VOCABULARY - 1), max_size=60))
def test_the_pieces_of_any_tokens_add_up_to_the_text(tokens: list[int]) -> None:
    tokens = [token for token in tokens if byte_level().id_to_token(token) is not None]
    assert "".join(pieces(byte_level(), tokens)) == byte_level().decode(tokens)


@given(text=st.text(alphabet=st.sampled_from("ab! é你🙂"), max_size=30))
def test_bytes_that_a_vocabulary_spells_out_are_put_together(text: str) -> None:
    tokenizer = sentence_piece()
    tokens = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in text.encode()]
    assert "".join(pieces(tokenizer, tokens)) == tokenizer.decode(tokens)


def test_a_words_leading_space_is_kept_after_a_prompt() -> None:
    tokenizer = sentence_piece()
    hello, world = tokenizer.token_to_id("▁Hello"), tokenizer.token_to_id("▁world")
    assert pieces(tokenizer, [hello, world]) == ["Hello", " world", ""]
    assert pieces(tokenizer, [world], context=(hello,)) == [" world", ""]


@pytest.mark.parametrize(
    ("expected", "stop", "shown"),
    [
        ("Hello ", ["world"], ["Hello ", "wor", "ld and more"]),
        ("Hello ", ["w", "world"], ["Hello world"]),
        ("Hello worm", ["world"], ["Hello wor", "m"]),
        ("", ["Hello"], ["Hello"]),
        ("aab", ["aac"], ["a", "a", "b"]),
        ("a", ["aac"], ["a", "a", "a", "c"]),
        ("a", ["b", "abab"], ["abab"]),
        ("one", ["\n\n"], ["one\n", "\ntwo"]),
        ("Hello", [], ["Hel", "lo"]),
    ],
)
def test_an_answer_ends_before_the_first_stop_string(expected: str, stop: list[str], shown: list[str]) -> None:
    assert watched(stop, shown) == expected


@given(
    stop=st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
    shown=st.lists(st.text(alphabet="abc", max_size=4), max_size=12),
)
def test_the_cut_at_a_stop_string_does_not_depend_on_the_pieces(stop: list[str], shown: list[str]) -> None:
    whole = "".join(shown)
    assert watched(stop, shown) == whole[: earliest_end_of_text(whole, stop)]


def watched(stop: list[str], shown: list[str]) -> str:
    strings, text = StopStrings(stop), ""
    for piece in shown:
        safe, stopped = strings.push(piece)
        text += safe
        if stopped:
            return text
    return text + strings.flush()


def earliest_end_of_text(text: str, stop: list[str]) -> int:
    """Read character by character: the first stop string to be complete ends the text; of several, the longest."""
    for end in range(1, len(text) + 1):
        starts = [end - len(each) for each in stop if text[:end].endswith(each)]
        if starts:
            return min(starts)
    return len(text)
