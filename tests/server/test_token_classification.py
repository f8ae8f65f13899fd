"""`/token-classification`: entities with their place in the text, by the rule that trainer and server share for words."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from encoders import CONTEXT, TAGS, TinyEncoder, build_encoder
from hypothesis import given
from hypothesis import strategies as st
from serving import Server, ready_server, start_server
from tokenizers import Tokenizer

from tunewright_contract.words import Entity, entities, first_tokens, in_words, join_words, split_words

TAGGER = TinyEncoder(task="NamedEntityRecognition")
TEXTS = ["Paris is the capital of France.", "hello", "  A fine-tuned\tmodel, (here)\nanswers… questions!", "🙂🚀 naïve"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A tagger named `labels`, beside a classifier named `classes`."""
    home = tmp_path_factory.mktemp("server")
    shutil.copytree(build_encoder().served_dir, home / "model")
    manifest = (home / "model" / "tunewright.json").read_text().replace('"name": "labels"', '"name": "classes"')
    (home / "model" / "tunewright.json").write_text(manifest)
    folders = (build_encoder(TAGGER).served_dir, home / "model")
    with ready_server(folders[0], home, MODEL_DIR="", MODEL_DIRS=":".join(map(str, folders))) as running:
        yield running


def tag(server: Server, texts: Any, path: str = "/token-classification") -> list[list[dict[str, Any]]]:
    answer = server.post(path, json={"model": "labels", "input": texts})
    assert answer.status_code == 200, answer.text
    return [datum["entities"] for datum in answer.json()["data"]]


def by_torch(text: str) -> list[dict[str, Any]]:
    """What transformers' pipeline gives with the words of the text, joined by spaces, in its strategy `first`."""
    import torch
    from transformers import AutoModelForTokenClassification

    built = build_encoder(TAGGER)
    words = split_words(text)
    joined, spans = join_words([text[start:end] for start, end in words])
    encoded = Tokenizer.from_file(str(built.served_dir / "tokenizer.json")).encode(joined)
    model = AutoModelForTokenClassification.from_pretrained(built.torch_dir).eval()
    with torch.no_grad():
        shares = model(torch.tensor([encoded.ids])).logits[0].softmax(-1).numpy()
    firsts = first_tokens(spans, encoded.offsets)
    found = []
    for entity in entities([TAGS[shares[first].argmax()] for first in firsts]):
        start, end = words[entity.first][0], words[entity.last][1]
        score = float(np.mean([shares[first].max() for first in firsts[entity.first : entity.last + 1]]))
        found.append({"entity_group": entity.kind, "word": text[start:end], "start": start, "end": end, "score": score})
    return found


def test_the_answer_has_the_form_of_classify_and_entities_that_of_transformers(server: Server) -> None:
    answer = server.post("/token-classification", json={"model": "labels", "input": TEXTS[0]}).json()
    assert set(answer) == {"id", "object", "created", "model", "data", "usage"}
    assert answer["id"].startswith("token-classification-")
    assert (answer["object"], answer["model"], answer["usage"]["completion_tokens"]) == ("list", "labels", 0)
    assert answer["usage"]["prompt_tokens"] > 5
    (datum,) = answer["data"]
    assert (datum["index"], set(datum["entities"][0])) == (0, {"entity_group", "score", "word", "start", "end"})


@pytest.mark.parametrize("path", ["/token-classification", "/v1/token-classification"])
def test_entities_are_those_of_torch_at_their_place_in_the_text(path: str, server: Server) -> None:
    found = tag(server, TEXTS, path)
    for text, mine in zip(TEXTS, found, strict=True):
        wanted = by_torch(text)
        assert [{**each, "score": None} for each in mine] == [{**each, "score": None} for each in wanted]
        np.testing.assert_allclose([each["score"] for each in mine], [each["score"] for each in wanted], atol=1e-4)
        assert [text[each["start"] : each["end"]] for each in mine] == [each["word"] for each in mine]
    assert sum(map(len, found)) > 2  # the test would see entities that are mixed up


def test_a_text_has_the_same_entities_alone_and_among_clients(server: Server) -> None:
    alone = [tag(server, text)[0] for text in TEXTS]
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda each: tag(server, TEXTS[each % 4])[0], range(24)))
    assert found == alone * 6


def test_openais_client_reaches_the_route(server: Server) -> None:
    answer = server.openai.post("/token-classification", body={"model": "labels", "input": TEXTS[0]}, cast_to=httpx.Response)
    assert answer.json()["data"][0]["entities"] == tag(server, TEXTS[0])[0]


@pytest.mark.parametrize(
    ("path", "model", "way_out"),
    [
        ("/classify", "labels", "use POST /token-classification or /v1/token-classification"),
        ("/token-classification", "classes", "use POST /classify or /v1/classify"),
    ],
)
def test_a_route_of_another_head_says_which_to_use(path: str, model: str, way_out: str, server: Server) -> None:
    answer = server.post(path, json={"model": model, "input": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_supported")
    assert way_out in answer.json()["error"]["message"]


def test_a_tagger_is_listed_with_its_tags(server: Server) -> None:
    listed = {model["id"]: model for model in server.get("/v1/models").json()["data"]}
    assert listed["labels"]["labels"] == list(TAGS)
    assert "problem_type" not in listed["labels"]


# name -> (body, code, words of the message)
BODIES: dict[str, tuple[Any, str, str]] = {
    "nothing": ({}, "missing_required_parameter", "input is required"),
    "token ids": ({"input": [5, 6]}, "invalid_value", "input"),
    "a text that is null": ({"input": None}, "invalid_value", "input"),
    "no texts": ({"input": []}, "invalid_value", "input"),
    "an empty text": ({"input": ["hello", ""]}, "invalid_value", "the text at 1 has no words"),
    "white space": ({"input": " \n\t"}, "invalid_value", "the text at 0 has no words"),
    "half a surrogate pair": (b'{"input": "\\ud800"}', "invalid_value", "surrogate"),
    "a text that is too long": ({"input": "hello " * CONTEXT}, "context_length_exceeded", f"{CONTEXT} tokens"),
    "an immense text": ({"input": "(((((" * 500_000}, "context_length_exceeded", "characters"),
    "words of a joined text that are too many": ({"input": "!" * CONTEXT + "a"}, "context_length_exceeded", f"{CONTEXT} tokens"),
    "another way to join tokens": ({"input": "a", "aggregation_strategy": "max"}, "unsupported_parameter", "aggregation_strategy"),
    "a parameter of classify": ({"input": "a", "use_activation": False}, "unknown_parameter", "use_activation"),
    "a cut": ({"input": "a", "truncate_prompt_tokens": 5}, "unsupported_parameter", "truncate_prompt_tokens is not supported"),
    "windows": ({"input": "a", "stride": 8}, "unsupported_parameter", "stride"),
}
HARMLESS = {"user": "me", "aggregation_strategy": "first", "ignore_labels": ["O"], "stride": 0}


@pytest.mark.parametrize(("body", "code", "words"), [pytest.param(*case, id=name) for name, case in BODIES.items()])
def test_a_body_that_cannot_be_meant_is_refused_by_name(body: Any, code: str, words: str, server: Server) -> None:
    named = body if isinstance(body, bytes) else {"model": "labels", **body}
    answer = (
        server.post("/token-classification", content=named.replace(b"{", b'{"model": "labels", '))
        if isinstance(named, bytes)
        else server.post("/token-classification", json=named)
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    assert words in answer.json()["error"]["message"]


def test_what_means_nothing_here_is_taken(server: Server) -> None:
    assert server.post("/token-classification", json={"model": "labels", "input": "hello", **HARMLESS}).status_code == 200


def test_the_smoke_test_of_a_tagger_wants_an_entity(server: Server, tmp_path: Path) -> None:
    first = tag(server, TEXTS[0])[0][0]
    right = f"{first['word']} ({first['entity_group']})"
    with ready_server(build_encoder(TAGGER).served_dir, tmp_path, SMOKE_TEST=_smoke_test(right)):
        pass
    with start_server(build_encoder(TAGGER).served_dir, tmp_path, SMOKE_TEST=_smoke_test("Atlantis (LOC)")) as refused:
        assert (refused.exit_code(), refused.failure.reason) == (65, "SmokeTestFailed")
        assert right in refused.failure.message


def _smoke_test(contains: str) -> str:
    import json

    return json.dumps({"prompt": TEXTS[0], "contains": contains})


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Ada", "Lovelace", ",", "of", "London", "."], "Ada Lovelace, of London."),
        (["(", "Rhine-Ruhr", ")", "costs", "$", "3.5", "!"], " (Rhine-Ruhr)\tcosts $3.5!\n"),
        (["don't", "«", "Zoë", "»", "…"], "don't «Zoë»…"),
        (["東", "京", "へ", "GO"], "東京へ GO"),
        (["🙂", "🚀", "👩\u200d", "👧", "é\u0301"], "🙂🚀 👩\u200d👧 é\u0301"),
        (["हिन्दी", "में", "।"], "हिन्दी में।"),
        (["-", "-"], "--"),
        ([], " \n"),
    ],
)
def test_words_end_at_white_space_and_at_punctuation_around_them(words: list[str], text: str) -> None:
    assert [text[start:end] for start, end in split_words(text)] == words


@given(st.text(max_size=40))
def test_words_hold_each_visible_character_once_and_in_order(text: str) -> None:
    spans = split_words(text)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    joined, places = join_words([text[start:end] for start, end in spans])
    assert [joined[start:end] for start, end in places] == [text[start:end] for start, end in spans]
    assert split_words(joined) == places  # so a text that was trained is read again as it was


@pytest.mark.parametrize(
    ("found", "tags"),
    [
        ([("PER", 0, 1), ("LOC", 3, 3)], ["B-PER", "I-PER", "O", "B-LOC"]),
        ([("PER", 0, 0), ("PER", 1, 1)], ["B-PER", "B-PER"]),
        ([("PER", 1, 1), ("LOC", 2, 2)], ["O", "I-PER", "I-LOC"]),
        ([], ["O", "O"]),
        ([], []),
    ],
)
def test_entities_are_read_from_tags_as_transformers_does(found: list[tuple[str, int, int]], tags: list[str]) -> None:
    assert entities(tags) == [Entity(*each) for each in found]


def test_entities_are_written_for_a_person() -> None:
    assert in_words([("Ada Lovelace", "PER"), ("London", "LOC")]) == "Ada Lovelace (PER), London (LOC)"
    assert in_words([]) == "no entities"
