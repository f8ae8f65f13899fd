"""The rights that the chart grants with some values, in force on an API server, and the operator's account as their user."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_server import ApiServer
from control_plane import ControlPlane
from helm import Helm, kind_of

RBAC = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@dataclass(frozen=True, kw_only=True)
class Granted:
    """`manifests`: service account, roles and bindings."""

    manifests: Sequence[Mapping[str, Any]]
    namespace: str

    @property
    def account(self) -> str:
        """The name of the operator's service account."""
        (account,) = kind_of(self.manifests, "ServiceAccount")
        return str(account["metadata"]["name"])

    @property
    def user(self) -> str:
        """The account's name in requests and in the audit log."""
        return f"system:serviceaccount:{self.namespace}:{self.account}"

    def kubeconfig(self, plane: ControlPlane) -> Path:
        """Return a kubeconfig of this user."""
        return plane.kubeconfig_for(self.user, "system:serviceaccounts", f"system:serviceaccounts:{self.namespace}")


@contextmanager
def granted(api: ApiServer, helm: Helm, namespace: str, **values: Any) -> Iterator[Granted]:
    """Apply the rights that the chart grants an operator in `namespace`, and remove them afterwards."""
    rendered = helm.template({"crds": {"enabled": False}, **values}, namespace=namespace)
    manifests = [manifest for manifest in rendered if manifest["kind"] in RBAC]
    for manifest in manifests:
        made = api.apply(manifest, manifest["metadata"].get("namespace"), keep=True)
        assert made.accepted, made.message
    yield Granted(manifests=manifests, namespace=namespace)
    for manifest in manifests:
        meta = manifest["metadata"]
        api.delete(manifest["apiVersion"], manifest["kind"], meta["name"], meta.get("namespace"))
