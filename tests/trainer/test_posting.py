"""Delivery of progress reports: after a standby's 503 the report is sent again, otherwise not, and training never waits."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from lazily import lazily
from waiting import until

from tunewright_contract.progress import ProgressReport
from tunewright_trainer.tuning.posting import TRIES, Poster

reporting = lazily("tunewright_trainer.tuning.progress")
transformers = lazily("transformers")


class Operators(ThreadingHTTPServer):
    """Several behind one address: each connection meets the next of them, who gives its answer; the last answer stays."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers = [200]
        self.connections: list[object] = []
        self.heard: list[tuple[int, ProgressReport]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def get_request(self):
        connection = super().get_request()
        self.connections.append(connection[1])
        return connection

    def load_universal(self) -> list[int | None]:
        return [report.trainer_status.progress_percentage for status, report in self.heard if status == 200]

    def statuses(self) -> list[int]:
        return [status for status, _ in self.heard]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # leaves a connection open, unless its client has it closed

    def do_POST(self) -> None:
        operators = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operators.may_answer.wait(60)
        assert self.headers["Authorization"] == "Bearer the token"
        status = operators.answers.pop(0) if len(operators.answers) > 1 else operators.answers[0]
        operators.heard.append((status, ProgressReport.model_validate_json(body)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def operators() -> Iterator[Operators]:
    with Operators() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.may_answer.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def poster(operators: Operators, tmp_path: Path) -> Poster:
    (tmp_path / "token").write_text("the token\n")
    return Poster(f"http://127.0.0.1:{operators.server_port}/status", tmp_path / "token")


@pytest.fixture
def progress(poster: Poster, monkeypatch: pytest.MonkeyPatch) -> "reporting.ProgressCallback":
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "http://somewhere")
    return reporting.ProgressCallback(poster)


def run(progress: "reporting.ProgressCallback", steps: int, *, of: int = 10, during=lambda _: None) -> None:
    """Train: the calls of transformers, with a checkpoint after each step, which is reported in spite of a recent report."""
    state = transformers.TrainerState(max_steps=of, is_world_process_zero=True)
    arguments, control = SimpleNamespace(spec=transformers.TrainingArguments), transformers.TrainerControl()
    progress.on_train_begin(arguments, state, control)
    for step in range(1, steps + 1):
        state.global_step = step
        progress.on_log(arguments, state, control, logs={"loss": 1.5})
        progress.on_step_end(arguments, state, control)
        progress.on_save(arguments, state, control)
        during(step)
    progress.on_train_end(arguments, state, control)


@pytest.mark.parametrize(
    ("heard", "answers"),
    [
        ([503, 503, 200], [503, 503, 200]),
        ([503] * TRIES, [503]),
        ([429], [429]),
        ([403], [403]),
        ([503, 404], [503, 404]),
    ],
    ids=["two of three stand by", "all stand by", "too often", "not ours", "gone meanwhile"],
)
def test_only_a_503_is_retried_each_time_on_a_new_connection(operators, poster, heard, answers) -> None:
    operators.answers = answers
    poster.post(b'{"trainerStatus": {"progressPercentage": 40}}')
    poster.close()
    assert operators.statuses() == heard
    assert len(set(operators.connections)) == len(heard)


def test_training_continues_without_an_answer_and_the_newest_report_is_sent_next(operators, progress) -> None:
    operators.may_answer.clear()

    def hold_the_first(step: int) -> None:
        if step == 1:
            until(lambda: operators.connections, "a report is on its way")
        if step == 9:
            operators.may_answer.set()

    run(progress, 9, during=hold_the_first)
    assert operators.load_universal()[1:] in ([90], [90, 90])


@pytest.mark.parametrize(("percent", "steps"), [(100, 10), (40, 4)], ids=["done", "stopped"])
def test_the_last_report_is_sent_before_training_ends(operators, progress, percent, steps) -> None:
    operators.answers = [503, 200, 503, 200]
    run(progress, steps)
    assert operators.load_universal()[-1] == percent


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_in_the_environment_gets_no_report(operators, poster, monkeypatch, variable) -> None:
    """A proxy of the organisation does not reach a Service of the cluster, and would keep the report."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Operators() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.server_port}")
        poster.post(b'{"trainerStatus": {"progressPercentage": 40}}')
        poster.close()
        proxy.shutdown()
    assert (operators.load_universal(), proxy.connections) == ([40], [])


def test_the_last_report_is_repeated_until_training_ends(operators, tmp_path) -> None:
    (tmp_path / "token").write_text("the token\n")
    poster = Poster(f"http://127.0.0.1:{operators.server_port}/status", tmp_path / "token", heartbeat_seconds=0.05)
    poster.post(b'{"trainerStatus": {"progressPercentage": 40}}')
    until(lambda: len(operators.heard) >= 3, "the report is repeated")
    poster.close()
    assert not poster._thread.is_alive()
    assert set(operators.load_universal()) == {40}


def test_an_unreadable_token_loses_only_the_report(operators, poster, tmp_path, caplog) -> None:
    (tmp_path / "token").rename(tmp_path / "away")
    with caplog.at_level("DEBUG"):
        poster.post(b"{}")
        poster.close()
    assert "is lost" in caplog.text
    assert operators.heard == []


def test_a_report_after_one_that_was_lost_is_sent(operators, poster) -> None:
    operators.answers = [403, 200]
    poster.post(b'{"trainerStatus": {"progressPercentage": 1}}')
    until(lambda: operators.statuses() == [403], "the first is refused")
    poster.post(b'{"trainerStatus": {"progressPercentage": 2}}')
    poster.close()
    assert operators.load_universal() == [2]


@pytest.mark.parametrize(("trained", "pause"), [(0, 2.0), (20, 2.0), (50, 5.0), (100, 10.0), (86_400, 10.0)])
def test_the_longer_a_training_takes_the_fewer_reports_it_sends(trained, pause):
    assert reporting.pause_after(trained) == pause
