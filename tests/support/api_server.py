"""A client of a real API server with plain dicts: returns the stored object, or the refusal."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

FIELD_MANAGER = "tunewright"
STRICT = ("fieldValidation", "Strict")  # unknown fields are refused, as kubectl requests; the server's own default prunes them


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The server's answer: the object as it would be stored, or the status code and what it names."""

    code: int = 200
    object: Mapping[str, Any] | None = None
    message: str = ""
    fields: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.code < 300


class ApiServer:
    """An administrator's view of one API server."""

    def __init__(self, kubeconfig: Path) -> None:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        self.dynamic = DynamicClient(kubernetes.client.ApiClient(configuration))

    def resource(self, manifest: Mapping[str, Any]) -> Any:
        return self.dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])

    def create(self, manifest: Mapping[str, Any], namespace: str | None = None, *, keep: bool = False, strict: bool = True) -> Verdict:
        """Create an object, in earnest only where it is to be kept."""
        return self._ask(self.resource(manifest).create, manifest, namespace, keep=keep, query_params=[STRICT] if strict else [])

    def replace(self, manifest: Mapping[str, Any], namespace: str | None = None, *, keep: bool = False) -> Verdict:
        return self._ask(self.resource(manifest).replace, manifest, namespace, keep=keep, query_params=[STRICT])

    def apply(self, manifest: Mapping[str, Any], namespace: str | None = None, *, keep: bool = False) -> Verdict:
        """Apply as the operator does: server-side, by force, under its own name."""
        ask = self.resource(manifest).server_side_apply
        return self._ask(ask, manifest, namespace, keep=keep, field_manager=FIELD_MANAGER, force_conflicts=True, query_params=[STRICT])

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Mapping[str, Any] | None:
        """Return an object, None where there is none."""
        resource = self.dynamic.resources.get(api_version=api_version, kind=kind)
        try:
            return dict(resource.get(name=name, namespace=namespace).to_dict())
        except kubernetes.dynamic.exceptions.NotFoundError:
            return None

    def list(self, api_version: str, kind: str, namespace: str, *, selector: str = "") -> list[dict[str, Any]]:
        """Return objects by their labels as plain JSON: of hundreds, the client's own objects take seconds."""
        resource = self.dynamic.resources.get(api_version=api_version, kind=kind)
        path, query = resource.path(namespace=namespace), [("labelSelector", selector)]
        items: list[dict[str, Any]] = json.loads(self.dynamic.request("get", path, query_params=query, serialize=False).data)["items"]
        return items

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete an object. One that is gone is well: two fixtures may clear the same away, and the first one's deletion is under way."""
        with contextlib.suppress(kubernetes.dynamic.exceptions.NotFoundError):
            self.dynamic.resources.get(api_version=api_version, kind=kind).delete(name=name, namespace=namespace, body={})

    @staticmethod
    def _ask(ask: Any, manifest: Mapping[str, Any], namespace: str | None, *, keep: bool, **options: Any) -> Verdict:
        try:
            stored = ask(body=dict(manifest), namespace=namespace, **options, **({} if keep else {"dry_run": "All"}))
        except DynamicApiError as error:
            body = json.loads(error.body)
            causes = body.get("details", {}).get("causes", ())
            return Verdict(code=error.status, message=body["message"], fields=tuple(cause.get("field", "") for cause in causes))
        return Verdict(object=stored.to_dict())
