"""Events of children that stand still without saying why in their status: a quota that refuses pods, a volume that is not there.

Asked for only then, so that a healthy job costs nothing, and a right to list Events that is not there only some words.
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
