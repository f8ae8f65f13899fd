"""Reading Kubernetes quantities. Source: the serialisation of the Kubernetes API's resource.Quantity."""

from decimal import Decimal

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
