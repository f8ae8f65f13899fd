"""The rate limit of one client."""

from hypothesis import given
from hypothesis import strategies as st

from tunewright_runtime import listening
from tunewright_runtime.listening import RateLimit


def test_after_a_burst_the_rate_applies():
    now = [0.0]
    limit = RateLimit(per_second=2, burst=3, clock=lambda: now[0])
    assert [limit.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.wait("b") == 0.0  # each for himself
    now[0] = 0.5
    assert [limit.wait("a") for _ in range(2)] == [0.0, 0.5]
    now[0] = 100.0
    assert [limit.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]  # no more than a burst is saved up


@given(st.lists(st.floats(0, 3), max_size=60))
def test_requests_never_exceed_burst_and_rate(pauses):
    now = [0.0]
    limit = RateLimit(per_second=2, burst=5, clock=lambda: now[0])
    allowed = 0
    for pause in pauses:
        now[0] += pause
        allowed += limit.wait("a") == 0.0
        assert allowed <= 5 + 2 * now[0] + 1e-6


def test_the_number_of_stored_addresses_is_bounded(monkeypatch):
    monkeypatch.setattr(listening, "REMEMBERED", 2)
    limit = RateLimit(per_second=1, burst=1, clock=lambda: 0.0)
    assert [limit.wait(who) for who in "abc"] == [0.0] * 3
    assert (limit.wait("c"), limit.wait("a")) == (1.0, 0.0)
