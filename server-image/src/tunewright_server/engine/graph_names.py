"""Compares the inputs and outputs of a graph with those that its manifest promises."""

from collections.abc import Collection

from tunewright_contract.exit_codes import ExitCode
from tunewright_server.refusal import RefusalError


def check_inputs(found: Collection[str], expected: Collection[str], *, graph: str = "the graph") -> None:
    """Raises `RefusalError` (65) unless the graph takes exactly these inputs."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing:
        raise mismatch(f"lacks the inputs {missing[:4]}", graph=graph)
    if extra:
        raise mismatch(f"needs inputs that the manifest does not list: {extra[:4]}", graph=graph)


def check_outputs(found: Collection[str], expected: Collection[str], *, graph: str = "the graph") -> None:
    """Raises `RefusalError` (65) where the graph lacks one of these outputs."""
    missing = sorted(set(expected) - set(found))
    if missing:
        raise mismatch(f"lacks the outputs {missing[:4]}", graph=graph)


def mismatch(message: str, *, graph: str = "the graph") -> RefusalError:
    """Return the refusal of a graph that is not as its manifest says."""
    return RefusalError("GraphMismatch", f"{graph} {message}", suggestion="export the model again", exit_code=ExitCode.DATA)
