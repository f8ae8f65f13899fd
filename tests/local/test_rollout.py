"""Updates of a served model on this machine, with real servers under constant load: rollout, rollback, and no lost request."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from local_jobs import make_manifest
from models import TinyModel, build
from pretended_trainer import pretended_trainer  # noqa: F401 - a fixture
from steady_clients import Clients

from tunewright.cli.local_operator import LocalOperator
from tunewright.local.app import Home

PATIENCE_SECONDS = 240

pytestmark = pytest.mark.usefixtures("pretended_trainer")


@pytest.fixture
def key(home: Home, tmp_path: Path) -> tuple[str, str]:
    """A job whose export publishes a model that can be served."""
    folder = tmp_path / "manifests"
    (folder / "model").mkdir(parents=True)
    (folder / "chat.jsonl").write_text('{"messages": []}\n')
    variables = {"FAKE_MODEL": build(TinyModel()).served_dir.as_uri()}
    manifest = make_manifest(env=variables, serving={"replicas": 1, "smokeTest": {"prompt": "Hello?"}})
    return home.apply(manifest, folder)


def answers_with(job: dict[str, Any]) -> str | None:
    return job["status"].get("serving", {}).get("revision")


def uids(home: Home, revision: str) -> set[str]:
    pods = home.store.select("Pod", "default")
    return {pod["metadata"]["uid"] for pod in pods if pod["metadata"]["annotations"].get("tunewright.io/serving-revision") == revision}


@pytest.mark.slow
async def test_good_and_bad_updates_lose_no_request(home: Home, key: tuple[str, str]):
    def change(**serving: Any) -> None:
        home.store.change("FineTuneJob", *key, lambda job: job["spec"]["serving"].update(serving))

    async with asyncio.timeout(PATIENCE_SECONDS), LocalOperator(home, key, on_event=lambda _: None) as operator:
        first = answers_with(await operator.wait(lambda job: job["status"]["phase"] == "Serving" and answers_with(job)))
        clients = Clients(home.job(key)["status"]["serving"]["url"], "demo", answer_tokens=200)
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

            await clients.answered()
        assert clients.failures == []

        change(smokeTest={"prompt": "Hello?"})  # the job requests the running revision again, so no revision is refused
        job = await operator.wait(lambda job: job["status"]["reason"] == "Serving")
        assert answers_with(job) == second
        assert "rolledBackRevision" not in job["status"]["serving"]
