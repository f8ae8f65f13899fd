"""From the first probe to the last token: refusing to start, being full, losing a client, draining, being killed."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from models import BuiltModel
from serving import Server, ready_server, start_server

from tunewright_contract import environment
from tunewright_contract.folders import MANIFEST_NAME, ModelFile, ModelManifest
from tunewright_server.http.errors import ApiError
from tunewright_server.http.state import ServerState

LONG = {"model": "tiny", "prompt": "Paris is", "max_tokens": 4000, "temperature": 0, "extra_body": {"ignore_eos": True}}
SHORT = {"model": "tiny", "prompt": "Paris is", "max_tokens": 4, "temperature": 0}


def test_the_server_needs_neither_torch_nor_transformers() -> None:
    code = "import sys, tunewright_server.__main__; print(sorted({'torch', 'transformers', 'tunewright', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("code", "reason", "variables"),
    [
        (64, "ModelFolderMissing", {"MODEL_DIR": "/nowhere"}),
        (64, "ExecutionProviderUnavailable", {"EXECUTION_PROVIDERS": "FPGA,CPU"}),
        (64, "InvalidSetting", {"MAX_SLOTS": "many"}),
        (64, "MaxLengthTooLong", {"MAX_LENGTH": "4097"}),
        (64, "AddressUnusable", {"HOST": "203.0.113.1"}),
    ],
)
def test_a_server_that_cannot_start_reports_reason_and_way_out(
    code: int, reason: str, variables: dict[str, str], tiny: BuiltModel, tmp_path: Path
) -> None:
    with start_server(tiny.served_dir, tmp_path, **variables) as server:
        assert (code, reason) == (server.exit_code(), server.failure.reason)
        assert server.failure.suggestion


def test_a_damaged_model_ends_the_server_before_it_is_ready(tiny: BuiltModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny.served_dir, folder)
    weights = (folder / "model.onnx.data").read_bytes()
    (folder / "model.onnx.data").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with start_server(folder, tmp_path) as server:
        assert (server.exit_code(), server.failure.reason) == (65, "ModelFileCorrupted")
        assert "model.onnx.data" in server.failure.message


def test_a_graph_that_is_not_the_manifests_is_refused(tiny: BuiltModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny.served_dir, folder)
    text = (folder / MANIFEST_NAME).read_text()
    (folder / MANIFEST_NAME).write_text(text.replace('"layers": 2', '"layers": 3'))
    with start_server(folder, tmp_path) as server:
        assert (server.exit_code(), server.failure.reason) == (65, "GraphMismatch")


def test_a_port_in_use_is_named_with_the_way_out(tiny: BuiltModel, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        start_server(tiny.served_dir, tmp_path, PORT=str(taken.getsockname()[1])) as server,
    ):
        assert (server.exit_code(), server.failure.reason) == (64, "PortInUse")
        assert str(taken.getsockname()[1]) in server.failure.message
        assert environment.PORT in server.failure.suggestion


def test_a_probe_distinguishes_loading_from_ready(tiny: BuiltModel, tmp_path: Path) -> None:
    with start_server(tiny.served_dir, tmp_path) as server:
        assert server.get("/v2/health/live").status_code == 200  # from the first moment
        server.logged("ready")
        assert server.get("/v2/health/ready").json() == {"ready": True}
        assert server.get("/health").status_code == 200


def test_a_loading_server_exits_at_once_on_sigterm(tiny: BuiltModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny.served_dir, folder)
    endless = ModelFile(path="more.bin", bytes=2**42, sha256="0" * 64)
    with (folder / endless.path).open("wb") as file:
        file.truncate(endless.bytes)  # all holes: it takes no room, and hours to read
    manifest = ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(manifest.model_copy(update={"files": [*manifest.files, endless]}).model_dump_json())
    with start_server(folder, tmp_path) as server:
        assert server.get("/v2/health/live").status_code == 200
        assert server.get("/v2/health/ready").status_code == 503
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


@pytest.fixture
def one_slot(tiny: BuiltModel, tmp_path: Path) -> Iterator[Server]:
    with ready_server(tiny.served_dir, tmp_path, MAX_SLOTS="1") as server:
        yield server


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait without a limit of its own; the test's timeout ends a test that waits too long."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.02)


def test_a_disconnected_client_frees_its_row(one_slot: Server) -> None:
    with one_slot.openai.completions.create(stream=True, **LONG) as stream:
        next(iter(stream))
    wait_until(lambda: one_slot.metric("vllm:num_requests_running") == 0)
    assert one_slot.metric("vllm:request_success_total") == 0
    assert one_slot.metric("vllm:generation_tokens_total") < 4000
    assert one_slot.openai.completions.create(**SHORT).usage.completion_tokens == 4


def test_a_disconnected_client_without_streaming_frees_its_row(one_slot: Server) -> None:
    with pytest.raises(openai.APITimeoutError):
        one_slot.openai.with_options(timeout=0.3).completions.create(**LONG)
    wait_until(lambda: one_slot.metric("vllm:num_requests_running") == 0)
    assert one_slot.metric("vllm:request_success_total") == 0


def test_a_full_queue_gets_429_with_retry_after(one_slot: Server) -> None:
    with contextlib.ExitStack() as streams:
        for _ in range(17):  # one has the row, by turns, and the others wait
            streams.enter_context(one_slot.openai.completions.create(stream=True, **{**LONG, "max_tokens": 1800}))
        wait_until(lambda: one_slot.metric("vllm:num_requests_waiting") == 16)
        with pytest.raises(openai.RateLimitError) as refused:
            one_slot.openai.completions.create(**SHORT)
        assert refused.value.response.headers["retry-after"] == "1"
        assert refused.value.code == "queue_full"
    wait_until(lambda: one_slot.metric("vllm:num_requests_waiting") == 0)
    assert one_slot.openai.completions.create(**SHORT).usage.completion_tokens == 4


def test_after_sigterm_requests_are_finished_and_connections_closed(one_slot: Server) -> None:
    client = one_slot.openai
    before = client.completions.with_raw_response.create(**SHORT)
    assert before.headers.get("connection") != "close"
    with client.completions.create(stream=True, **LONG) as stream:
        chunks = iter(stream)
        next(chunks)
        one_slot.signal(signal.SIGTERM)
        one_slot.logged("draining")
        assert one_slot.get("/v2/health/ready").status_code == 503
        assert one_slot.get("/v2/health/live").status_code == 200
        after = client.completions.with_raw_response.create(**SHORT)  # on the first connection, which is still open
        assert (after.status_code, after.headers["connection"]) == (200, "close")
        assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "length"
    assert one_slot.exit_code() == 0


def test_a_drained_server_accepts_no_request() -> None:
    with pytest.raises(ApiError) as refused:
        ServerState(draining=True, closed=True).open()
    assert refused.value.response.status_code == 503
    assert b"shutting_down" in refused.value.response.body


def test_requests_beyond_the_drain_limit_end_with_an_error(tiny: BuiltModel, tmp_path: Path) -> None:
    with ready_server(tiny.served_dir, tmp_path, DRAIN_SECONDS="0") as server:
        with server.openai.completions.create(stream=True, **LONG) as stream:
            chunks = iter(stream)
            next(chunks)
            server.signal(signal.SIGTERM)
            with pytest.raises(openai.APIError, match="stopping"):
                list(chunks)
        assert server.exit_code() == 0


def test_a_second_signal_ends_the_drain(one_slot: Server) -> None:
    with one_slot.openai.completions.create(stream=True, **LONG) as stream:
        chunks = iter(stream)
        next(chunks)
        one_slot.signal(signal.SIGINT)
        one_slot.logged("draining")
        one_slot.signal(signal.SIGINT)
        with pytest.raises(openai.APIError, match="stopping"):
            list(chunks)
    assert one_slot.exit_code() == 0


def test_an_idle_server_exits_at_once(one_slot: Server) -> None:
    one_slot.signal(signal.SIGTERM)
    assert one_slot.exit_code() == 0


def test_a_server_can_start_after_a_killed_one(tiny: BuiltModel, tmp_path: Path) -> None:
    with ready_server(tiny.served_dir, tmp_path) as first:
        port = first.port
        answer = first.openai.completions.create(**SHORT).choices[0].text
        first.signal(signal.SIGKILL)
        first.exit_code()
    with ready_server(tiny.served_dir, tmp_path, PORT=str(port)) as second:
        assert second.openai.completions.create(**SHORT).choices[0].text == answer


def test_the_log_is_json_without_prompts_and_answers(one_slot: Server) -> None:
    answer = one_slot.openai.completions.create(**{**SHORT, "prompt": "a very private prompt", "max_tokens": 16}).choices[0].text
    one_slot.post("/v1/completions", json={**SHORT, "prompt": "a very private prompt", "tools": ["private"]})
    one_slot.signal(signal.SIGTERM)
    one_slot.exit_code()
    assert {"listening", "ready", "request", "draining"} <= {line["message"] for line in one_slot.lines}
    assert all({"time", "level", "logger"} <= set(line) for line in one_slot.lines)
    text = str(one_slot.lines)
    assert "private" not in text
    assert answer not in text


def test_metrics_have_vllms_names(server: Server) -> None:
    before = {
        name: server.metric(name) for name in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")
    }
    answer = server.openai.completions.create(**SHORT)
    assert server.metric("vllm:prompt_tokens_total") == before["vllm:prompt_tokens_total"] + answer.usage.prompt_tokens
    assert server.metric("vllm:generation_tokens_total") == before["vllm:generation_tokens_total"] + 4
    assert server.metric("vllm:request_success_total") == before["vllm:request_success_total"] + 1
    text = server.get("/metrics").text
    for name in (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:num_preemptions_total",
        "tunewright:num_tokens_waiting",
        "tunewright:num_requests_paused",
        "tunewright:queue_timeouts_total",
        "vllm:kv_cache_usage_perc",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:request_time_per_output_token_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "vllm:request_queue_time_seconds_bucket",
        "vllm:request_prefill_time_seconds_bucket",
        "vllm:request_decode_time_seconds_bucket",
        "vllm:request_prompt_tokens_bucket",
        "vllm:request_generation_tokens_bucket",
    ):
        assert f'{name}{{model_name="tiny"' in text or f'{name}{{le="' in text
    assert 'vllm:request_success_total{finished_reason="length",model_name="tiny"}' in text
