"""Facts about a job that the command line reads from it."""

import pytest

from tunewright.cli.places import asks_for_a_server


@pytest.mark.parametrize(
    ("expected", "spec"),
    [
        (False, {}),
        (True, {"serving": {}}),
        (True, {"serving": {"replicas": 2}}),
        (False, {"serving": {"replicas": 0}}),
        (True, {"serving": {"replicas": 0, "autoscaling": {}}}),
    ],
    ids=["no server", "the default number", "two", "none", "none, until an autoscaler starts one"],
)
def test_a_job_asks_for_a_server(expected, spec):
    assert asks_for_a_server({"spec": spec}) is expected
