"""Backoff between retries: exponential, with a maximum, and with jitter so that many keys do not retry together."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """All in seconds. `jitter` is the share of a delay that chance decides."""

    first: float = 0.5
    factor: float = 2.0
    ceiling: float = 300.0
    jitter: float = 0.2

    def delay(self, failures: int, chance: float) -> float:
        """Return the wait after the given number of failures in a row (1 for the first). `chance` is drawn from [0, 1)."""
        # The exponent is bounded before it is used: 2.0 ** 5000 is an OverflowError, not a long wait.
        full = min(self.ceiling, self.first * self.factor ** min(max(failures, 1) - 1, 64))
        return full * (1.0 - self.jitter * chance)
