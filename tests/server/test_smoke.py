"""The smoke test: a server with a wrong answer is never ready, and reports the reason."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from models import BuiltModel
from serving import Server, ready_server, start_server

from tunewright_contract.fenced import Fence
from tunewright_contract.smoke_test import SmokeTest
from tunewright_server.engine.request import Failed, FinishReason, GenerationRequest, Lengths, Progress
from tunewright_server.refusal import RefusalError
from tunewright_server.text.chat_template import ChatTemplate
from tunewright_server.trial import ask

QUESTION = "Where is the Eiffel Tower?"


def question(**changes: Any) -> str:
    return SmokeTest(**{"prompt": QUESTION, "max_tokens": 8} | changes).model_dump_json(exclude_none=True)


@pytest.fixture(scope="module")
def answer(server: Server) -> str:
    """Return the model's greedy answer through the API."""
    made = server.openai.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": QUESTION}], max_tokens=8, temperature=0
    )
    said = (made.choices[0].message.content or "").strip()
    assert said
    return said


def test_a_server_with_the_expected_answer_is_ready(answer: str, tiny: BuiltModel, tmp_path: Path) -> None:
    with ready_server(tiny.served_dir, tmp_path, SMOKE_TEST=question(contains=answer)) as server:
        assert server.get("/v2/health/ready").status_code == 200


def test_a_server_with_another_answer_fails_and_reports_it(answer: str, tiny: BuiltModel, tmp_path: Path) -> None:
    with start_server(tiny.served_dir, tmp_path, SMOKE_TEST=question(contains="in Paris, of course")) as server:
        assert (server.exit_code(), server.failure.reason) == (65, "SmokeTestFailed")
        assert "in Paris, of course" in server.failure.message
        assert repr(answer)[1:-1] in server.failure.message
        assert "serving.smokeTest" in server.failure.suggestion
        assert not any(line["message"] == "ready" for line in server.lines)


@dataclass
class Parrot:
    """An engine with a given answer."""

    says: tuple[str, ...]
    lengths: Lengths = Lengths.shared(32)  # noqa: RUF009 - it is frozen
    asked: list[GenerationRequest] = field(default_factory=list)

    def submit(self, request: GenerationRequest, deliver: Any) -> None:
        self.asked.append(request)
        for number, text in enumerate(self.says, start=1):
            if text == "!":
                deliver(Failed("the graph broke"))
                return
            finish = FinishReason.STOP if number == len(self.says) else None
            deliver(Progress(token=7, text=text, tokens=number, finish=finish))


class Letters:
    """A tokenizer of which every letter is a token."""

    fence = Fence([])

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(map(ord, text))


def put(engine: Parrot, *, template: str | None = None, task: str = "ChatCompletion", **test: Any) -> None:
    manifest: Any = SimpleNamespace(task=task, eos_token_ids=[2])
    made = None if template is None else ChatTemplate(template, {})
    ask(SmokeTest(**{"prompt": "Hi"} | test), engine, manifest, Letters(), made)  # type: ignore[arg-type]


@pytest.mark.parametrize("test", [{}, {"contains": "PARIS"}, {"contains": "in paris"}], ids=["any", "another case", "across tokens"])
def test_answers_that_pass(test: dict[str, Any]) -> None:
    put(Parrot((" in ", "Paris")), **test)


@pytest.mark.parametrize(
    ("expected", "engine", "test"),
    [
        ("answered nothing", Parrot((" ", "\n")), {}),
        ("does not hold 'Rome'", Parrot(("Paris",)), {"contains": "Rome"}),
        ("has 40 tokens", Parrot(("x",)), {"prompt": "x" * 40}),
        ("template refuses the question: no users", Parrot(("x",)), {"template": "{{ raise_exception('no users') }}"}),
        ("'" + "y" * 200 + "…'", Parrot(("y" * 300,)), {"contains": "z"}),
    ],
    ids=["nothing", "something else", "too long a question", "a template that refuses", "a long answer is cut"],
)
def test_answers_that_fail(expected: str, engine: Parrot, test: dict[str, Any]) -> None:
    with pytest.raises(RefusalError) as refused:
        put(engine, **test)
    assert (refused.value.reason, int(refused.value.exit_code)) == ("SmokeTestFailed", 65)
    assert expected in str(refused.value)


def test_a_failing_engine_is_reported_as_such() -> None:
    with pytest.raises(RefusalError, match="the graph broke") as refused:
        put(Parrot(("a", "!")))
    assert refused.value.reason == "SelfTestFailed"


@pytest.mark.parametrize(
    ("text", "how"),
    [
        pytest.param("<Hi>", {"template": "<{{ messages[0].content }}>"}, id="through the chat template"),
        pytest.param("Hi", {"template": "<{{ messages }}>", "task": "TextGeneration"}, id="as text to go on from"),
        pytest.param("Hi", {}, id="as text where there is no template"),
    ],
)
def test_requests_of_the_smoke_test(text: str, how: dict[str, Any]) -> None:
    engine = Parrot(("x",))
    put(engine, **how, max_tokens=64)
    (request,) = engine.asked
    assert "".join(map(chr, request.prompt)) == text
    assert request.sampling.temperature == 0
    assert request.max_tokens == 32 - len(text)  # as much as fits
    assert request.stop_token_ids == frozenset({2})
