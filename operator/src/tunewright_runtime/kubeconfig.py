"""The cluster that a person selects as with kubectl: a kubeconfig, one of its contexts, and a namespace.

The official library reads the file: certificates, tokens and credential plugins work as with kubectl. Raises BadKubeconfigError.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client.configuration import Configuration
from yaml import YAMLError  # type: ignore[import-untyped]

from tunewright_runtime.connection import SERVICE_ACCOUNT
from tunewright_runtime.errors import TunewrightError

DEFAULT_FILE = "~/.kube/config"
DEFAULT_NAMESPACE = "default"
IN_CLUSTER = "in-cluster"  # the name of a pod's own cluster


class BadKubeconfigError(TunewrightError):
    """The kubeconfig is missing or cannot be used. `contexts` are those that it has."""

    def __init__(self, message: str, *, contexts: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.contexts = contexts


@dataclass(frozen=True, kw_only=True)
class SelectedCluster:
    """A cluster, the credentials for it and the namespace for names without one."""

    context: str
    namespace: str
    settings: Configuration


def select(*, kubeconfig: Path | None = None, context: str | None = None, namespace: str | None = None) -> SelectedCluster:
    """Return the selected cluster. Without a kubeconfig: $KUBECONFIG, else ~/.kube/config, else the service account of this pod."""
    files = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or DEFAULT_FILE
    settings = Configuration()
    if context is None and not _any_exists(files) and kubeconfig is None and SERVICE_ACCOUNT.exists():
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        own = SERVICE_ACCOUNT.with_name("namespace").read_text(encoding="utf-8").strip()
        return SelectedCluster(context=IN_CLUSTER, namespace=namespace or own, settings=settings)
    if not _any_exists(files):
        raise BadKubeconfigError(f"there is no kubeconfig {files}")
    names, current = _contexts(files)
    chosen = context or current
    if chosen not in names:
        raise BadKubeconfigError(f"there is no context {chosen} in {files}", contexts=tuple(names))
    with _readable(files), _plugins_must_succeed(files):
        config.load_kube_config(files, context=chosen, client_configuration=settings, persist_config=False)  # type: ignore[no-untyped-call]
    settings.retries = 0
    return SelectedCluster(
        context=chosen, namespace=namespace or str(names[chosen].get("namespace") or DEFAULT_NAMESPACE), settings=settings
    )


def _contexts(files: str) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Return name -> context, and the current context's name."""
    with _readable(files):
        contexts, current = config.list_kube_config_contexts(files)  # type: ignore[no-untyped-call]
        return {str(item["name"]): item.get("context") or {} for item in contexts}, str(current["name"])


@contextmanager
def _readable(files: str) -> Iterator[None]:
    try:
        yield
    except config.ConfigException as error:
        raise BadKubeconfigError(f"{files} cannot be used: {error}") from error
    except (OSError, ValueError, TypeError, AttributeError, KeyError, YAMLError) as error:  # what the library raises for wrong content
        raise BadKubeconfigError(f"{files} cannot be read: {' '.join(str(error).split())}") from error


def _any_exists(files: str) -> bool:
    return any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)


@contextmanager
def _plugins_must_succeed(files: str) -> Iterator[None]:
    """Raise if a credential plugin fails within the block: the library only logs that, and continues without credentials."""
    failures: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failures.append(record.getMessage())

    root, collector = logging.getLogger(), Collector(logging.ERROR)
    root.addHandler(collector)
    try:
        yield
    finally:
        root.removeHandler(collector)
    if failures:
        raise BadKubeconfigError(f"the credential plugin of {files} failed: {'; '.join(failures)}")
