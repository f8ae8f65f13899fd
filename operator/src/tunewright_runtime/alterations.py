"""Detects that the API server stores an object differently from what was written, because admission has changed the write.

The answer to our own write is compared with the rendered object. What differs then, and has not changed since, is no edit by others:
writing again gives the same answer. Harmless differences are accepted. After others the object is written again in growing intervals, so
that the write sticks soon after a policy was removed.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tunewright_runtime.differences import Difference, differences
from tunewright_runtime.objects import Manifest, ObjectRef

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 3600.0
_MOST = 10_000  # objects that are remembered
_SHOWN = 120  # characters of a value in a message
_IMAGE = re.compile(r"^(?:(?P<host>localhost|[^/]*[.:][^/]*)/)?(?P<path>.+)$")


class Harmless(NamedTuple):
    """A kind of change that is accepted. What admission adds (labels, env, tolerations, volumes, containers) is no difference at all."""

    path: re.Pattern[str]
    accepts: Callable[[Any, Any], bool]


def _same_repository(ours: Any, stored: Any) -> bool:
    """Return whether two images differ only in the registry's host."""
    if not (isinstance(ours, str) and isinstance(stored, str)):
        return False
    found = [_IMAGE.match(image) for image in (ours, stored)]
    return all(found) and len({match["path"] for match in found if match}) == 1


def _anything(_: Any, __: Any) -> bool:
    return True


HARMLESS = (
    Harmless(re.compile(r"\.(initContainers|containers)\[[^]]*\]\.image$"), _same_repository),
    Harmless(re.compile(r"\.imagePullPolicy$"), _anything),
    Harmless(re.compile(r"^Job: spec\.suspend$"), _anything),  # a queue holds the Job back
)


def is_harmless(kind: str, difference: Difference) -> bool:
    """Return whether a change by admission is accepted."""
    where = f"{kind}: {difference.path}"
    return any(row.path.search(where) and row.accepts(difference.ours, difference.stored) for row in HARMLESS)


@dataclass(frozen=True, kw_only=True)
class Alteration:
    """An object that is stored differently from what was written."""

    rendered: Manifest
    uid: str
    found: tuple[Difference, ...]
    harmful: tuple[Difference, ...]
    tries: int
    again_at: float
    manager: str  # that has set the first harmful field, according to managedFields; empty: admission changed our own write

    def message(self, ref: ObjectRef) -> str:
        """Return the first harmful field, both values, and who has changed it."""
        first = self.harmful[0]
        who = f"the field manager {self.manager}" if self.manager else "an admission webhook or policy"
        more = f" ({len(self.harmful) - 1} more fields differ)" if len(self.harmful) > 1 else ""
        return (
            f"{ref.kind} {ref.name}: {first.path}: {_short(first.ours)} was written, and {who} made it {_short(first.stored)}{more}. "
            "Exempt this object from that rule, or have the rule accept the written value; "
            f"until then the object is written again after pauses of up to {LONGEST_SECONDS / 60:.0f} minutes"
        )


class Alterations:
    """The altered objects of one operator process. A new process writes each of them once to find out."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[ObjectRef, Alteration] = OrderedDict()

    def note(self, ref: ObjectRef, rendered: Manifest, answer: Manifest, *, manager: str) -> None:
        """Compare the answer to our own write with the rendered object."""
        found = tuple(differences(answer, rendered))
        before = self._known.pop(ref, None)
        if not found:
            return
        same = before is not None and before.uid == answer["metadata"]["uid"] and before.rendered == rendered
        tries = before.tries + 1 if before is not None and same else 1
        harmful = tuple(one for one in found if not is_harmless(ref.kind, one))
        self._known[ref] = Alteration(
            rendered=rendered,
            uid=answer["metadata"]["uid"],
            found=found,
            harmful=harmful,
            tries=tries,
            again_at=self._clock() + min(FIRST_SECONDS * 2 ** min(tries - 1, 20), LONGEST_SECONDS),
            manager=_manager(answer, harmful, ours=manager),
        )
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def rests(self, ref: ObjectRef, rendered: Manifest, live: Manifest) -> bool:
        """Return whether another write can wait, because it would be altered in the same way."""
        known = self._known.get(ref)
        if known is None or known.uid != live["metadata"]["uid"] or known.rendered != rendered:
            return False
        if {one.path for one in differences(live, rendered)} - {one.path for one in known.found}:
            return False  # someone else has edited another field since
        return not known.harmful or self._clock() < known.again_at

    def forget(self, ref: ObjectRef) -> None:
        """Drop an object that is as rendered, or is gone."""
        self._known.pop(ref, None)

    def messages(self, refs: Iterable[ObjectRef]) -> tuple[str, ...]:
        """Return a message for each of these objects with a harmful difference."""
        return tuple(known.message(ref) for ref in refs if (known := self._known.get(ref)) is not None and known.harmful)


def _manager(answer: Manifest, harmful: Iterable[Difference], *, ours: str) -> str:
    first = next(iter(harmful), None)
    if first is None:
        return ""
    steps = [step for part in first.path.split(".") for step in (part.partition("[")[0], "[" if "[" in part else "") if step]
    for entry in answer["metadata"].get("managedFields", ()):
        if entry.get("manager") != ours and _has(entry.get("fieldsV1", {}), steps):
            return str(entry.get("manager"))
    return ""


def _has(fields: Mapping[str, Any], steps: list[str]) -> bool:
    if not steps:
        return True
    step, rest = steps[0], steps[1:]
    if step == "[":
        return any(_has(below, rest) for name, below in fields.items() if name.startswith("k:"))
    return f"f:{step}" in fields and _has(fields[f"f:{step}"], rest)


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
