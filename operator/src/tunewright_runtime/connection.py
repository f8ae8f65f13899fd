"""Address and credentials of the API server: the pod's service account, or a kubeconfig outside a cluster ($KUBECONFIG, ~/.kube/config)."""

from dataclasses import dataclass
from pathlib import Path

from kubernetes import config
from kubernetes.client.configuration import Configuration

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
