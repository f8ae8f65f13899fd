"""A namespace with FineTuneJobs on a real API server, and users with different rights. There is no operator: tests write the status."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_jobs import raw_job
from cluster_commands import JOB, User, binding, roles_of_users
from namespaces import new_namespace
from scene import DEFINITION, install_definition
from waiting import until


@pytest.fixture(scope="session")
def definition(control_plane: Any) -> Iterator[None]:
    """FineTuneJobs' definition, and the chart's roles for users."""
    api = control_plane.api
    install_definition(api)
    roles = roles_of_users()
    for role in roles:
        assert api.apply(role, keep=True).accepted
    yield
    for role in roles:
        api.delete("rbac.authorization.k8s.io/v1", "ClusterRole", role["metadata"]["name"])
    if api.get(*DEFINITION) is not None:
        api.delete(*DEFINITION)


@pytest.fixture(scope="module")
def team(control_plane: Any, definition: None) -> Iterator[str]:
    """A namespace for all tests of a file."""
    yield from new_namespace(control_plane.api)


@pytest.fixture(scope="module")
def user(control_plane: Any, team: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], User]:
    """Return a user with one of the cluster's roles in the namespace; without a role, one who has no rights."""
    if control_plane.plane is None:
        pytest.skip("these tests make users, and need an authority of their own")
    made: dict[str, User] = {}

    def make(role: str = "") -> User:
        if role not in made:
            name = f"{role or 'no'}-{team}"
            kubeconfig = control_plane.plane.kubeconfig_for(name)
            if role:
                assert control_plane.api.apply(binding(name, role, team), team, keep=True).accepted
            kubectl = control_plane.plane.programs.kubectl
            made[role] = User(kubeconfig=kubeconfig, namespace=team, home=tmp_path_factory.mktemp("home"), kubectl=kubectl)
            if role:
                until(lambda: made[role].call("get").exit_code == 0, f"{role} can read jobs")
        return made[role]

    return make


@pytest.fixture
def store(control_plane: Any, team: str) -> Iterator[Callable[..., dict[str, Any]]]:
    """Store a job with a status, as the operator would; it is deleted after the test."""
    api, names = control_plane.api, []

    def make(name: str, status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        raw = raw_job(changes)
        raw["metadata"] = {"name": name, **(metadata or {})}
        made = api.create(raw, team, keep=True)
        assert made.accepted, made.message
        names.append(name)
        if status is not None:
            body = {"status": json.loads(json.dumps(status))}
            resource = api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
            return dict(resource.status.patch(name=name, namespace=team, body=body, content_type="application/merge-patch+json").to_dict())
        return dict(made.object)

    yield make
    for name in names:
        api.delete(*JOB, name, team)


@pytest.fixture
def stored(control_plane: Any, team: str) -> Callable[[str], dict[str, Any]]:
    """Return a job as the API server has it."""
    return lambda name: control_plane.api.get(*JOB, name, team)


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Write a manifest."""

    def write(raw: dict[str, Any]) -> Path:
        path = tmp_path / "job.yaml"
        path.write_text(json.dumps(raw), encoding="utf-8")  # JSON is YAML
        return path

    return write
