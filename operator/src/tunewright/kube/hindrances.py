"""Events of children that stand still without saying why in their status: a quota that refuses pods, a volume that is not there.

Asked for only then, so that a healthy job costs nothing, and a right to list Events that is not there only some words.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tunewright.errors import Forbidden
from tunewright.kube.client import Client
from tunewright.observe.hindrances import unexplained

Object = Mapping[str, Any]

log = logging.getLogger(__name__)


async def warnings_about(client: Client, namespace: str, children: Sequence[Object], now: datetime) -> Sequence[Object]:
    """Return the warnings about those of a job's children that need an explanation."""
    found: list[Object] = []
    for uid in unexplained(children, now):
        try:
            found += await client.select("Event", namespace, fields=f"involvedObject.uid={uid},type=Warning")
        except Forbidden as error:
            log.warning("why children of a job in %s stand still cannot be told: %s", namespace, error)
            break
    return found
