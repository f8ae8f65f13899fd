"""Namespaces for tests."""

import uuid
from collections.abc import Iterator

from api_server import ApiServer
from waiting import until


def new_namespace(api: ApiServer) -> Iterator[str]:
    """Make one under the restricted pod security standard, and let it go in the end."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    made = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}, keep=True)
    assert made.accepted, made.message
    until(lambda: api.get("v1", "ServiceAccount", "default", name), "pods need the namespace's default service account")
    yield name
    api.delete("v1", "Namespace", name)
