"""Pure steps that run again only when an argument has changed, for the jobs that were reconciled most recently."""

import pytest

from tunewright.reconcile.steps import Steps, StepsOfJobs


class Counted:
    """A pure function that counts its runs."""

    def __init__(self):
        self.runs = 0

    def __call__(self, *args, **options):
        self.runs += 1
        if "refused" in args:
            raise ValueError("refused")
        return [*args, *options.values()]


@pytest.mark.parametrize(
    ("runs", "calls"),
    [
        pytest.param(1, [(("spec",), {}), (("spec",), {})], id="equal arguments"),
        pytest.param(1, [(({"a": 1},), {"begun": True}), (({"a": 1},), {"begun": True})], id="equal objects"),
        pytest.param(2, [(("spec",), {}), (("other",), {})], id="another argument"),
        pytest.param(2, [(("spec",), {"begun": False}), (("spec",), {"begun": True})], id="another option"),
        pytest.param(3, [(("spec",), {}), (("other",), {}), (("spec",), {})], id="only the last result is kept"),
    ],
)
def test_a_step_runs_again_when_an_argument_has_changed(runs, calls):
    steps, counted = Steps(), Counted()
    for args, options in calls:
        assert steps(counted, *args, **options) == [*args, *options.values()]
    assert counted.runs == runs


def test_steps_have_results_of_their_own():
    steps = Steps()
    assert (steps(str, 7), steps(float, 7), steps(str, 7)) == ("7", 7.0, "7")


def test_an_exception_is_raised_again_by_the_step_itself():
    steps, counted = Steps(), Counted()
    for _ in range(2):
        with pytest.raises(ValueError, match="refused"):
            steps(counted, "refused")
    assert counted.runs == 2


def test_each_job_has_its_own_steps():
    known = StepsOfJobs()
    known.of("a")(str, 1)
    assert known.of("a") is known.of("a")
    assert known.of("a") is not known.of("b")


def test_the_job_that_was_reconciled_least_recently_loses_its_steps():
    known = StepsOfJobs(jobs=2)
    first, second = known.of("a"), known.of("b")
    assert known.of("a") is first
    known.of("c")
    assert known.of("a") is first
    assert known.of("b") is not second


def test_a_forgotten_job_begins_anew():
    known = StepsOfJobs()
    first = known.of("a")
    known.forget("a")
    known.forget("never reconciled")
    assert known.of("a") is not first
