"""Updates of a served model on this machine, with real servers, while clients ask without pause: surged, rolled back, no request lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from models import TinyModel, build
from openai import AsyncOpenAI

from tunewright.cli.local_operator import LocalOperator
from tunewright.local.app import Home

FAKE = f"/proc/self/root{Path(__file__).parents[1] / 'support' / 'fake_trainer'}"  # see test_local_operator.py
PATIENCE_SECONDS = 240
QUESTION = {"model": "demo", "messages": [{"role": "user", "content": "Where is Paris?"}], "temperature": 0}
SHORT, LONG = {"max_tokens": 4}, {"max_tokens": 200, "stream": True, "extra_body": {"ignore_eos": True}}


@pytest.fixture
def key(home: Home, tmp_path: Path) -> tuple[str, str]:
    """A job whose export publishes a model that can be served."""
    folder = tmp_path / "manifests"
    (folder / "model").mkdir(parents=True)
    (folder / "chat.jsonl").write_text('{"messages": []}\n')
    variables = {"PYTHONPATH": FAKE, "FAKE_MODEL": build(TinyModel()).served_dir.as_uri()}
    manifest = {
        "apiVersion": "tunewright.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "demo"},
        "spec": {
            "task": "ChatCompletion",
            "model": {"source": {"path": "model"}},
            "data": {"train": [{"source": {"path": "chat.jsonl"}}]},
            "workers": {"env": [{"name": name, "value": value} for name, value in variables.items()]},
            "serving": {"replicas": 1, "smokeTest": {"prompt": "Hello?"}},
        },
    }
    return home.apply(manifest, folder)


class Clients:
    """Ask without pause, each in its own way, and never a second time: what fails is noted."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1"
        self._stop = asyncio.Event()
        self.answers = dict.fromkeys(("kept connection", "new connections", "streams"), 0)
        self.failures: list[str] = []

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for how in self.answers:
                group.create_task(self._ask(how))
            try:
                yield
            finally:
                self._stop.set()

    async def _ask(self, how: str) -> None:
        kept = self._client()
        while not self._stop.is_set():
            client = self._client() if how == "new connections" else kept
            try:
                await (self._stream(client) if how == "streams" else client.chat.completions.create(**QUESTION, **SHORT))
                self.answers[how] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the request was lost
                self.failures.append(f"{how}: {type(error).__name__}: {error} {error.__cause__!r}")
            if client is not kept:
                await client.close()
            await asyncio.sleep(0.01)  # a machine of two cores has other things to do, too
        await kept.close()

    async def _stream(self, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**QUESTION, **LONG)
        ends = [chunk.choices[0].finish_reason async for chunk in stream]
        assert ends[-1] == "length", ends[-1]

    def _client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self._url, api_key="none", max_retries=0, timeout=PATIENCE_SECONDS)


def answers_with(job: dict[str, Any]) -> str | None:
    return job["status"].get("serving", {}).get("revision")


def uids(home: Home, revision: str) -> set[str]:
    pods = home.store.select("Pod", "default")
    return {pod["metadata"]["uid"] for pod in pods if pod["metadata"]["annotations"].get("tunewright.io/serving-revision") == revision}


@pytest.mark.slow
async def test_updates_good_and_bad_lose_no_request(home: Home, key: tuple[str, str]):
    def change(**serving: Any) -> None:
        home.store.change("FineTuneJob", *key, lambda job: job["spec"]["serving"].update(serving))

    async with asyncio.timeout(PATIENCE_SECONDS), LocalOperator(home, key, on_event=lambda _: None) as operator:
        first = answers_with(await operator.wait(lambda job: job["status"]["phase"] == "Serving" and answers_with(job)))
        clients = Clients(home.job(key)["status"]["serving"]["url"])
        async with clients.asking():
            change(maxConcurrentRequests=8)
            job = await operator.wait(lambda job: job["status"]["reason"] == "Serving" and answers_with(job) != first)
            second = answers_with(job)
            assert job["status"]["serving"]["previousRevision"] == first
            await operator.wait(lambda _: uids(home, first) == set())  # it drains, and goes
            servers = uids(home, second)

            change(smokeTest={"prompt": "Hello?", "contains": "a thing that no random model says"})
            job = await operator.wait(lambda job: job["status"]["reason"] == "RolledBack")
            assert (job["status"]["phase"], answers_with(job)) == ("Serving", second)
            assert job["status"]["failure"]["reason"] == "SmokeTestFailed"
            assert "a thing that no random model says" in job["status"]["message"]
            refused = job["status"]["serving"]["rolledBackRevision"]
            await operator.wait(lambda _: uids(home, refused) == set())
            assert uids(home, second) == servers  # they never noticed

            asked = dict(clients.answers)
            await operator.wait(lambda _: all(clients.answers[how] > asked[how] for how in asked))
        assert clients.failures == []

        change(smokeTest={"prompt": "Hello?"})  # what runs is asked for again: nothing is refused any more
        job = await operator.wait(lambda job: job["status"]["reason"] == "Serving")
        assert answers_with(job) == second
        assert "rolledBackRevision" not in job["status"]["serving"]
