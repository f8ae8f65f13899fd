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
from tunewright_server.decoders import generation_defaults
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
    content=st.binary(max_size=200) | st.dictionaries(st.sampled_from(sorted(FIELDS)), JSON).map(lambda fields: json.dumps(fields).encode())
)
def test_any_file_is_read_or_refused_with_a_way_out(content: bytes) -> None:
    try:
        found = read_generation_config(content)
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
