"""Secrets on this machine: files in the home folder, or the environment variable of the same name.

A key of a Secret is the file `<home>/secrets/<namespace>/<secret>/<key>`; without it, a container's variable such as HF_TOKEN is taken from
the environment of `tunewright run`. Values are never stored in an object, a status or a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tunewright.local.layout import Layout


@dataclass(frozen=True)
class Secrets:
    """Looks up secrets."""

    layout: Layout
    environ: Mapping[str, str]

    def find(self, namespace: str, name: str, key: str, variable: str) -> str | None:
        """Return the value for a container's variable, or None. A newline at the end of a file does not belong to it."""
        try:
            return self.layout.secret(namespace, name, key).read_text().rstrip("\r\n")
        except FileNotFoundError:
            return self.environ.get(variable)

    def way_out(self, namespace: str, name: str, key: str, variable: str) -> str:
        """Say how to provide it."""
        return f"set the environment variable {variable}, or write the value into {self.layout.secret(namespace, name, key)}"
