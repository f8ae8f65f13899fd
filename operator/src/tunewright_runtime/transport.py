"""One request to the API server, by its path: no discovery, and the answer unread.

The controller's client and a person's client both use it. Each has its own time limits, errors and decoding.
"""

from collections.abc import Sequence
from typing import Any

from kubernetes.client.api_client import ApiClient
from kubernetes.dynamic import DynamicClient

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
