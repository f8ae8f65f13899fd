"""generation_config.json: what is honoured, what changes nothing, and what is refused with the field, its value and a way out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lazily import lazily

from tunewright_contract.generation_config import (
    FIELDS,
    GREEDY,
    LARGEST_BYTES,
    GenerationConfigError,
    GenerationDefaults,
    read_generation_config,
)
from tunewright_server.generators import generation_defaults
from tunewright_server.refusal import RefusalError

transformers = lazily("transformers")


def read(**fields: Any) -> GenerationDefaults:
    return read_generation_config(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (GREEDY, {}),
        (GREEDY, {"do_sample": False}),
        (
            GREEDY,
            {"do_sample": None, "temperature": 0.6, "top_p": 0.9, "top_k": 20},
        ),  # as in transformers, without do_sample these mean nothing
        (GREEDY, {"temperature": 0}),
        ({"temperature": 1.0, "top_k": 50}, {"do_sample": True}),
        (
            {"temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.1},
            {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.1},
        ),
        ({"repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        ({"max_tokens": 128, "eos_token_ids": [4]}, {"max_new_tokens": 128, "eos_token_id": 4}),
        ({"eos_token_ids": [4, 7]}, {"eos_token_id": [4, 7], "pad_token_id": 0, "bos_token_id": 1}),
        (GREEDY, {"num_beams": 1, "no_repeat_ngram_size": 0, "suppress_tokens": [], "max_length": 4096, "transformers_version": "5"}),
    ],
)
def test_defaults_of_a_request(expected: GenerationDefaults | dict[str, Any], fields: dict[str, Any]) -> None:
    assert read(**fields) == (expected if isinstance(expected, GenerationDefaults) else GenerationDefaults(**expected))


REFUSED = {
    "beams": ("num_beams=4", {"num_beams": 4}),
    "n-grams": ("no_repeat_ngram_size=3", {"no_repeat_ngram_size": 3}),
    "typical sampling": ("typical_p=0.9", {"do_sample": True, "typical_p": 0.9}),
    "contrastive search": ("penalty_alpha=0.6", {"penalty_alpha": 0.6}),
    "suppressed tokens": ("suppress_tokens=[1, 2]", {"suppress_tokens": [1, 2]}),
    "bad words": ("bad_words_ids", {"bad_words_ids": [[5]]}),
    "a forced end": ("forced_eos_token_id=2", {"forced_eos_token_id": 2}),
    "a least length": ("min_new_tokens=5", {"min_new_tokens": 5}),
    "stop strings": ("stop_strings=", {"stop_strings": ["x"]}),
    "a negative temperature": ("temperature=-1", {"temperature": -1}),
    "a temperature of none": ("temperature=0", {"do_sample": True, "temperature": 0}),
    "a temperature in words": ("temperature='hot'", {"temperature": "hot"}),
    "a truth value as a number": ("temperature=True", {"temperature": True}),
    "top_p beyond 1": ("top_p=1.5", {"top_p": 1.5}),
    "a fraction of a token": ("top_k=1.5", {"top_k": 1.5}),
    "no penalty at all": ("repetition_penalty=0", {"repetition_penalty": 0}),
    "do_sample in words": ("do_sample='yes'", {"do_sample": "yes"}),
    "a token id below zero": ("eos_token_id=-1", {"eos_token_id": -1}),
    "an unknown field": ("be_nice=True", {"be_nice": True}),
    "a long value": ("sequence_bias", {"sequence_bias": [[[5], 1.0]] * 10_000}),
}


@pytest.mark.parametrize(("named", "fields"), REFUSED.values(), ids=REFUSED)
def test_fields_that_the_server_cannot_apply_are_refused(named: str, fields: dict[str, Any]) -> None:
    with pytest.raises(GenerationConfigError) as refused:
        read(**fields)
    assert named in str(refused.value)
    assert len(str(refused.value)) < 500
    assert "in a copy of the base model" in refused.value.way_out


MARIAN = {  # of a published base
    "_from_model_config": True,
    "bad_words_ids": [[58100]],
    "bos_token_id": 0,
    "decoder_start_token_id": 58100,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "max_length": 512,
    "num_beams": 4,
    "pad_token_id": 58100,
    "transformers_version": "4.32.0.dev0",
}
SUMMARIES = {  # of BART, tuned on news
    "_from_model_config": True,
    "bos_token_id": 0,
    "decoder_start_token_id": 2,
    "early_stopping": True,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "length_penalty": 2.0,
    "max_length": 142,
    "min_length": 56,
    "no_repeat_ngram_size": 3,
    "num_beams": 4,
    "pad_token_id": 1,
}
BEAMS = "num_beams=4: answers are greedy or sampled, without beams"


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ({}, {"decoder_start_token_id": 0, "eos_token_id": None, "pad_token_id": 0}),
        ({"max_tokens": 64}, {"max_new_tokens": 64}),
        ({"max_tokens": 63}, {"max_new_tokens": 64, "forced_bos_token_id": 3}),
        ({"max_tokens": 64}, {"max_new_tokens": 64, "max_length": 20}),
        ({"max_tokens": 19, "min_tokens": 4}, {"max_length": 20, "min_length": 5}),
        ({"min_tokens": 7}, {"min_new_tokens": 7, "min_length": 5}),
        ({}, {"suppress_tokens": [5, 6], "bad_words_ids": [[7], [8]]}),  # the manifest has them
        (
            {
                "max_tokens": 511,
                "eos_token_ids": [0],
                "departures": [BEAMS, "forced_eos_token_id=0: an answer that is cut at its length ends without it"],
            },
            MARIAN,
        ),
        (
            {
                "max_tokens": 140,
                "min_tokens": 54,
                "no_repeat_ngram_size": 3,
                "eos_token_ids": [2],
                "departures": [BEAMS, "forced_eos_token_id=2: an answer that is cut at its length ends without it"],
            },
            SUMMARIES,
        ),
    ],
)
def test_fields_of_a_target_are_honoured_and_beams_are_named(expected: dict[str, Any], fields: dict[str, Any]) -> None:
    content = json.dumps(fields).encode()
    assert read_generation_config(content, encoder=True) == GenerationDefaults(**expected)


def test_without_an_encoder_the_same_fields_are_refused() -> None:
    for fields in (MARIAN, SUMMARIES):
        with pytest.raises(GenerationConfigError):
            read(**fields)


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("num_beams=0", {"num_beams": 0}),
        ("max_length='long'", {"max_length": "long"}),
        ("min_length=-1", {"min_length": -1}),
        ("no_repeat_ngram_size=True", {"no_repeat_ngram_size": True}),
        ("forced_bos_token_id=-1", {"forced_bos_token_id": -1}),
        ("forced_bos_token_id=[1]", {"forced_bos_token_id": [1]}),
        ("bad_words_ids=[[5, 6]]", {"bad_words_ids": [[4], [5, 6]]}),
        ("bad_words_ids", {"bad_words_ids": "never"}),
        ("suppress_tokens", {"suppress_tokens": [1.5]}),
        ("encoder_no_repeat_ngram_size=3", {"encoder_no_repeat_ngram_size": 3}),
        ("penalty_alpha=0.6", {"penalty_alpha": 0.6}),
    ],
)
def test_fields_that_no_target_can_follow_are_refused(named: str, fields: dict[str, Any]) -> None:
    with pytest.raises(GenerationConfigError) as refused:
        read_generation_config(json.dumps(fields).encode(), encoder=True)
    assert named.partition("=")[0] in str(refused.value)


CONTENTS = {
    "nothing": b"",
    "no JSON": b"temperature: 1",
    "a list": b"[]",
    "not a number": b'{"temperature": NaN}',
    "infinity": b'{"temperature": 1e999}',
    "deep": b"[" * 100_000,
    "a huge integer": b'{"top_k": ' + b"7" * 6000 + b"}",
    "not UTF-8": b'{"a": "\xff"}',
    "too large": b" " * LARGEST_BYTES + b"{}",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_an_invalid_file_is_refused_by_the_server_with_a_way_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "generation_config.json").write_bytes(content)
    with pytest.raises(RefusalError) as refused:
        generation_defaults(tmp_path)
    assert (refused.value.reason, refused.value.exit_code) == ("GenerationConfigInvalid", 65)
    assert refused.value.suggestion


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(
    content=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(sorted(FIELDS)), JSON).map(lambda fields: json.dumps(fields).encode()),
    encoder=st.booleans(),
)
def test_any_file_is_read_or_refused_with_a_way_out(content: bytes, encoder: bool) -> None:
    try:
        found = read_generation_config(content, encoder=encoder)
    except GenerationConfigError as error:
        assert error.way_out  # noqa: PT017 - either may happen
    else:
        assert found.temperature >= 0


def test_every_field_of_transformers_is_known() -> None:
    assert sorted(set(transformers.GenerationConfig().to_dict()) - set(FIELDS)) == []


def test_the_models_route_shows_the_default(server) -> None:
    (model,) = server.openai.models.list().data
    assert model.model_extra["default_sampling_params"]["temperature"] == 0


def test_a_request_that_sets_nothing_is_answered_greedily(server) -> None:
    question = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 24}
    plain, greedy = server.openai.chat.completions.create(**question), server.openai.chat.completions.create(**question, temperature=0)
    assert plain.choices[0].message.content == greedy.choices[0].message.content
