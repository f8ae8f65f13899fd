"""Kubernetes quantities: read, as whole units, and bytes as text for messages and manifests.

Source: the serialisation of the Kubernetes API's resource.Quantity. Takes quantities that the API has accepted.
"""

from decimal import Decimal
from math import ceil

_SUFFIXES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(quantity: str) -> Decimal:
    """Return a quantity (`500m`, `80Gi`, `1e3`) in its base unit: cores, bytes or pieces.

    Expects a quantity that the API server or the schema has accepted; for another text the result is undefined, or an error.
    """
    for suffix, power in _BINARY_SUFFIXES.items():
        if quantity.endswith(suffix):
            return Decimal(quantity[:-2]) * Decimal(2**power)
    if quantity[-1] in _SUFFIXES:
        return Decimal(quantity[:-1]).scaleb(_SUFFIXES[quantity[-1]])
    return Decimal(quantity)


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
