"""Kubernetes quantities as whole units, and bytes as text for messages and manifests.

Takes quantities that the API has accepted. `tunewright_contract.quantities.amount` parses them.
"""

from math import ceil

from tunewright_contract.quantities import amount

_BINARY = (("Ei", 2**60), ("Pi", 2**50), ("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def whole(quantity: str) -> int:
    """Return a quantity as whole units (bytes, devices), rounded up as Kubernetes does: "1500m" -> 2, "4Gi" -> 4294967296."""
    return ceil(amount(quantity))


def quantity_of_bytes(size: int) -> str:
    """Write bytes in the largest binary unit that is exact: 4294967296 -> "4Gi", 1000 -> "1000"."""
    for suffix, factor in _BINARY:
        if size and size % factor == 0:
            return f"{size // factor}{suffix}"
    return str(size)


def people_bytes(size: int) -> str:
    """Write bytes for people, in binary units with about three significant digits: 65498251264 -> "61.0 GiB"."""
    for suffix, factor in _BINARY:
        if abs(size) >= factor:
            value = size / factor
            return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f} {suffix}B"
    return f"{size} B"
