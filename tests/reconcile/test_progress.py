"""The progress endpoint: Kubeflow Trainer's protocol, its refusals, and the client that transformers ships."""

from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tunewright.reconcile.progress import Board, Limits, application
from tunewright_contract.progress import ProgressReport
from tunewright_runtime.errors import Gone, Transient
from tunewright_runtime.objects import Key

KEY = Key("default", "demo")
URL = "/apis/tunewright.io/v1alpha1/namespaces/default/finetunejobs/demo/status"
REPORT = {
    "trainerStatus": {"progressPercentage": 40, "metrics": [{"name": "loss", "value": "1.5"}], "lastUpdatedTime": "2026-01-02T03:04:05Z"}
}


@pytest.mark.parametrize(
    ("pauses", "arrivals"),
    [
        ([0.0], [100.0]),  # the first is shown at once
        ([0.0, 14.0, 10.0, 1.0], [100.0, 101.0, 105.0, 114.0]),
        ([0.0, 14.0, 0.0], [100.0, 101.0, 130.0]),
        ([0.0, 0.0, 14.0], [100.0, 150.0, 151.0]),
        ([0.0, 0.0, 19.0], [100.0, 300.0, 301.0]),  # a job that trains longer: a tenth of that time
        ([0.0, 0.0, 29.0], [100.0, 3700.0, 3701.0]),
    ],
)
def test_status_shows_the_first_report_at_once_and_then_one_in_fifteen_to_thirty_seconds(pauses, arrivals):
    board = Board()
    assert [round(board.pause(KEY, now=now, least=15.0, most=30.0)) for now in arrivals] == pauses
    board.forget(KEY)
    assert board.pause(KEY, now=arrivals[-1], least=15.0, most=30.0) == 0.0


class Gate:
    async def authenticate(self, key: Key, token: str) -> str | None:
        if key != KEY:
            raise Gone("no such job")
        if token == "unclear":
            raise Transient("no answer from the API server")
        return "uid-1" if token == "right" else None


@pytest.fixture
async def endpoint():
    board, woken = Board(), []
    async with TestClient(TestServer(application(board, Gate(), wake=woken.append))) as client:
        yield client, board, woken


@pytest.mark.parametrize(
    ("status", "url", "token", "body"),
    [
        (200, URL, "right", REPORT),
        (200, URL, "right", REPORT | {"somebody": "else's field"}),
        (403, URL, "wrong", REPORT),
        (403, URL, "", REPORT),
        (503, URL, "unclear", REPORT),
        (404, URL.replace("demo", "other"), "right", REPORT),
        (404, URL.replace("tunewright.io", "example.org"), "right", REPORT),
        (422, URL, "right", {"trainerStatus": {"progressPercentage": 101}}),
        (422, URL, "right", {"trainerStatus": {"metrics": [{"name": "loss", "value": 1.5}]}}),
        (422, URL, "right", {}),
        (422, URL, "right", "not even JSON"),
        (413, URL, "right", {"trainerStatus": {}, "padding": "x" * 70_000}),
    ],
    ids=[
        "accepted",
        "unknown fields",
        "wrong token",
        "no token",
        "nobody can tell whose token",
        "unknown job",
        "unknown group",
        "over 100 %",
        "number for text",
        "empty",
        "no JSON",
        "too long",
    ],
)
async def test_reports_are_accepted_or_refused(endpoint, status, url, token, body):
    client, board, woken = endpoint
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await client.post(url, headers=headers, **({"data": body} if isinstance(body, str) else {"json": body}))
    assert answer.status == status
    report = board.latest(KEY, "uid-1")
    if status == 200:
        assert report is not None
        assert report.trainer_status.progress_percentage == 40
        assert woken == [KEY]
    else:
        assert report is None
        assert woken == []


async def test_a_refused_report_keeps_the_earlier_one(endpoint):
    client, board, _ = endpoint
    headers = {"Authorization": "Bearer right"}
    await client.post(URL, headers=headers, json=REPORT)
    await client.post(URL, headers=headers, json={"trainerStatus": {"progressPercentage": -1}})
    assert board.latest(KEY, "uid-1").trainer_status.progress_percentage == 40


async def test_a_refusal_names_the_wrong_field(endpoint):
    client, _, _ = endpoint
    answer = await client.post(URL, headers={"Authorization": "Bearer right"}, json={"trainerStatus": {"progressPercentage": 101}})
    assert "progressPercentage" in (await answer.json())["message"]


async def test_a_successor_of_the_same_name_starts_without_progress(endpoint):
    client, board, _ = endpoint
    await client.post(URL, headers={"Authorization": "Bearer right"}, json=REPORT)
    assert board.latest(KEY, "uid-2") is None
    board.forget(KEY)
    assert board.latest(KEY, "uid-1") is None


async def test_a_client_that_reports_too_often_gets_retry_after():
    now, asked = [0.0], []

    class Counting(Gate):
        async def authenticate(self, key: Key, token: str) -> str | None:
            asked.append(token)
            return await super().authenticate(key, token)

    app = application(Board(), Counting(), wake=lambda _: None, limits=Limits(clock=lambda: now[0]))
    async with TestClient(TestServer(app)) as client:

        async def post() -> int:
            return (await client.post(URL, json=REPORT, headers={"Authorization": "Bearer right"})).status

        assert [await post() for _ in range(20)] == [200] * 20
        refused = await client.post(URL, json=REPORT, headers={"Authorization": "Bearer right"})
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert len(asked) == 20  # no token was reviewed
        now[0] = 0.5
        assert [await post(), await post()] == [200, 429]
        now[0] = 1000.0
        other = URL.replace("demo", "other")
        codes = [(await client.post(other, json=REPORT, headers={"Authorization": "Bearer x"})).status for _ in range(21)]
        assert codes == [404] * 20 + [429]
        assert await post() == 200  # another job of the same address


def job_url(number: int) -> str:
    return URL.replace("demo", f"demo-{number}")


class Open(Gate):
    """Sixty jobs, whose tokens are all right but one."""

    async def authenticate(self, key: Key, token: str) -> str | None:
        return "uid-1" if token == "right" else None


async def test_sixty_jobs_behind_one_address_lose_no_report():
    """As behind a NAT or an egress gateway: each reports every two seconds, for two minutes."""
    now, board = [0.0], Board()
    app = application(board, Open(), wake=lambda _: None, limits=Limits(clock=lambda: now[0]))
    async with TestClient(TestServer(app)) as client:
        for _ in range(20):
            for number in range(60):
                answer = await client.post(job_url(number), json=REPORT, headers={"Authorization": "Bearer right"})
                assert answer.status == 200
            now[0] += 2.0


async def test_refused_reports_are_limited_by_address_and_do_not_delay_jobs_that_were_accepted():
    now = [0.0]
    app = application(Board(), Open(), wake=lambda _: None, limits=Limits(clock=lambda: now[0]))
    async with TestClient(TestServer(app)) as client:

        async def post(number: int, token: str) -> int:
            return (await client.post(job_url(number), json=REPORT, headers={"Authorization": f"Bearer {token}"})).status

        assert await post(0, "right") == 200
        assert [await post(number, "wrong") for number in range(1, 52)] == [403] * 50 + [429]
        assert await post(0, "right") == 200
        assert await post(60, "right") == 429  # unknown yet: it waits until the address may try again
        now[0] = 1.0
        assert await post(60, "right") == 200


def test_a_report_has_the_time_of_its_arrival():
    board = Board(clock=lambda: datetime(2031, 1, 1, tzinfo=UTC))
    board.post(KEY, "uid-1", ProgressReport.model_validate(REPORT))
    assert board.latest(KEY, "uid-1").trainer_status.last_updated_time == datetime(2031, 1, 1, tzinfo=UTC)


async def test_a_standby_operator_refuses_reports():
    async with TestClient(TestServer(application(Board(), Gate(), wake=lambda _: None, ready=lambda: False))) as client:
        assert (await client.post(URL, json=REPORT, headers={"Authorization": "Bearer right"})).status == 503
