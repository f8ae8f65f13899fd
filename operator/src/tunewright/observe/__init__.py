"""Reads raw children and returns the state of each stage.

Promises a result for any objects, however incomplete: a missing field means "not yet". Refuses to guess: a stage has ended only when its
Job's status shows it, and a server is ready only when all replicas run the wanted revision.
"""

from tunewright.observe.observation import Observation, has_begun, observe

__all__ = ["Observation", "has_begun", "observe"]
