"""Reads one pod with everything that explains why it makes no progress: its status, its init containers, its Events, its node."""

from collections.abc import Mapping
from datetime import datetime

from tunewright.observe.events import PodProblem, with_event
from tunewright.observe.init_containers import with_init_container
from tunewright.observe.nodes import with_node
from tunewright.observe.pods import PodState, read_pod
from tunewright.observe.raw import Raw


def read_explained(raw: Raw, problems: Mapping[str, PodProblem], now: datetime | None) -> PodState:
    """Read one pod. `problems` are those that Events report, by the uid of the object. A pod whose init containers run has its volumes."""
    return with_node(with_event(with_init_container(read_pod(raw), raw, now), raw, problems), raw, now)
