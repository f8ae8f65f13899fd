"""Rate limit per client: one token bucket each, which is dropped when it is full again."""

from collections.abc import Callable, Hashable

REMEMBERED = 10_000  # who asked lately; beyond that the longest silent are forgotten, to their advantage


class RateLimit:
    """`burst` requests at once, and `per_second` in the long run. `clock` gives seconds that never go back."""

    def __init__(self, *, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._empty_until: dict[Hashable, float] = {}  # when the bucket would be full, had nobody asked since; oldest first

    def wait(self, who: Hashable) -> float:
        """Count a request. Returns 0.0 when it may go on, else in how many seconds one may; a refused one is not counted."""
        now = self._clock()
        full = max(self._empty_until.pop(who, now), now) + 1 / self._per_second
        over = full - now - self._burst / self._per_second
        if over > 1e-9:  # the clock's grain
            self._empty_until[who] = full - 1 / self._per_second
            return over
        self._empty_until[who] = full
        if len(self._empty_until) > REMEMBERED:
            del self._empty_until[next(iter(self._empty_until))]
        return 0.0
