"""Translators answer on `/v1/completions`: the prompt is the source, and the text is the target. From one process with a decoder."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import tiny
from models import BuiltModel
from serving import Server, ready_server, start_server
from tokenizers import Tokenizer
from translators import CONTEXT, FIRST, SENTENCE, TinyTranslator, build_translator, rewrite

from tunewright_contract.folders import DECODER_FILE, MANIFEST_NAME

BART = TinyTranslator(family="bart")
SAMPLED = {"temperature": 1.0, "top_p": 0.95, "seed": 5}


@pytest.fixture(scope="module")
def server(tiny: BuiltModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A T5 named `translator`, a BART named `bart`, and a decoder named `tiny`."""
    home = tmp_path_factory.mktemp("translators")
    shutil.copytree(build_translator(BART).served_dir, home / "bart")
    rewrite(home / "bart", name="bart")
    folders = (build_translator().served_dir, home / "bart", tiny.served_dir)
    with ready_server(tiny.served_dir, home, MODEL_DIR="", MODEL_DIRS=":".join(map(str, folders)), MAX_SLOTS="3") as running:
        yield running


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(build_translator().served_dir / "tokenizer.json"))


def translate(server: Server, *, ignore_eos: bool = True, **options: Any):
    wanted = {"model": "translator", "prompt": SENTENCE, "max_tokens": 24, "temperature": 0, **options}
    return server.openai.completions.create(**wanted, extra_body={"ignore_eos": ignore_eos})


@pytest.mark.parametrize(("model", "wanted"), [("translator", TinyTranslator()), ("bart", BART)])
def test_the_answer_is_the_target_that_torch_gives(
    model: str, wanted: TinyTranslator, server: Server, tokenizer: Tokenizer, translate_with_torch
) -> None:
    source = tuple(tokenizer.encode(SENTENCE).ids)
    assert source[-1] == tiny.EOS_ID, "the tokenizer adds its own special tokens"
    expected = translate_with_torch(build_translator(wanted).torch_dir, source, 24)
    answer = translate(server, model=model)
    assert answer.choices[0].text == tokenizer.decode(expected)
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(source), 24)
    assert translate(server, model=model, prompt=list(source)).choices == answer.choices, "token ids are taken as they are"


@pytest.mark.slow
def test_a_dozen_clients_with_sources_of_mixed_lengths_each_get_torchs_target(
    server: Server, tokenizer: Tokenizer, translate_with_torch
) -> None:
    sources = [SENTENCE[each:] * (1 + each % 3) for each in range(12)]
    lengths = [8 + 3 * each for each in range(12)]

    async def ask() -> list[str]:
        async with server.async_openai as client:
            asked = [
                client.completions.create(
                    model="translator", prompt=source, max_tokens=length, temperature=0, extra_body={"ignore_eos": True}
                )
                for source, length in zip(sources, lengths, strict=True)
            ]
            return [answer.choices[0].text for answer in await asyncio.gather(*asked)]

    folder = build_translator().torch_dir
    expected = [
        translate_with_torch(folder, tuple(tokenizer.encode(source).ids), length) for source, length in zip(sources, lengths, strict=True)
    ]
    assert asyncio.run(ask()) == [tokenizer.decode(tokens) for tokens in expected]


@pytest.mark.parametrize("options", [{"temperature": 0}, SAMPLED, {"logprobs": 2}, {"n": 2, **SAMPLED}], ids=str)
def test_streamed_pieces_make_the_whole_answer(options: dict[str, Any], server: Server) -> None:
    whole = translate(server, **options)
    streamed = [""] * len(whole.choices)
    chunks = list(translate(server, stream=True, stream_options={"include_usage": True}, **options))
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        streamed[choice.index] += choice.text
    assert streamed == [choice.text for choice in whole.choices]
    assert chunks[-1].usage == whole.usage


def test_several_choices_differ_and_the_first_is_the_one_that_is_asked_for_alone(server: Server) -> None:
    several = translate(server, n=3, **SAMPLED)
    assert several.choices[0].text == translate(server, **SAMPLED).choices[0].text
    assert len({choice.text for choice in several.choices}) == 3
    assert several.usage.completion_tokens == 3 * 24


def test_several_sources_are_answered_in_their_order(server: Server) -> None:
    sources = [SENTENCE, "The quick brown fox.", "hello"]
    alone = [translate(server, prompt=source).choices[0].text for source in sources]
    assert [choice.text for choice in translate(server, prompt=sources).choices] == alone
    assert len(set(alone)) == 3


def test_an_answer_ends_before_a_stop_string_and_at_a_stop_token(server: Server, tokenizer: Tokenizer) -> None:
    content = translate(server, logprobs=0).choices[0]
    stop = content.text[3:6]
    cut = translate(server, stop=stop).choices[0]
    assert (cut.text, cut.finish_reason) == (content.text[: content.text.index(stop)], "stop")


def test_logprobs_are_those_of_the_greedy_choice(server: Server) -> None:
    found = translate(server, logprobs=3).choices[0].logprobs
    assert len(found.tokens) == len(found.token_logprobs) == 24
    assert all(value >= max(top.values()) for value, top in zip(found.token_logprobs, found.top_logprobs, strict=True))


@pytest.mark.parametrize(("model", "room"), [("translator", CONTEXT - 1), ("bart", CONTEXT - 2)])
def test_without_max_tokens_a_target_can_be_as_long_as_fits(model: str, room: int, server: Server) -> None:
    """And not OpenAI's 16 tokens, which would cut a translation. A long source does not shorten it."""
    answer = translate(server, model=model, max_tokens=openai.omit, prompt=[40] * CONTEXT)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (CONTEXT, room)
    with pytest.raises(openai.BadRequestError, match=f"writes at most {room} tokens; max_tokens is {room + 1}") as refused:
        translate(server, model=model, max_tokens=room + 1)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "max_tokens")


def test_special_tokens_of_the_target_are_never_shown(server: Server, tmp_path: Path) -> None:
    """The start, a forced first token, and special tokens that the model draws."""
    texts = [choice.text for choice in translate(server, model="bart", n=16, temperature=2.0, seed=1).choices]
    specials = [token for token in tiny.SPECIALS if any(token in text for text in texts)]
    assert (specials, FIRST in range(len(tiny.SPECIALS))) == ([], True)


@pytest.mark.parametrize(
    ("path", "model", "way_out"),
    [
        ("/v1/chat/completions", "translator", "use POST /v1/completions"),
        ("/classify", "translator", "use POST /v1/completions"),
    ],
)
def test_a_route_of_another_kind_of_model_says_which_to_use(path: str, model: str, way_out: str, server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "a"}]} if "chat" in path else {"input": "a"}
    answer = server.post(path, json={"model": model, **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_supported")
    assert way_out in answer.json()["error"]["message"]


def test_models_are_listed_with_the_lengths_of_source_and_target(server: Server) -> None:
    listed = {model["id"]: model for model in server.get("/v1/models").json()["data"]}
    assert [(listed[name]["max_model_len"], listed[name]["max_answer_len"]) for name in ("translator", "bart")] == [
        (CONTEXT, CONTEXT - 1),
        (CONTEXT, CONTEXT - 2),
    ]
    assert listed["translator"]["not_honoured"] == []
    assert listed["translator"]["tunewright"]["task"] == "Translation"
    assert "max_answer_len" not in listed["tiny"]


def test_requests_are_counted_under_vllms_names(server: Server) -> None:
    def count(name: str) -> float:
        lines = server.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{") and 'model_name="translator"' in line)

    names = ("vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total")
    before = [count(name) for name in names]
    usage = translate(server).usage
    after = [count(name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, usage.prompt_tokens, 24]
    assert (count("vllm:num_requests_running"), count("vllm:kv_cache_usage_perc")) == (0, 0)


def folder_with(tmp_path: Path, generation: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A copy of the T5 whose manifest or generation_config.json is changed."""
    folder = tmp_path / "model"
    shutil.copytree(build_translator().served_dir, folder)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": 0, "eos_token_id": 1, **generation}))
    rewrite(folder, **changes)
    return folder


def test_beams_of_the_base_are_not_used_and_the_log_and_the_models_route_say_so(
    tokenizer: Tokenizer, translate_with_torch, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, {"num_beams": 4, "max_length": 21, "no_repeat_ngram_size": 2, "bad_words_ids": [[0]]})
    with ready_server(folder, tmp_path) as running:
        assert running.logged("not honoured")["field"].startswith("num_beams=4: answers are greedy")
        (model,) = running.get("/v1/models").json()["data"]
        assert model["not_honoured"] == ["num_beams=4: answers are greedy or sampled, without beams"]
        assert model["default_sampling_params"]["no_repeat_ngram_size"] == 2
        answer = translate(running, max_tokens=openai.omit)
    assert answer.usage.completion_tokens == 20, "max_length counts the start"
    source = tuple(tokenizer.encode(SENTENCE).ids)
    expected = translate_with_torch(build_translator().torch_dir, source, 20, no_repeat_ngram_size=2)
    assert answer.choices[0].text == tokenizer.decode(expected)
    assert expected != translate_with_torch(build_translator().torch_dir, source, 20), "the test would see it ignored"


def test_the_smoke_test_is_a_source(server: Server, tmp_path: Path) -> None:
    right = translate(server, max_tokens=8, ignore_eos=False).choices[0].text.strip()
    folder = build_translator().served_dir
    test = {"prompt": SENTENCE, "maxTokens": 8}
    with ready_server(folder, tmp_path, SMOKE_TEST=json.dumps({**test, "contains": right})) as ready:
        assert ready.get("/v2/health/ready").status_code == 200
    with start_server(folder, tmp_path, SMOKE_TEST=json.dumps({**test, "contains": "Köln"})) as refused:
        assert (refused.exit_code(), refused.failure.reason) == (65, "SmokeTestFailed")
        assert "which does not hold 'Köln'" in refused.failure.message


def test_a_folder_without_its_second_graph_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    for name in (DECODER_FILE, f"{DECODER_FILE}.data"):
        (folder / name).unlink(missing_ok=True)
    rewrite(folder)
    with start_server(folder, tmp_path) as server:
        assert (server.exit_code(), server.failure.reason) == (65, "ModelFileMissing")
        assert f"{MANIFEST_NAME} lists no {DECODER_FILE}, which a graph of kind sequence_to_sequence needs" in server.failure.message


@pytest.mark.parametrize(
    ("code", "reason", "variables"),
    [
        (64, "MaxLengthTooLong", {"MAX_LENGTH": str(CONTEXT + 1)}),
        (65, "SmokeTestFailed", {"MAX_LENGTH": "4", "SMOKE_TEST": '{"prompt": "a source that does not fit"}'}),
    ],
)
def test_a_translator_that_cannot_start_says_why(code: int, reason: str, variables: dict[str, str], tmp_path: Path) -> None:
    with start_server(build_translator().served_dir, tmp_path, **variables) as server:
        assert (server.exit_code(), server.failure.reason) == (code, reason)
