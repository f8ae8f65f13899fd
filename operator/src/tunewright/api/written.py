"""Values as they stand in a manifest, for messages: true and false, camelCase, texts in quotes, numbers without needless digits."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tunewright.api.v1alpha1.common import Spec

ABSENT = "absent"


def as_written(value: Any) -> str:
    """Write a value in YAML's flow style, on one line. None is `absent`; of a part, only what the job sets is written."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else _nested(value)


def _nested(value: Any) -> str:
    if isinstance(value, Spec):
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_nested(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_nested, value)) + "]"
    if isinstance(value, float):
        return re.sub(r"e([+-])0*", lambda match: f"e{match[1].strip('+')}", repr(value).removesuffix(".0"))
    return json.dumps(value, ensure_ascii=False)
