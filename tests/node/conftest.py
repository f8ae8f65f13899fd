"""A whole node for the tests of this folder, one for the session: real pods, Services, volumes.

Where none can run, these tests are skipped and say why, with the command that would change it; with REQUIRE_CLUSTER=1 that is a failure.
"""

from collections.abc import Iterator

import pytest
from api_server import ApiServer
from binaries import NODE, NoProgramsError, find
from levels import lacking
from namespaces import new_namespace
from node import Node, what_is_missing


class Running(Node):
    """A node that runs, with a client for its API server."""

    def start(self) -> None:
        super().start()
        self.api = ApiServer(self.kubeconfig)


@pytest.fixture(scope="session")
def node() -> Iterator[Running]:
    """The node. Programs are never built here, since a build takes longer than a test may."""
    missing = what_is_missing()
    if missing:
        lacking(missing)
    try:
        programs = find(NODE)
    except NoProgramsError as reason:
        lacking(str(reason))
    with Running(programs) as running:
        yield running


@pytest.fixture
def namespace(node: Running) -> Iterator[str]:
    """A namespace of the test's own, under the restricted pod security standard."""
    yield from new_namespace(node.api)
