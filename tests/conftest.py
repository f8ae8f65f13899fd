"""A cluster for the tests that ask for one; it is started once, and only if one of them runs.

Which one: the control plane of tests/cluster, or the cluster that `KUBECONFIG` names if that allows it (tests/cluster/existing.py). One that
has FineTuneJobs' definition already is refused, because these tests replace and remove it.

Where neither can be had, tests are skipped and say why; with REQUIRE_CLUSTER=1 such a skip is a failure.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import processor_time
import pytest
from api_server import ApiServer
from audit import AuditLog
from binaries import NoProgramsError, find
from control_plane import ControlPlane, run_kubectl
from existing import consenting
from hypothesis import HealthCheck, settings
from lazily import watched
from levels import lacking
from namespaces import new_namespace
from operator_nursery import Nursery
from sharing import Sharing, encodable, place_of

# A shared machine says nothing about speed. In continuous integration the examples are the same at every run; elsewhere they are new ones.
settings.register_profile(
    "tunewright", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("CI") == "true"
)
settings.load_profile("tunewright")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime would report each start of a test to its makers

CRD_NAME = "finetunejobs.tunewright.io"
WHICH_CLUSTER = pytest.StashKey[str]()
THOROUGH = ("matrix", "harness", "repeat", "two_nodes", "gitops")  # markers of the tests that only `make thorough` runs


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden instead of comparing with it")
    parser.addoption(processor_time.OPTION, choices=["file", "test"], nargs="?", const="file", help="print the processor seconds of each")


def pytest_configure(config: pytest.Config) -> None:
    processor_time.register(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the level leaves out; what takes longest comes first where workers share the tests."""
    left_out = [level for level in THOROUGH if level not in config.getoption("markexpr")]
    unwanted = [item for item in items if any(map(item.get_closest_marker, left_out))]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if item not in unwanted]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """tests/house/test_collection.py reads what this notes."""
    return (yield from watched(collector))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    config.option.loadscopereorder = False
    scheduler = Sharing(config, log)
    scheduler.one_cluster = consenting()[0] is not None
    return scheduler


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    return encodable((yield))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker has ended: the summary shows which cluster it used."""
    if reason := getattr(node, "workeroutput", {}).get("which_cluster"):
        node.config.stash[WHICH_CLUSTER] = reason


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["which_cluster"] = session.config.stash.get(WHICH_CLUSTER, "")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reason := terminalreporter.config.stash.get(WHICH_CLUSTER, ""):
        terminalreporter.write_line(reason)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What a test may know of a cluster. `audit` and `plane` are there when it is our own."""

    kubeconfig: Path
    api: ApiServer
    kubectl: Callable[..., subprocess.CompletedProcess[str]]
    audit: AuditLog | None = None
    plane: ControlPlane | None = None


@pytest.fixture(scope="session")
def existing_cluster(request: pytest.FixtureRequest) -> Path | None:
    """The kubeconfig of a cluster that allows these tests; the summary says which cluster was used, and why."""
    kubeconfig, request.config.stash[WHICH_CLUSTER] = consenting()
    if kubeconfig is not None and ApiServer(kubeconfig).get("apiextensions.k8s.io/v1", "CustomResourceDefinition", CRD_NAME) is not None:
        pytest.fail(f"KUBECONFIG={kubeconfig}: this cluster has Tunewright installed, and these tests would replace its CRD", pytrace=False)
    return kubeconfig


@pytest.fixture(scope="session")
def control_plane(existing_cluster: Path | None) -> Iterator[Cluster]:
    """A control plane: kubeconfig, API, audit log. Programs are never built here, since a build takes longer than a test may."""
    if existing_cluster is not None:
        kubectl = partial(run_kubectl, shutil.which("kubectl") or "kubectl", existing_cluster)
        yield Cluster(kubeconfig=existing_cluster, api=ApiServer(existing_cluster), kubectl=kubectl)
        return
    if sys.platform != "linux":
        lacking("the control plane of tests/cluster needs Linux")
    try:
        programs = find()
    except NoProgramsError as reason:
        lacking(str(reason))
    with ControlPlane(programs) as plane:
        yield Cluster(kubeconfig=plane.kubeconfig, api=ApiServer(plane.kubeconfig), kubectl=plane.kubectl, audit=plane.audit, plane=plane)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that has imported the operator once: a start of an operator costs 1.7 s of processor time less."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A namespace of the test's own, under the restricted pod security standard."""
    yield from new_namespace(control_plane.api)


@pytest.fixture(scope="module")
def shared_namespace(control_plane: Cluster) -> Iterator[str]:
    """The same for tests that leave nothing behind."""
    yield from new_namespace(control_plane.api)
