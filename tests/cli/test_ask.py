"""The client of a served model, against an HTTP server with valid and invalid answers of OpenAI's API."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tunewright.cli.ask import ENCODER_TEXTS, NO_ANSWER, AskError, ToClassify, ToFind, ToTag, answer, stream_answer
from tunewright_contract.capabilities.tasks import TASKS

HELLO = [{"role": "user", "content": "Hello"}]


def event(value: object) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def said(*pieces: str) -> list[bytes]:
    """A chat's events: the role first, then the words, then why it ended."""
    words = [event({"choices": [{"delta": {"content": piece}}]}) for piece in pieces]
    return [event({"choices": [{"delta": {"role": "assistant"}}]}), *words, event({"choices": [{"delta": {}}]}), event(b"[DONE]")]


@pytest.fixture
async def serve():
    """Start a server that answers every request in the same way, and records the requests."""
    servers = []

    async def start(chunks: list[bytes], *, status: int = 200):
        asked: list[tuple[str, dict]] = []

        async def handle(request: web.Request) -> web.StreamResponse:
            asked.append((request.path, await request.json()))
            response = web.StreamResponse(status=status)
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
            return response

        app = web.Application()
        app.router.add_post("/v1/{tail:.*}", handle)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("")).rstrip("/"), asked

    yield start
    for server in servers:
        await server.close()


async def test_pieces_arrive_as_they_are_said(serve):
    url, _ = await serve(said("Two ", "flat whites", " – naïvely 🙂"))
    pieces = [piece async for piece in stream_answer(url, model="bot", asked=HELLO)]
    assert [piece for piece in pieces if piece] == ["Two ", "flat whites", " – naïvely 🙂"]


async def test_a_piece_that_arrives_in_parts_is_whole(serve):
    whole = b"".join(said("flat whites 🙂"))
    url, _ = await serve([whole[at : at + 7] for at in range(0, len(whole), 7)])
    assert await answer(url, model="bot", asked=HELLO) == "flat whites 🙂"


@pytest.mark.parametrize(
    ("asked", "options", "path", "body"),
    [
        (HELLO, {}, "/v1/chat/completions", {"messages": HELLO}),
        (HELLO, {"max_tokens": 5}, "/v1/chat/completions", {"messages": HELLO, "max_tokens": 5}),
        ("Once upon", {}, "/v1/completions", {"prompt": "Once upon"}),
    ],
    ids=["conversation", "short", "prompt"],
)
async def test_a_conversation_is_answered_and_a_prompt_completed(serve, *, asked, options, path: str, body: dict):
    url, requests = await serve(said("yes"))
    await answer(url, model="bot", asked=asked, **options)
    assert requests == [(path, {"model": "bot", "temperature": 0.0, "stream": True, **body})]


async def test_the_words_of_a_completion_are_read(serve):
    url, _ = await serve([event({"choices": [{"text": " a time"}]}), event(b"[DONE]")])
    assert await answer(url, model="bot", asked="Once upon") == " a time"


@pytest.mark.parametrize(
    ("chunks", "status", "message"),
    [
        ([b'{"error": {"message": "the context is 128 tokens"}}'], 400, "the server answered 400: the context is 128 tokens"),
        ([b"<html>Bad Gateway</html>"], 502, "the server answered 502: <html>Bad Gateway</html>"),
        ([b""], 503, "the server answered 503: nothing more"),
        ([*said("Two")[:-1]], 200, "broke off"),
        ([*said("Two")[:-1], event({"error": {"message": "out of memory"}})], 200, "the server stopped: out of memory"),
        ([event(b"{")], 200, "does not answer as the OpenAI API does"),
    ],
    ids=["refused", "not JSON", "nothing said", "cut off", "error in the stream", "broken event"],
)
async def test_whatever_goes_wrong_is_one_sentence(serve, chunks, status: int, message: str):
    url, _ = await serve(chunks, status=status)
    with pytest.raises(AskError, match=message):
        await answer(url, model="bot", asked=HELLO)


async def test_a_server_that_is_not_there_is_named():
    with pytest.raises(AskError, match=r"no answer from http://127.0.0.1:9"):
        await answer("http://127.0.0.1:9", model="bot", asked=HELLO)


@pytest.mark.parametrize(("key", "sent"), [("k3y", "Bearer k3y"), (None, None)])
async def test_the_key_of_the_environment_is_sent(key: str | None, sent: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNEWRIGHT_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("TUNEWRIGHT_API_KEY", key)
    received = []

    async def handle(request: web.Request) -> web.Response:
        received.append(request.headers.get("Authorization"))
        return web.Response(body=b"".join(said("Hi")))

    app = web.Application()
    app.router.add_post("/v1/{tail:.*}", handle)
    async with TestServer(app) as server:
        assert await answer(str(server.make_url("")).rstrip("/"), model="m", asked=HELLO) == "Hi"
    assert received == [sent]


def labeled(value: object) -> list[bytes]:
    return [json.dumps(value).encode()]


async def test_a_text_that_is_to_be_classified_is_answered_with_its_label(serve):
    url, asked = await serve(labeled({"data": [{"index": 0, "label": "order", "probs": [0.9, 0.1], "num_classes": 2}]}))
    assert await answer(url, model="bot", asked=ToClassify("An oat latte, please")) == "order"
    assert asked == [("/v1/classify", {"model": "bot", "input": "An oat latte, please"})]


@pytest.mark.parametrize(
    ("expected", "entities"),
    [
        (
            "Ada Lovelace (PER), London (LOC)",
            [{"entity_group": "PER", "word": "Ada Lovelace", "score": 0.9}, {"entity_group": "LOC", "word": "London", "score": 0.8}],
        ),
        ("no entities", []),
    ],
)
async def test_a_text_with_entities_is_answered_with_their_types(serve, expected: str, entities: list):
    url, asked = await serve(labeled({"data": [{"index": 0, "entities": entities}]}))
    assert await answer(url, model="bot", asked=ToTag("Ada Lovelace lived in London.")) == expected
    assert asked == [("/v1/token-classification", {"model": "bot", "input": "Ada Lovelace lived in London."})]


def test_each_supported_task_that_generates_nothing_can_be_asked():
    assert {task.head for task in TASKS.values() if task.supported and not task.generates} <= set(ENCODER_TEXTS)
    routes = {head: {task.routes for task in TASKS.values() if task.head == head and task.routes} for head in ENCODER_TEXTS}
    assert [head for head, text in ENCODER_TEXTS.items() if not all(text.route in paths for paths in routes[head])] == []


@pytest.mark.parametrize(
    ("chunks", "status", "words"),
    [
        (labeled({"error": {"message": "input: too long"}}), 400, "the server answered 400: input: too long"),
        (labeled({"data": []}), 200, "does not answer /v1/classify as Tunewright's server does"),
        ([b"<html>"], 200, "does not answer /v1/classify as Tunewright's server does"),
    ],
)
async def test_a_label_that_does_not_come_has_its_reason(serve, chunks, status, words):
    url, _ = await serve(chunks, status=status)
    with pytest.raises(AskError, match=words):
        await answer(url, model="bot", asked=ToClassify("x"))


async def test_a_server_that_is_gone_gives_no_label():
    with pytest.raises(AskError, match="no answer from"):
        await answer("http://127.0.0.1:9", model="bot", asked=ToClassify("x"))


@pytest.mark.parametrize(("said_", "words"), [("the terrace", "the terrace"), ("", NO_ANSWER)])
async def test_a_question_is_sent_with_its_context(serve, said_: str, words: str):
    url, requests = await serve([json.dumps({"data": [{"answer": said_, "score": 0.9, "start": 3, "end": 14}]}).encode()])
    assert await answer(url, model="reader", asked=ToFind("Where?\nOn the terrace.\nAt nine.")) == words
    assert requests == [("/v1/question-answering", {"model": "reader", "question": "Where?", "context": "On the terrace.\nAt nine."})]


@pytest.mark.parametrize(
    ("asked", "body", "status", "words"),
    [
        ("Where?", b"", 200, "the model answers from a text: write the question in the first line, and the text in the lines after it"),
        ("Where?\nThere.", b'{"data": []}', 200, "does not answer /v1/question-answering"),
        ("Where?\nThere.", b'{"error": {"message": "no tokens"}}', 400, "the server answered 400: no tokens"),
    ],
)
async def test_a_question_without_an_answer_is_an_error(serve, asked: str, body: bytes, status: int, words: str):
    url, _ = await serve([body], status=status)
    with pytest.raises(AskError, match=words):
        await answer(url, model="reader", asked=ToFind(asked))
