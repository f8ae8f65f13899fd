"""The committed CRD on a real API server."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from ruamel.yaml import YAML
from waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def crd(control_plane: Any) -> Iterator[Mapping[str, Any]]:
    """Install crds/ and return what the server made of it."""
    api: ApiServer = control_plane.api
    (committed,) = [YAML(typ="safe").load(path) for path in (ROOT / "crds").glob("*.yaml")]
    made = api.apply(committed, keep=True)
    assert made.accepted, made.message
    name = committed["metadata"]["name"]
    kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    stored = until(lambda: established(api.get(*kind)), "the definition is established")
    api.dynamic.resources.invalidate_cache()
    yield stored
    api.delete(*kind)
    until(lambda: api.get(*kind) is None, "the definition goes, and with it every job")


def established(definition: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    conditions = (definition or {}).get("status", {}).get("conditions") or ()
    return definition if any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions) else None


@pytest.fixture
def server(control_plane: Any, crd: Mapping[str, Any]) -> ApiServer:
    """An API server with the CRD of FineTuneJob."""
    return control_plane.api
