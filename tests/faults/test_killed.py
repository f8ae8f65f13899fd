"""The operator is killed (SIGKILL) right before and right after each of its writes, and at random. The result is the same as without faults.

A *life* is a job from its manifest to its served model. The operator is killed at the first, second, third write of a life, and so on until
there are no more writes. A *hard* life has a suspension, a lost rank and an update that is rolled back, and so has more writes.
"""

import itertools
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from life import ATTEMPTS, ATTEMPTS_OF_A_HARD_LIFE, ends_like, live, live_hard, made

# Writes of one life, without Events, which a later operator does not repeat. With fewer writes this test proves too little.
AT_LEAST, AT_LEAST_HARD = 15, 20


def is_well(life: Any, faultless: Mapping[str, Any]) -> None:
    live(life.scene)
    ends_like(life.scene, faultless)
    assert made(life.scene) == sorted(ATTEMPTS)  # each of them once, whatever was lost on the way


def is_well_hard(life: Any, faultless: Mapping[str, Any]) -> None:
    live_hard(life.scene)
    ends_like(life.scene, faultless)
    assert made(life.scene) == sorted(ATTEMPTS_OF_A_HARD_LIFE)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_operator_is_killed_at_every_write_of_one_job(mortal, faultless_hard, moment):
    """Killed at each write of one hard life: "before", each is tried twice; "after", no answer ever arrives."""
    with mortal() as life:
        blows = 0

        def fall() -> None:
            nonlocal blows
            blows += 1
            life.operator.kill()
            life.proxy.strike(2 if moment == "before" else 1, moment, fall)

        life.proxy.strike(1, moment, fall)
        is_well_hard(life, faultless_hard)
        assert blows >= AT_LEAST_HARD
        assert life.operator.starts >= blows


@pytest.mark.slow
@pytest.mark.repeat
def test_the_operator_is_killed_at_one_write_of_each_job(mortal, faultless):
    """One life is struck at its first write, another at its sixth, … until one has no such write; TUNEWRIGHT_SWEEP=1 leaves out none."""
    step = int(os.environ.get("TUNEWRIGHT_SWEEP", "5"))
    survived = sweep(mortal, step, lambda life: is_well(life, faultless))
    assert min(survived) >= AT_LEAST // step


@pytest.mark.slow
@pytest.mark.repeat
def test_the_operator_is_killed_at_one_write_of_each_job_with_failures(mortal, faultless_hard):
    """The same with every twelfth write, or TUNEWRIGHT_SWEEP."""
    step = int(os.environ.get("TUNEWRIGHT_SWEEP", "12"))
    survived = sweep(mortal, step, lambda life: is_well_hard(life, faultless_hard))
    assert min(survived) >= AT_LEAST_HARD // step


def sweep(mortal: Any, step: int, live_well: Callable[[Any], None]) -> Sequence[int]:
    """Run jobs and kill the operator at one write of each. Return the number of jobs, for kills before and after the write."""
    turns = {moment: itertools.count(1, step) for moment in ("before", "after")}
    survived: Counter[str] = Counter()

    def live_on(moment: str) -> None:
        while True:
            with mortal() as life:
                life.proxy.strike(next(turns[moment]), moment, life.operator.kill)
                live_well(life)
                if not life.proxy.has_struck():
                    return
            survived[moment] += 1

    with ThreadPoolExecutor(4) as pool:  # each life has an operator of its own
        for ended in [pool.submit(live_on, moment) for moment in (*turns, *turns)]:
            ended.result()
    return [survived[moment] for moment in turns]


def test_the_operator_is_killed_ten_times_at_random(mortal, faultless):
    """Ten times, each at any moment of the 300 ms after one write or another."""
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    after = sorted(draw.sample(range(1, AT_LEAST - 2), 10))
    gaps = [after[0], *(later - earlier for earlier, later in itertools.pairwise(after))]
    deaths: list[threading.Timer] = []
    with mortal() as life:

        def fall() -> None:
            deaths.append(threading.Timer(draw.uniform(0, 0.3), life.operator.kill))
            deaths[-1].start()
            if len(deaths) < len(gaps):
                strike()

        def strike() -> None:
            life.proxy.strike(
                gaps[len(deaths)], "meanwhile", fall, counts=lambda asked: asked.writes and not asked.path.endswith("/events")
            )

        strike()
        try:
            is_well(life, faultless)
        except BaseException:
            print(f"seed {seed}")
            raise
        finally:
            for death in deaths:
                death.join()
        assert len(deaths) == 10
