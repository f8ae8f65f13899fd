"""Raw children, as the world returned them, become what happened.

Promises an answer for every heap of objects, however half-filled: what is not said counts as not there yet. Refuses to guess:
a stage is over only when its Job says so, and a server is ready only when all of it runs the wanted revision.
"""

from tunewright.observe.observation import Observation, has_begun, observe

__all__ = ["Observation", "has_begun", "observe"]
