"""A FineTuneJob whose trainer only pretends, and its run on this machine."""

import asyncio
from typing import Any

from tunewright.cli.local_operator import Event, LocalOperator, LogLine, StatusChanged
from tunewright.cli.places import settled
from tunewright.local.app import Home

PATIENCE_SECONDS = 60


def make_manifest(*, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    variables = env or {}
    return {
        "apiVersion": "tunewright.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "demo"},
        "spec": {
            "task": "ChatCompletion",
            "model": {"source": {"path": "model"}},
            "data": {"train": [{"source": {"path": "chat.jsonl"}}]},
            "workers": {"replicas": 2, "env": [{"name": name, "value": value} for name, value in variables.items()]},
            **spec,
        },
    }


class Watched:
    """Collects what an operator tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def lines(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, LogLine)]

    @property
    def phases(self) -> list[str]:
        found = [event.job["status"]["phase"] for event in self.events if isinstance(event, StatusChanged) and event.job.get("status")]
        return [phase for index, phase in enumerate(found) if index == 0 or found[index - 1] != phase]


async def run(home: Home, key, until=settled, watched: Watched | None = None) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_SECONDS), LocalOperator(home, key, on_event=watched or Watched()) as operator:
        return await operator.wait(until)


def is_training(job: dict[str, Any]) -> bool:
    return bool(job.get("status", {}).get("progress", {}).get("step"))
