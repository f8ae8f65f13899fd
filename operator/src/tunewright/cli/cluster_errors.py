"""What an API server or a kubeconfig refused, for the person at the terminal: the cause with context and namespace, and the way out."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

from tunewright.cli.places import PlaceError
from tunewright.kube.kinds import FINE_TUNE_JOB, SCHEME
from tunewright_runtime.errors import TunewrightError
from tunewright_runtime.kubeconfig import BadKubeconfigError
from tunewright_runtime.user_client import RefusedError, UnreachableError, UserClient

READING = frozenset({"get", "list", "watch"})
ANONYMOUS = "system:anonymous"
GROUP = SCHEME.resources[FINE_TUNE_JOB].api_version.partition("/")[0]
_LACKING = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[\w/.-]+)"')
_UNKNOWN_FIELD = re.compile(r'unknown field "([^"]+)"|\.(\S+): field not declared in schema')  # of a create, and of an apply


@dataclass(frozen=True, kw_only=True)
class ClusterNames:
    """What messages and command lines name. `options` selected the cluster."""

    context: str
    namespace: str
    server: str
    program: str
    options: str

    def command(self, words: str, namespace: str | None = None) -> str:
        """Return a command line for the same cluster."""
        return f"{self.program} {words}{self.options}" + (f" -n {namespace}" if namespace not in (None, self.namespace) else "")

    def kubectl(self, words: str) -> str:
        """Return a command line of kubectl for the same cluster."""
        return f"kubectl --context {self.context} {words}"


@contextmanager
def selecting(context: str | None) -> Iterator[None]:
    """Turn a kubeconfig that cannot be used into an error with its way out."""
    try:
        yield
    except BadKubeconfigError as error:
        if error.contexts:
            raise PlaceError(str(error), f"There are: {', '.join(error.contexts)}") from error
        if "credential plugin" in str(error):
            raise PlaceError(str(error), "Log in as your cluster's provider documents it, then run the command again.") from error
        named = f" with the context {context}" if context else ""
        raise PlaceError(str(error), f"Name a kubeconfig{named}: --kubeconfig FILE, or set KUBECONFIG.") from error


@contextmanager
def reported(client: UserClient, names: ClusterNames, namespace: str) -> Iterator[None]:
    """Turn each refusal within the block into an error with its way out. An empty namespace means all of them."""
    try:
        yield
    except UnreachableError as error:
        raise _unreachable(error, names) from error
    except RefusedError as error:
        raise _refused(error, client, names, namespace) from error


def objections_of(error: RefusedError) -> Sequence[str]:
    """Return why the API server would refuse a manifest, a line for each field. Raises the error if it is not about the manifest."""
    unknown = [first or second for first, second in _UNKNOWN_FIELD.findall(str(error))]
    if unknown:  # of an apply the answer's code is 500
        older = f"its definition of {FINE_TUNE_JOB} is older than this tunewright {version('tunewright')}, or the field is misspelt"
        return [f"{field}: unknown field; {older}. Upgrade the operator there, or leave the field out" for field in unknown]
    if error.code in (401, 404) or error.code >= 500 or _LACKING.search(str(error)):
        raise error
    causes = [f"{cause['field']}: {cause.get('message', '')}" for cause in error.details.get("causes") or () if cause.get("field")]
    return causes or [str(error)]


def _unreachable(error: UnreachableError, names: ClusterNames) -> TunewrightError:
    message = f"no answer from {names.server} (context {names.context}): {error}"
    if "certificate has expired" in str(error) or "certificate is not yet valid" in str(error):
        return PlaceError(message, "Have the API server's certificate renewed, and check this machine's clock.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate verify failed" in str(error):
        return PlaceError(message, "Correct certificate-authority in the kubeconfig: it is not the authority of this API server.")
    return PlaceError(message, f"Check that the cluster runs, and that this machine reaches it: {names.kubectl('get --raw /readyz')}")


def _refused(error: RefusedError, client: UserClient, names: ClusterNames, namespace: str) -> TunewrightError:
    where = f"context {names.context}, " + (f"namespace {namespace}" if namespace else "all namespaces")
    lacking = _LACKING.search(str(error))
    if error.code == 401 or (lacking and lacking["user"] == ANONYMOUS):
        message = f"the API server does not accept your credentials (context {names.context}): {error}"
        return PlaceError(message, f"They may have expired: log in again. To see your user: {names.kubectl('auth whoami')}")
    if error.code == 403 and lacking:
        return PlaceError(f"you lack a right ({where}): {error}", _right(lacking, names, namespace))
    if error.code == 404 and not error.details.get("name"):
        return _no_definition(client, names)
    if error.code == 404:
        return PlaceError(f"not found ({where}): {error}")
    if error.code == 409 and error.details.get("causes"):
        return PlaceError(
            f"another manager has set the field ({where}): {error}", "Change it there, or apply the manifest with the same tool."
        )
    if error.code == 409:
        return PlaceError(f"the job has changed meanwhile ({where}): {error}", "Run the command again.")
    if error.code == 429 or error.code >= 500:
        return PlaceError(f"the API server failed ({where}): {error.code} {error}", "Try again later.")
    return PlaceError(f"the API server refused it ({where}): {error}")


def _right(lacking: re.Match[str], names: ClusterNames, namespace: str) -> str:
    verb, resource = lacking["verb"], lacking["resource"]
    role = "view" if verb in READING and resource != "pods/portforward" else "edit"
    plural, _, subresource = resource.partition("/")
    kind = f"{plural}.{GROUP}" if plural == SCHEME.primary_plural else plural
    asked = f"auth can-i {verb} {kind}" + (f" --subresource={subresource}" if subresource else "")
    if not namespace:
        return f"Name one namespace with -n, or ask an administrator for the role {role} in the whole cluster."
    grant = f"kubectl create rolebinding NAME --clusterrole={role} --user={lacking['user']} -n {namespace}"
    return f"Ask an administrator for the role {role}: {grant}. To check: {names.kubectl(f'{asked} -n {namespace}')}"


def _no_definition(client: UserClient, names: ClusterNames) -> TunewrightError:
    """Say whether the cluster has no FineTuneJobs at all, or serves other versions of them."""
    wanted = SCHEME.resources[FINE_TUNE_JOB].api_version
    try:
        served = [one["groupVersion"] for one in client.get(f"/apis/{GROUP}").get("versions", ())]
    except RefusedError:
        served = []
    if served:
        message = f"the cluster of context {names.context} serves {', '.join(served)}, and this tunewright needs {wanted}"
        return PlaceError(message, "Upgrade the operator there (docs/install.md), or use the tunewright of its release.")
    message = f"the cluster of context {names.context} has no {FINE_TUNE_JOB} definition: Tunewright is not installed there"
    return PlaceError(message, "Install it (docs/install.md), or name another context with --context.")
