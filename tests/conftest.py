"""A cluster for the tests that ask for one; it is started once, and only if one of them runs.

Which one: the control plane of tests/cluster. A developer's own cluster is never touched: `KUBECONFIG` and `~/.kube/config` are not read.
Who wants these tests on a cluster that exists names it in `TUNEWRIGHT_TEST_KUBECONFIG`; one that has FineTuneJobs' definition
already is refused, because these tests replace and remove it.

Where neither can be had, tests are skipped and say why; with REQUIRE_CLUSTER=1 such a skip is a failure.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from api_server import ApiServer
from audit import AuditLog
from binaries import NoProgramsError, find
from control_plane import ControlPlane, run_kubectl
from hypothesis import HealthCheck, settings
from levels import lacking
from namespaces import new_namespace

# A shared machine says nothing about speed.
settings.register_profile("tunewright", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tunewright")

OPT_IN = "TUNEWRIGHT_TEST_KUBECONFIG"
CRD_NAME = "finetunejobs.tunewright.io"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew instead of comparing")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What a test may know of a cluster. `audit` and `plane` are there when it is our own."""

    kubeconfig: Path
    api: ApiServer
    kubectl: Callable[..., subprocess.CompletedProcess[str]]
    audit: AuditLog | None = None
    plane: ControlPlane | None = None


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """A control plane: kubeconfig, API, audit log. Programs are never built here, since a build takes longer than a test may."""
    named = os.environ.get(OPT_IN)
    if named:
        api = ApiServer(Path(named))
        if api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", CRD_NAME) is not None:
            pytest.fail(f"{OPT_IN}={named}: this cluster has Tunewright installed, and these tests would replace its CRD", pytrace=False)
        yield Cluster(kubeconfig=Path(named), api=api, kubectl=partial(run_kubectl, shutil.which("kubectl") or "kubectl", Path(named)))
        return
    if sys.platform != "linux":
        lacking("the control plane of tests/cluster needs Linux")
    try:
        programs = find()
    except NoProgramsError as reason:
        lacking(str(reason))
    with ControlPlane(programs) as plane:
        yield Cluster(kubeconfig=plane.kubeconfig, api=ApiServer(plane.kubeconfig), kubectl=plane.kubectl, audit=plane.audit, plane=plane)


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A namespace of the test's own, under the restricted pod security standard."""
    yield from new_namespace(control_plane.api)


@pytest.fixture(scope="module")
def shared_namespace(control_plane: Cluster) -> Iterator[str]:
    """The same for tests that leave nothing behind."""
    yield from new_namespace(control_plane.api)
