"""The unmodified `openai` client against the real process."""

import asyncio
import json
from pathlib import Path

import openai
import pytest
from models import CORPUS, BuiltModel, TinyModel, build
from serving import Server, ready_server
from tokenizers import Tokenizer

QUESTION = [{"role": "user", "content": "Where is Paris?"}]
SAMPLED = {"temperature": 1.0, "top_p": 0.95, "seed": 5}


def chat(server: Server, **options: object):
    return server.openai.chat.completions.create(**{"model": "tiny", "messages": QUESTION, "max_tokens": 24, "temperature": 0, **options})


def complete(server: Server, **options: object):
    return server.openai.completions.create(**{"model": "tiny", "prompt": "Paris is", "max_tokens": 24, "temperature": 0, **options})


def test_a_chat_answer_equals_torchs(server: Server, tiny: BuiltModel, generate_with_torch) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.torch_dir)
    prompt = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True)["input_ids"]
    expected = generate_with_torch(tiny.torch_dir, tuple(prompt), 24)
    answer = chat(server)
    assert answer.choices[0].message.content == tokenizer.decode(expected, skip_special_tokens=True)
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (len(prompt), 24, len(prompt) + 24)


@pytest.mark.slow
def test_a_dozen_clients_at_once_each_get_torchs_tokens(
    server: Server, tiny: BuiltModel, tiny_tokenizer: Tokenizer, generate_with_torch
) -> None:
    words = CORPUS[0].split()
    prompts = [" ".join(words[each % 5 :] * (1 + each)) for each in range(12)]
    lengths = [8 + 3 * each for each in range(12)]

    async def ask() -> list[str]:
        async with server.async_openai as client:
            asked = [
                client.completions.create(model="tiny", prompt=prompt, max_tokens=length, temperature=0, extra_body={"ignore_eos": True})
                for prompt, length in zip(prompts, lengths, strict=True)
            ]
            return [answer.choices[0].text for answer in await asyncio.gather(*asked)]

    expected = [
        generate_with_torch(tiny.torch_dir, tuple(tiny_tokenizer.encode(prompt).ids), length)
        for prompt, length in zip(prompts, lengths, strict=True)
    ]
    assert asyncio.run(ask()) == [tiny_tokenizer.decode(tokens) for tokens in expected]


@pytest.mark.parametrize("ask", [chat, complete])
def test_streamed_pieces_add_up_to_the_answer(ask, server: Server) -> None:
    whole = ask(server, **SAMPLED)
    chunks = list(ask(server, stream=True, stream_options={"include_usage": True}, **SAMPLED))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    if ask is chat:
        assert choices[0].delta.role == "assistant"
        assert "".join(choice.delta.content or "" for choice in choices) == whole.choices[0].message.content
    else:
        assert "".join(choice.text for choice in choices) == whole.choices[0].text
    assert [choice.finish_reason for choice in choices][-1] == whole.choices[0].finish_reason
    assert all(choice.finish_reason is None for choice in choices[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_done_and_has_usage_only_on_request(server: Server) -> None:
    body = {"model": "tiny", "prompt": "Paris is", "max_tokens": 2, "stream": True}
    response = server.post("/v1/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all("usage" not in json.loads(event.removeprefix("data: ")) for event in events[:-2])


def test_the_same_seed_gives_the_same_answer_and_another_gives_another(server: Server) -> None:
    texts = [complete(server, temperature=1.0, seed=seed).choices[0].text for seed in (1, 1, 2, -1)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_without_a_seed_two_answers_differ(server: Server) -> None:
    assert complete(server, temperature=1.0).choices[0].text != complete(server, temperature=1.0).choices[0].text


def test_an_answer_ends_before_a_stop_string(server: Server) -> None:
    whole = complete(server).choices[0].text
    stop = whole[5:8]
    for answer in (complete(server, stop=stop), complete(server, stop=["never said", stop])):
        assert answer.choices[0].text == whole[: whole.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.completion_tokens <= 24


def test_a_stop_token_ends_the_answer_and_is_not_shown(
    server: Server, tiny: BuiltModel, tiny_tokenizer: Tokenizer, generate_with_torch
) -> None:
    tokens = generate_with_torch(tiny.torch_dir, tuple(tiny_tokenizer.encode("Paris is").ids), 24)
    at = next(index for index in range(3, 24) if tokens[index] not in tokens[:index])
    answer = complete(server, extra_body={"stop_token_ids": [tokens[at]]})
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].text == tiny_tokenizer.decode(tokens[:at])
    assert answer.usage.completion_tokens == at + 1


def test_several_choices_differ_and_the_first_equals_a_single_one(server: Server) -> None:
    alone = complete(server, **SAMPLED).choices[0].text
    several = complete(server, n=3, **SAMPLED)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.choices[0].text == alone
    assert len({choice.text for choice in several.choices}) == 3
    assert several.usage.completion_tokens == 3 * 24


def test_several_prompts_are_answered_in_their_order(server: Server) -> None:
    prompts = ["Paris is", "The quick", "def add"]
    alone = [complete(server, prompt=prompt).choices[0].text for prompt in prompts]
    assert [choice.text for choice in complete(server, prompt=prompts).choices] == alone


def test_streamed_choices_have_their_index(server: Server) -> None:
    whole = [choice.text for choice in complete(server, n=2, **SAMPLED).choices]
    streamed = ["", ""]
    for chunk in complete(server, n=2, stream=True, **SAMPLED):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    assert streamed == whole


def test_chat_logprobs_are_those_of_the_greedy_choice(server: Server) -> None:
    content = chat(server, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert len(content) == 24
    for token in content:
        assert token.logprob == token.top_logprobs[0].logprob <= 0
        assert token.token == token.top_logprobs[0].token
        assert [each.logprob for each in token.top_logprobs] == sorted((each.logprob for each in token.top_logprobs), reverse=True)


def test_completion_logprobs_are_the_same_streamed(server: Server) -> None:
    whole = complete(server, logprobs=2).choices[0].logprobs
    streamed = [chunk.choices[0].logprobs for chunk in complete(server, logprobs=2, stream=True)]
    assert [token for each in streamed for token in each.tokens] == whole.tokens
    assert [offset for each in streamed for offset in each.text_offset] == whole.text_offset
    assert [value for each in streamed for value in each.token_logprobs] == pytest.approx(whole.token_logprobs, abs=1e-4)


def test_content_may_come_in_parts(server: Server) -> None:
    parts = [{"type": "text", "text": "Where is "}, {"type": "text", "text": "Paris?"}]
    assert chat(server, messages=[{"role": "user", "content": parts}]).choices == chat(server).choices


def test_parameters_without_effect_are_accepted(server: Server) -> None:
    options = {
        "user": "u1",
        "metadata": {"team": "a"},
        "tools": [],
        "logit_bias": {},
        "presence_penalty": 0,
        "response_format": {"type": "text"},
    }
    assert chat(server, max_tokens=openai.omit, max_completion_tokens=24, n=1, **options).choices == chat(server).choices


def test_an_answer_can_use_the_whole_context(tiny: BuiltModel, tmp_path: Path) -> None:
    with ready_server(tiny.served_dir, tmp_path, MAX_LENGTH="40") as server:
        answer = chat(server, max_tokens=openai.omit, extra_body={"ignore_eos": True})
        assert answer.usage.total_tokens == 40
        assert answer.choices[0].finish_reason == "length"
        with pytest.raises(openai.BadRequestError, match="maximum context length is 40 tokens") as refused:
            complete(server, prompt=list(range(100, 120)), max_tokens=21)
        assert refused.value.code == "context_length_exceeded"
        assert complete(server, prompt=list(range(100, 120)), max_tokens=20).usage.total_tokens == 40


def test_the_model_is_listed_with_its_origin(server: Server) -> None:
    (model,) = server.openai.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "tunewright")
    assert model.tunewright["lineage"]["base"] == "tiny@main"
    assert server.openai.models.retrieve("tiny") == model
    assert "0000" not in model.model_dump_json()  # neither uid nor digest without a key
    assert set(model.tunewright["lineage"]) <= {"base", "method", "metrics", "versions"}


def test_a_model_may_be_served_under_another_name(tiny: BuiltModel, tmp_path: Path) -> None:
    with ready_server(tiny.served_dir, tmp_path, MODEL_NAME="org/support-bot") as server:
        assert server.openai.models.retrieve("org/support-bot").id == "org/support-bot"
        assert complete(server, model="org/support-bot").model == "org/support-bot"


@pytest.mark.parametrize(
    "wanted",
    [TinyModel(architecture="gpt2", graph="dynamic_cache"), TinyModel(precision="int8"), TinyModel(precision="int4")],
    ids=lambda wanted: f"{wanted.graph}-{wanted.precision}",
)
@pytest.mark.slow
def test_other_graphs_are_served_in_the_same_way(wanted: TinyModel, tmp_path: Path) -> None:
    with ready_server(build(wanted).served_dir, tmp_path, MAX_SLOTS="2", MAX_LENGTH="128") as server:
        whole = complete(server).choices[0].text
        assert "".join(chunk.choices[0].text for chunk in complete(server, stream=True)) == whole
        assert complete(server, n=3).choices[2].text == whole  # greedy, in company
