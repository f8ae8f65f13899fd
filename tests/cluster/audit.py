"""The requests to an API server, read from its audit log: one event for each request, at level Metadata."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# RequestReceived would count every request twice.
POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}


class AuditLog:
    """The log of one control plane. Requests are in it before their answers are out, but for watches, which come at both ends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, *, since: int = 0, naming: str = "") -> Iterator[Mapping[str, Any]]:
        """Yield complete events from a byte offset on, that have a word anywhere: of a long log, few lines are then parsed."""
        word = naming.encode()
        with self.path.open("rb") as log:
            log.seek(since)
            for line in log:
                if word in line and line.endswith(b"\n"):
                    yield json.loads(line)

    def end(self) -> int:
        """Return the byte offset after the last event: what a later `events(since=...)` begins with."""
        return self.path.stat().st_size
