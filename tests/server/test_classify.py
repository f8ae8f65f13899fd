"""`/classify` in the shape of vLLM, from one process that also has a decoder, over real sockets."""

import contextlib
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from encoders import LABELS, TinyEncoder, build_encoder
from models import BuiltModel
from serving import Server, ready_server, start_server
from tokenizers import Tokenizer

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import MANIFEST_NAME, EncoderGraph, ModelManifest
from tunewright_server.graph_kinds import GRAPH_KINDS

TEXTS = ["Paris is the capital of France.", "hello", "a fine-tuned model answers questions", "🙂🚀"]
MULTI = TinyEncoder(task="MultiLabelClassification")


@pytest.fixture(scope="module")
def server(tiny: BuiltModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A decoder named `tiny`, and two encoders: `labels`, and `several` of which several labels may hold at once."""
    home = tmp_path_factory.mktemp("several")
    shutil.copytree(build_encoder(MULTI).served_dir, home / "model")
    manifest = json.loads((home / "model" / MANIFEST_NAME).read_text())
    (home / "model" / MANIFEST_NAME).write_text(json.dumps({**manifest, "name": "several"}))
    folders = (build_encoder().served_dir, tiny.served_dir, home / "model")
    with ready_server(tiny.served_dir, home, MODEL_DIR="", MODEL_DIRS=":".join(map(str, folders))) as running:
        yield running


@pytest.fixture(scope="module")
def logits() -> list[np.ndarray]:
    """Those of `TEXTS` by torch, each alone."""
    import torch
    from transformers import AutoModelForSequenceClassification

    built = build_encoder()
    tokenizer = Tokenizer.from_file(str(built.served_dir / "tokenizer.json"))
    model = AutoModelForSequenceClassification.from_pretrained(built.torch_dir).eval()
    with torch.no_grad():
        return [model(torch.tensor([tokenizer.encode(text).ids])).logits[0].numpy() for text in TEXTS]


def classify(server: Server, path: str = "/classify", **body: object) -> dict:
    answer = server.post(path, json={"model": "labels", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def softmax(values: np.ndarray) -> np.ndarray:
    shares = np.exp(values - values.max())
    return shares / shares.sum()


def test_the_answer_has_the_shape_of_vllm(server: Server, logits: list[np.ndarray]) -> None:
    answer = classify(server, input=TEXTS[0])
    tokens = len(Tokenizer.from_file(str(build_encoder().served_dir / "tokenizer.json")).encode(TEXTS[0]).ids)
    datum = answer["data"][0]
    assert set(answer) == {"id", "object", "created", "model", "data", "usage"}
    assert (answer["object"], answer["model"], len(answer["data"])) == ("list", "labels", 1)
    assert answer["id"].startswith("classify-")
    assert (datum["index"], datum["label"], datum["num_classes"]) == (0, LABELS[int(logits[0].argmax())], 3)
    assert {name: answer["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": tokens,
        "completion_tokens": 0,
        "total_tokens": tokens,
    }


def test_several_texts_are_answered_in_their_order_with_the_numbers_of_torch(server: Server, logits: list[np.ndarray]) -> None:
    data = classify(server, input=TEXTS)["data"]
    assert [each["index"] for each in data] == [0, 1, 2, 3]
    assert [each["label"] for each in data] == [LABELS[int(each.argmax())] for each in logits]
    np.testing.assert_allclose([each["probs"] for each in data], [softmax(each) for each in logits], atol=1e-4)
    assert len({each["label"] for each in data}) > 1  # the test would see labels that are mixed up


def test_a_text_has_the_same_probabilities_alone_and_among_clients(server: Server) -> None:
    alone = [classify(server, input=text)["data"][0]["probs"] for text in TEXTS]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda each: classify(server, input=TEXTS[each % 4])["data"][0]["probs"], range(40)))
    assert answers == alone * 10


def test_without_activation_the_logits_are_returned(server: Server, logits: list[np.ndarray]) -> None:
    data = classify(server, input=TEXTS, use_activation=False)["data"]
    np.testing.assert_allclose([each["probs"] for each in data], logits, atol=1e-4)


def test_labels_that_may_hold_together_have_a_probability_each(server: Server) -> None:
    answer = server.post("/classify", json={"model": "several", "input": TEXTS}).json()["data"]
    raw = server.post("/classify", json={"model": "several", "input": TEXTS, "use_activation": False}).json()["data"]
    expected = [[1 / (1 + np.exp(-logit)) for logit in each["probs"]] for each in raw]
    np.testing.assert_allclose([each["probs"] for each in answer], expected, atol=1e-6)
    assert any(abs(sum(each["probs"]) - 1) > 0.01 for each in answer)
    names = {model["id"]: model for model in server.get("/v1/models").json()["data"]}["several"]["labels"]
    assert [each["labels"] for each in answer] == [
        [name for name, share in zip(names, each["probs"], strict=True) if share > 0.5] for each in answer
    ]
    assert "labels" not in classify(server, input=TEXTS[0])["data"][0]


@pytest.mark.parametrize("path", ["/classify", "/v1/classify"])
def test_token_ids_are_taken_as_they_are(path: str, server: Server) -> None:
    ids = Tokenizer.from_file(str(build_encoder().served_dir / "tokenizer.json")).encode(TEXTS[0]).ids
    expected = classify(server, path, input=TEXTS[0])["data"][0]["probs"]
    assert classify(server, path, input=ids)["data"][0]["probs"] == expected
    assert [each["probs"] for each in classify(server, path, input=[ids, ids])["data"]] == [expected] * 2


def test_openais_client_reaches_the_route(server: Server) -> None:
    answer = server.openai.post("/classify", body={"model": "labels", "input": TEXTS[0]}, cast_to=httpx.Response)
    assert answer.json()["data"][0]["label"] in LABELS


@pytest.mark.parametrize(
    ("path", "model", "way_out"),
    [
        ("/classify", "tiny", "use POST /v1/chat/completions or /v1/completions"),
        ("/v1/completions", "labels", "use POST /classify or /v1/classify"),
        ("/v1/chat/completions", "labels", "use POST /classify or /v1/classify"),
    ],
)
def test_a_route_of_another_kind_of_model_says_which_to_use(path: str, model: str, way_out: str, server: Server) -> None:
    body = {"prompt": "a"} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "a"}]} if "chat" in path else {}
    answer = server.post(path, json={"model": model, **(body or {"input": "a"})})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_supported")
    assert way_out in answer.json()["error"]["message"]


def test_a_task_is_answered_on_routes_that_its_kind_of_graph_has() -> None:
    missing = {name: set(task.routes) - set(GRAPH_KINDS[task.graph].routes) for name, task in TASKS.items() if task.routes}
    assert {name: paths for name, paths in missing.items() if paths} == {}
    assert {path for kind in GRAPH_KINDS.values() for path in kind.routes} == {path for task in TASKS.values() for path in task.routes}


def test_models_are_listed_with_their_labels(server: Server) -> None:
    listed = {model["id"]: model for model in server.get("/v1/models").json()["data"]}
    assert list(listed) == ["labels", "tiny", "several"]
    assert (listed["labels"]["labels"], listed["labels"]["problem_type"]) == (list(LABELS), "single_label_classification")
    assert listed["several"]["problem_type"] == "multi_label_classification"
    assert "labels" not in listed["tiny"]


def test_texts_are_counted_under_vllms_names(server: Server) -> None:
    def count(name: str) -> float:
        lines = server.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{") and 'model_name="labels"' in line)

    names = ("vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:e2e_request_latency_seconds_count")
    before = [count(name) for name in names]
    usage = classify(server, input=TEXTS)["usage"]
    after = [count(name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [4, usage["prompt_tokens"], 4]
    assert count("tunewright:encoder_runs_total") > 0
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "tunewright:queue_timeouts_total"):
        assert f'{name}{{model_name="labels"}}' in server.get("/metrics").text


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Server]:
    with ready_server(build_encoder().served_dir, tmp_path, API_KEY="secret") as server:
        yield server


KEY = {"Authorization": "Bearer secret"}


def test_one_model_need_not_be_named_and_the_key_is_needed(alone: Server) -> None:
    assert alone.post("/classify", json={"input": "hello"}, headers=KEY).json()["model"] == "labels"
    assert alone.post("/classify", json={"input": "hello"}).status_code == 401
    assert alone.post("/v1/classify", json={"input": "hello"}).status_code == 401


def test_sigterm_finishes_texts_that_wait(alone: Server) -> None:
    """A thousand texts are under way when the signal comes."""
    with ThreadPoolExecutor(1) as client:
        body = {"input": ["a fine-tuned model answers questions " * 4] * 1000}
        asked = client.submit(alone.post, "/classify", json=body, headers=KEY)
        pause = threading.Event()
        while not asked.done() and alone.metric("vllm:num_requests_waiting") == 0:
            pause.wait(0.01)
        alone.signal(signal.SIGTERM)
        answer = asked.result()
    assert (answer.status_code, len(answer.json()["data"])) == (200, 1000)
    assert alone.exit_code() == 0


def test_a_client_that_leaves_takes_its_texts_out_of_the_queue(alone: Server) -> None:
    body = {"input": [[4 + index % 600] * 128 for index in range(1000)]}
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(f"{alone.url}/classify", json=body, headers=KEY, timeout=0.1)
    pause = threading.Event()
    while alone.metric("vllm:num_requests_waiting"):
        pause.wait(0.02)
    assert alone.metric("vllm:request_success_total") == 0
    assert alone.post("/classify", json={"input": "hello"}, headers=KEY).status_code == 200


def label_of(server: Server, text: str) -> str:
    return server.post("/classify", json={"input": text}).json()["data"][0]["label"]


def test_the_smoke_test_of_a_classifier_wants_a_label(server: Server, tmp_path: Path) -> None:
    right = classify(server, input="hello")["data"][0]["label"]
    wrong = next(label for label in LABELS if label != right)
    with ready_server(build_encoder().served_dir, tmp_path, SMOKE_TEST=json.dumps({"prompt": "hello", "contains": right.upper()})) as ready:
        assert label_of(ready, "hello") == right
    with start_server(build_encoder().served_dir, tmp_path, SMOKE_TEST=json.dumps({"prompt": "hello", "contains": wrong})) as refused:
        assert (refused.exit_code(), refused.failure.reason) == (65, "SmokeTestFailed")
        assert f"answers 'hello' with {right!r}, which does not contain {wrong!r}" in refused.failure.message


@pytest.mark.parametrize(
    ("code", "reason", "variables"),
    [
        (64, "MaxLengthTooLong", {"MAX_LENGTH": "129"}),
        (65, "SmokeTestFailed", {"MAX_LENGTH": "2", "SMOKE_TEST": '{"prompt": "a long text that does not fit"}'}),
    ],
)
def test_an_encoder_that_cannot_start_says_why(code: int, reason: str, variables: dict[str, str], tmp_path: Path) -> None:
    with start_server(build_encoder().served_dir, tmp_path, **variables) as server:
        assert (server.exit_code(), server.failure.reason) == (code, reason)


def test_a_graph_with_other_labels_than_the_manifest_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(build_encoder().served_dir, folder)
    manifest = ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_text())
    assert isinstance(manifest.graph, EncoderGraph)
    head = manifest.graph.head.model_copy(update={"labels": ["no", "yes"]})
    changed = manifest.model_copy(update={"graph": manifest.graph.model_copy(update={"head": head})})
    (folder / MANIFEST_NAME).write_text(changed.model_dump_json())
    with start_server(folder, tmp_path) as server:
        assert (server.exit_code(), server.failure.reason) == (65, "GraphMismatch")
