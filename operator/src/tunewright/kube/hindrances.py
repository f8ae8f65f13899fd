"""Events of blocked children whose status has no cause: a quota that rejects pods, a missing volume.

The operator lists Events only in this case, so a healthy job costs nothing. Without the right to list them, only these causes are missing.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from tunewright.observe.events import unexplained
from tunewright_runtime.client import Client
from tunewright_runtime.errors import Forbidden
from tunewright_runtime.objects import Manifest

log = logging.getLogger(__name__)


async def warnings_about(client: Client, namespace: str, children: Sequence[Manifest], now: datetime) -> Sequence[Manifest]:
    """Return the warnings about those of a job's children that need an explanation."""
    found: list[Manifest] = []
    for uid in unexplained(children, now):
        try:
            found += await client.select("Event", namespace, fields=f"involvedObject.uid={uid},type=Warning")
        except Forbidden as error:
            log.warning("why children of a job in %s stand still cannot be told: %s", namespace, error)
            break
    return found
