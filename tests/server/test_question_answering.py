"""`/question-answering`: answers with their characters in the context, those of torch, over real sockets."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from questions import CONTEXT, QUESTION, word_pieces
from readers import LENGTH, STRIDE, build_reader
from serving import Server, ready_server, start_server

from tunewright_contract.folders import MANIFEST_NAME
from tunewright_contract.questions import AnswerSpan, find_answers, windows_of

SHORT = "The oak planks and the box of nails."
PAIRS = [(QUESTION, CONTEXT), ("Where is the box?", SHORT), (QUESTION, SHORT), ("of nails", CONTEXT[:97])]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`reader`, trained on questions that all have an answer, and `doubter`, trained on others, too."""
    home = tmp_path_factory.mktemp("several")
    shutil.copytree(build_reader(no_answer=True).served_dir, home / "model")
    manifest = json.loads((home / "model" / MANIFEST_NAME).read_text())
    (home / "model" / MANIFEST_NAME).write_text(json.dumps({**manifest, "name": "doubter"}))
    folders = (build_reader().served_dir, home / "model")
    with ready_server(build_reader().served_dir, home, MODEL_DIR="", MODEL_DIRS=":".join(map(str, folders))) as running:
        yield running


@pytest.fixture(scope="module")
def expected() -> dict[bool, list[list[AnswerSpan]]]:
    """The answers to `PAIRS` by torch, each window alone, without and with "no answer"."""
    import torch
    from transformers import BertForQuestionAnswering

    model = BertForQuestionAnswering.from_pretrained(build_reader().torch_dir).eval()
    found: dict[bool, list[list[AnswerSpan]]] = {False: [], True: []}
    for question, context in PAIRS:
        windows = windows_of(word_pieces(), question, context, length=LENGTH, stride=STRIDE)
        sides = []
        for window in windows:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([window.tokens]), token_type_ids=torch.tensor([window.types]))
            sides.append((logits.start_logits[0].tolist(), logits.end_logits[0].tolist()))
        for no_answer, answers in found.items():
            answers.append(find_answers(context, windows, sides, no_answer=no_answer))
    return found


def ask(server: Server, path: str = "/question-answering", **body: object) -> dict:
    answer = server.post(path, json={"model": "reader", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/question-answering", "/v1/question-answering"])
def test_an_answer_has_the_fields_of_the_pipeline(server: Server, path: str, expected: dict) -> None:
    answer = ask(server, path, question=QUESTION, context=CONTEXT)
    datum, best = answer["data"][0], expected[False][0][0]
    tokens = sum(len(window.tokens) for window in windows_of(word_pieces(), QUESTION, CONTEXT, length=LENGTH, stride=STRIDE))
    assert (answer["object"], answer["model"], len(answer["data"])) == ("list", "reader", 1)
    assert answer["id"].startswith("question-")
    assert (datum["index"], datum["answer"], datum["start"], datum["end"], datum["alternatives"]) == (
        0,
        best.text,
        best.start,
        best.end,
        [],
    )
    assert datum["score"] == pytest.approx(best.score, rel=1e-3)
    assert CONTEXT[datum["start"] : datum["end"]] == datum["answer"]
    assert answer["usage"]["prompt_tokens"] == tokens > LENGTH


@pytest.mark.parametrize("model", ["reader", "doubter"])
def test_several_pairs_are_answered_in_their_order_as_torch_answers(server: Server, model: str, expected: dict) -> None:
    data = ask(server, model=model, input=[{"question": q, "context": c} for q, c in PAIRS])["data"]
    assert [each["index"] for each in data] == [0, 1, 2, 3]
    assert [each["answer"] for each in data] == [answers[0].text for answers in expected[model == "doubter"]]
    assert len({each["answer"] for each in data}) > 1  # the test would see answers that are mixed up


def test_the_request_decides_about_no_answer(server: Server, expected: dict) -> None:
    for model in ("reader", "doubter"):
        for no_answer in (False, True):
            found = ask(server, model=model, question=QUESTION, context=CONTEXT, handle_impossible_answer=no_answer, top_k=20)["data"][0]
            answers = [found["answer"], *(other["answer"] for other in found["alternatives"])]
            assert answers == [answer.text for answer in expected[no_answer][0]]
            assert ("" in answers) is no_answer


def test_more_answers_are_alternatives_the_likeliest_first(server: Server, expected: dict) -> None:
    found = ask(server, question=QUESTION, context=CONTEXT, top_k=5)["data"][0]
    every = [found, *found["alternatives"]]
    assert [each["answer"] for each in every] == [answer.text for answer in expected[False][0][:5]]
    assert [each["score"] for each in every] == sorted((each["score"] for each in every), reverse=True)


def test_an_answer_has_at_most_so_many_tokens(server: Server) -> None:
    found = ask(server, question="Where is the box?", context=SHORT, max_answer_len=1, top_k=20)["data"][0]
    assert {each["answer"] for each in (found, *found["alternatives"])} <= {
        "The",
        "oak",
        "plank",
        "s",
        "and",
        "the",
        "box",
        "of",
        "nails",
        ".",
    }


def test_an_answer_does_not_depend_on_the_load(server: Server) -> None:
    alone = [ask(server, question=question, context=context, top_k=3)["data"] for question, context in PAIRS]
    with ThreadPoolExecutor(8) as clients:
        every = list(clients.map(lambda at: ask(server, question=PAIRS[at % 4][0], context=PAIRS[at % 4][1], top_k=3)["data"], range(24)))
    assert every == alone * 6


def test_the_models_and_their_windows_are_listed(server: Server) -> None:
    listed = {each["id"]: each for each in server.get("/v1/models").json()["data"]}
    assert (listed["reader"]["doc_stride"], listed["reader"]["no_answer"], listed["doubter"]["no_answer"]) == (STRIDE, False, True)


def test_shorter_windows_of_the_server_overlap_by_a_quarter(tmp_path: Path) -> None:
    with ready_server(build_reader().served_dir, tmp_path, MAX_LENGTH="20") as server:
        assert ask(server, question="Where is the box?", context=CONTEXT)["data"][0]["answer"]
        assert server.get("/v1/models").json()["data"][0]["doc_stride"] == 5


@pytest.mark.parametrize(
    ("prompt", "contains", "words"),
    [
        (f"Where is the box?\n{SHORT}", "a text that is not there", "does not contain 'a text that is not there'"),
        ("Where is the box?", "box", "the first line of the prompt must be the question, and the lines after it the context"),
    ],
)
def test_a_smoke_test_is_a_question_above_its_context(tmp_path: Path, prompt: str, contains: str, words: str) -> None:
    test = json.dumps({"prompt": prompt, "contains": contains})
    with start_server(build_reader().served_dir, tmp_path, SMOKE_TEST=test) as server:
        assert server.exit_code() == 65
        assert words in server.failure.message
