"""Which tests one worker runs together (tests/support/sharing.py)."""

import pytest
from sharing import encodable, group_of, place_of


@pytest.mark.parametrize(
    ("group", "nodeid", "one_cluster"),
    [
        ("tests/plan/test_zero.py", "tests/plan/test_zero.py::test_a[1]", False),  # a file stays whole
        ("training", "tests/export/test_merge.py::test_a", False),  # one worker imports torch
        ("training", "tests/plan/test_counts.py::test_a", False),
        ("node", "tests/node/test_jobs.py::test_a", False),  # there is one node on a machine
        ("cluster", "tests/node/test_jobs.py::test_a", True),  # on an existing cluster they run one after another
        ("cluster", "tests/shell/test_election.py::test_a", True),
        ("tests/plan/test_zero.py", "tests/plan/test_zero.py::test_a", True),
    ],
)
def test_the_group_of_a_test(group: str, nodeid: str, one_cluster: bool) -> None:
    assert group_of(nodeid, one_cluster=one_cluster) == group


def test_the_longest_tests_start_first() -> None:
    assert place_of("tests/node/test_jobs.py::test_a") < place_of("tests/plan/test_zero.py::test_a")


def test_workers_run_whole_files(pytestconfig: pytest.Config) -> None:
    """The scheduler is in use: pytest-xdist hands it every test."""
    hook = pytestconfig.hook.pytest_xdist_make_scheduler

    assert any(implementation.plugin_name.endswith("tests/conftest.py") for implementation in hook.get_hookimpls())


def test_a_report_can_be_sent_whatever_a_test_has_printed() -> None:
    assert encodable({"sections": [("log", "a\ud800b")], "when": 1}) == {"sections": [("log", "a\\ud800b")], "when": 1}
