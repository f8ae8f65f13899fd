"""Access to a model server: with a key only clients that have it, and on a loopback address no foreign `Host`.

To add a case, add a row: the header that a client sends.
"""

import http.client
from collections.abc import Iterator

import openai
import pytest
from models import TinyModel, build
from serving import Server, ready_server, start_server

KEY = "s3cret-key"
WRONG = [None, "", KEY, "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer \u00fc", f"Bearer {KEY} {KEY}"]
OURS = ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8080", "[::1]", "[::1]:8080"]
FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost@evil.example",
    "10.0.0.1",
    "",
    "[::1",
]
PATHS = ["/v1/models", "/v1/models/tiny", "/v1/completions", "/v1/chat/completions", "/v1/none", "/", "/v1//models"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build(TinyModel()).served_dir, tmp_path_factory.mktemp("server"), API_KEY=KEY) as running:
        yield running


def get(server: Server, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value.encode("utf-8"))
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("sent", WRONG)
@pytest.mark.parametrize("path", PATHS)
def test_without_the_key_requests_get_401(server: Server, path: str, sent: str | None) -> None:
    headers = {"Host": "localhost"} | ({} if sent is None else {"Authorization": sent})
    assert get(server, path, headers) == 401


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/health", "/metrics"])
def test_probes_need_no_key(server: Server, path: str) -> None:
    assert get(server, path, {"Host": "localhost"}) == 200


def test_with_the_key_all_routes_answer_and_show_the_origin(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    (model,) = client.models.list().data
    assert model.tunewright["lineage"]["uid"] == "0000"
    assert client.completions.create(model="tiny", prompt="Hello", max_tokens=1).choices
    with pytest.raises(openai.AuthenticationError) as refused:
        server.openai.models.list()
    assert refused.value.code == "invalid_api_key"
    assert KEY not in str(server.lines)


@pytest.mark.parametrize("host", OURS)
def test_names_of_this_machine_are_served(server: Server, host: str) -> None:
    assert get(server, "/v2/health/live", {"Host": host}) == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_another_host_name_gets_403(server: Server, host: str) -> None:
    assert get(server, "/v2/health/live", {"Host": host}) == 403
    assert get(server, "/v1/models", {"Host": host, "Authorization": f"Bearer {KEY}"}) == 403


@pytest.mark.parametrize("key", ["", " ", "two words", "line\n", "\u00fc"])
def test_a_key_that_no_client_can_send_is_refused_at_the_start(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with start_server(build(TinyModel()).served_dir, tmp_path_factory.mktemp("server"), API_KEY=key) as server:
        assert server.exit_code() == 64
        assert server.failure.reason == "InvalidSetting"
