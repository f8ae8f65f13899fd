"""Raw JSON for another system, with bounds on depth, entries, and the lengths of keys and texts.

Without bounds, the API server accepts an object of 3 KB with a thousand nested lists, which a JSON parser cannot read. The CRD has the
same bounds (see `structural`), except those on keys and on the whole size, which a CRD schema cannot express.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

MOST_ENTRIES = 256  # of a list or map
LONGEST_TEXT = 1024  # characters
LONGEST_KEY = 256
MOST_VALUES = 4096  # in the whole map
LARGEST_INTEGER = 2**63 - 1
DEPTH = "x-tunewright-depth"  # a keyword of our JSON schema: levels of lists and maps below this value


def _bounded(value: Any, depth: int) -> Any:
    """Check every value, without recursion, because the depth is unknown."""
    rest, seen = [(value, depth)], 0
    while rest:
        item, levels = rest.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise _refuse(f"holds more than {MOST_VALUES} values")
        if isinstance(item, str) and len(item) > LONGEST_TEXT:
            raise _refuse(f"holds a text of {len(item)} characters, more than {LONGEST_TEXT}")
        if isinstance(item, int) and abs(item) > LARGEST_INTEGER:
            raise _refuse(f"holds a whole number of {item.bit_length()} bits, more than 63")
        if not isinstance(item, dict | list | tuple):
            continue
        if levels == 0:
            raise _refuse(f"nests more than {depth} lists and maps")
        if len(item) > MOST_ENTRIES:
            raise _refuse(f"holds a list or map of {len(item)} entries, more than {MOST_ENTRIES}")
        if isinstance(item, dict):
            long = next((key for key in item if isinstance(key, str) and len(key) > LONGEST_KEY), None)
            if long is not None:
                raise _refuse(f"holds a key of {len(long)} characters, more than {LONGEST_KEY}")
        rest += [(inner, levels - 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return value


def _refuse(why: str) -> PydanticCustomError:
    return PydanticCustomError("open_map", "Input {why}", {"why": why})


def _nesting(depth: int) -> tuple[BeforeValidator, WithJsonSchema]:
    schema = {"type": "object", "maxProperties": MOST_ENTRIES, "additionalProperties": {DEPTH: depth}}
    return BeforeValidator(lambda value: _bounded(value, depth + 1)), WithJsonSchema(schema)


# The number is the deepest nesting of lists and maps.
FlatMap = Annotated[dict[str, JsonValue], *_nesting(1)]  # {"factor": 2.0, "short_factor": [1.0, 1.0]}
NestedMap = Annotated[dict[str, JsonValue], *_nesting(3)]  # {"optimizer": {"params": {"betas": [0.9, 0.95]}}}
