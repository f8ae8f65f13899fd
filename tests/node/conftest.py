"""A whole node for the tests of this folder, one for the session: real pods, Services, volumes; and the quickstart, trained and served on it.

Where none can run, these tests are skipped with the reason and the command that resolves it; with REQUIRE_CLUSTER=1 that is a failure.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from api_server import ApiServer
from binaries import HELM, NODE, NoProgramsError, Programs, find
from control_plane import run_kubectl
from demo import Demo
from enforcement import find_policies
from installation import Installation
from levels import lacking
from namespaces import new_namespace
from needs import missing_packages, what_is_missing
from node import Node, run_helm
from on_pods import EXAMPLES, QUICKSTART_JOB, WRONG_LINE, Desk
from second_node import SecondNode

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from image_inputs import IMAGES, project_version
from images import archives


class RunningNode:
    """A cluster whose pods run: our own node, or a cluster that exists and allows these tests. Timeouts are in seconds."""

    def __init__(self, kubeconfig: Path, programs: Programs, *, home: Path, own: Node | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.programs = programs
        self.api = ApiServer(kubeconfig)
        self.own = own
        self._home = home

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 600) -> CompletedProcess[str]:
        return run_kubectl(self.programs.kubectl, self.kubeconfig, *arguments, stdin=stdin, timeout=timeout)

    def helm(self, *arguments: str, timeout: float = 600) -> CompletedProcess[str]:
        return run_helm(self.programs.helm, self.kubeconfig, self._home, *arguments, timeout=timeout)

    def run(self, *words: str, timeout: float = 600) -> CompletedProcess[str]:
        """Run a command in the node's network, among its mounts and processes."""
        if self.own is None:
            pytest.skip("this looks into a node of our own")
        return self.own.run(*words, timeout=timeout)


@pytest.fixture(scope="session")
def node(existing_cluster: Path | None) -> Iterator[RunningNode]:
    """The node. Programs are never built here, since a build takes longer than a test may."""
    if existing_cluster is None and (missing := what_is_missing()):
        lacking(missing)
    try:
        programs = find(HELM if existing_cluster else NODE)
    except NoProgramsError as reason:
        lacking(str(reason))
    if existing_cluster is not None:
        with tempfile.TemporaryDirectory() as home:
            yield RunningNode(existing_cluster, programs, home=Path(home))
        return
    with Node(programs) as own:
        yield RunningNode(own.kubeconfig, programs, home=own.folder / "helm", own=own)


@pytest.fixture(scope="session")
def images(node: RunningNode) -> Mapping[str, str]:
    """References of the images `operator`, `trainer` and `server`: loaded into our own node, published for a cluster that exists."""
    if node.own is None:
        return {name: image.reference(project_version()) for name, image in IMAGES.items()}
    built = archives()
    if missing := sorted(IMAGES.keys() - built.keys()):
        lacking(f"images are not built as they are now: `python tools/images.py build {' '.join(missing)}` (minutes)")
    return {name: one_of(node.own.load_image(archive)) for name, archive in built.items()}


@pytest.fixture(scope="session")
def tunewright(node: RunningNode, images: Mapping[str, str]) -> Iterator[Installation]:
    """Tunewright as a person installs it, with two operators of which one stands by."""
    installation = Installation(node, images)
    installation.install("--set=replicas=2")
    yield installation
    if node.own is None:  # our own goes whole
        installation.uninstall()


def one_of(names: Sequence[str]) -> str:
    (name,) = names
    return name


@pytest.fixture
def namespace(node: RunningNode) -> Iterator[str]:
    """A namespace of the test's own, under the restricted pod security standard."""
    yield from new_namespace(node.api)


@pytest.fixture(scope="session")
def shared_namespace(node: RunningNode) -> Iterator[str]:
    """One for all FineTuneJobs."""
    yield from new_namespace(node.api)


@pytest.fixture(scope="session")
def desk(tunewright: Installation, shared_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A namespace with the example's base model and data on the claim `corpora`, and a file with one wrong line."""
    wrong = tmp_path_factory.mktemp("wrong")
    lines = (EXAMPLES / "data" / "support-train.jsonl").read_text(encoding="utf-8").splitlines()[:50]
    lines[WRONG_LINE - 1] = '{"messages": [{"role": "user", "content": "unfinished'
    (wrong / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    desk = Desk(tunewright.node, shared_namespace)
    desk.fill_claim(
        "corpora",
        tunewright.images["trainer"],
        {"base-model": EXAMPLES / "base-model" / "model", "data": EXAMPLES / "data", "wrong": wrong},
    )
    return desk


@pytest.fixture(scope="session")
def demo(desk: Desk) -> Demo:
    """What `make cluster-demo` does once Tunewright is installed and the claim is filled."""
    return Demo(desk.cluster, desk.namespace)


@pytest.fixture(scope="session")
def served(desk: Desk, demo: Demo) -> Mapping[str, Any]:
    """The status of the quickstart, which ran from start to end without faults and is served."""
    assert demo.train() == QUICKSTART_JOB
    return desk.status(QUICKSTART_JOB)


@pytest.fixture(scope="module")
def second(node: RunningNode) -> Iterator[SecondNode]:
    """A second node, which joins the session's cluster for one file. Both enforce NetworkPolicies meanwhile."""
    if node.own is None:
        pytest.skip("this adds a node to a cluster of our own")
    if missing := missing_packages(with_policies=True):
        lacking(f"a node that enforces NetworkPolicies needs packages that are not here: apt-get install -y {' '.join(missing)}")
    try:
        policies = find_policies()
    except NoProgramsError as reason:
        lacking(str(reason))
    with SecondNode(node.own, policies=policies) as second:
        node.own.enforce_policies(policies)
        yield second
    node.own.forget_policies()
