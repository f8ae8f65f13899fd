"""The way to the API server: its address and credentials, and one request by its path, with no discovery and the answer unread.

Credentials are those of the pod's service account, or of a kubeconfig outside a cluster ($KUBECONFIG, ~/.kube/config). The controller's
client and a person's client both send their requests so. Each has its own time limits, errors and decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.dynamic import DynamicClient

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """For requests to the API server without `Client`. Files are absolute paths; the token has no scheme."""

    server: str
    ca_file: str | None
    certificate_file: str | None
    key_file: str | None
    token: str | None
    insecure: bool


def configuration() -> Configuration:
    """Read the configuration again, because a service account's token changes every hour."""
    settings = Configuration()
    if SERVICE_ACCOUNT.exists():
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    else:
        config.load_kube_config(client_configuration=settings, persist_config=False)  # type: ignore[no-untyped-call]
    return settings


def connection() -> Connection:
    """Return the configuration as plain values."""
    settings = configuration()
    bearer = settings.auth_settings().get("BearerToken")
    token = str(bearer["value"]) if bearer else ""
    return Connection(
        server=settings.host,
        ca_file=settings.ssl_ca_cert,
        certificate_file=settings.cert_file,
        key_file=settings.key_file,
        token=token.rpartition(" ")[2] or None,  # the library keeps it with its scheme, as in the header
        insecure=not settings.verify_ssl,
    )


JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML


class Transport:
    """The connections to one API server. Safe to use from several threads."""

    def __init__(self, api: ApiClient) -> None:
        self._dynamic = DynamicClient(api, discoverer=_NoDiscovery)  # type: ignore[no-untyped-call]

    def request(
        self,
        method: str,
        path: str,
        *,
        time_limit: tuple[float, float],
        body: Any = None,
        content_type: str = JSON,
        query: Sequence[tuple[str, Any]] = (),
        accept: str = JSON,
    ) -> Any:
        """Return urllib3's answer, whose body is not read yet. Raises ApiException for an error, and one of `faults.TRANSPORT_ERRORS`.

        `time_limit`: seconds to connect, and between two reads.
        """
        return self._dynamic.request(
            method,
            path,
            body=body,
            content_type=content_type,
            query_params=list(query),
            header_params={"Accept": accept},
            serialize=False,
            _request_timeout=time_limit,
        )


class _NoDiscovery:
    """Replaces the library's discovery: the caller has the path."""

    def __init__(self, client: DynamicClient, cache_file: str | None) -> None:
        del client, cache_file
