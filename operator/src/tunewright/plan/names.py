"""Names of child objects and values of labels: deterministic, valid DNS names, and different for different jobs.

A valid name stays unchanged. An invalid one (too long, with a dot, a leading digit) is shortened and cleaned, and gets the first 8
hexadecimal digits of a sha256 over the original, so that two jobs never share a name.
"""

import re
from hashlib import sha256

from tunewright.plan.plan_types import Names
from tunewright_contract import stages
from tunewright_contract.stages import Shape

NAME_LIMIT = 52  # a pod's name is `<job>-<index>-<5 random>`, a DNS label of at most 63 characters
ATTEMPT_ROOM = 4  # `-999`: a train attempt's Job is `<train>-<attempt>` and has the same limit
LABEL_LIMIT = 63
_HASH_DIGITS = 8


def names_of(job: str) -> Names:
    """Name a job's children after it."""
    limits = {Shape.GANG: NAME_LIMIT - ATTEMPT_ROOM}
    return Names(
        config=child_name(job, "config"),
        output=child_name(job, "output"),
        stages={stage: child_name(job, stage.name, limit=limits.get(stage.shape, NAME_LIMIT)) for stage in stages.STAGES},
    )


def attempt_name(train: str, attempt: int) -> str:
    """Name the Job of one train attempt, counted from 0."""
    return f"{train}-{attempt}"


def child_name(job: str, role: str, *, limit: int = NAME_LIMIT) -> str:
    """Return `<job>-<role>` as an RFC 1035 label (a Service's name must begin with a letter) of at most `limit` characters."""
    stem = _dashes(job)
    if not stem[:1].isalpha():
        stem = f"ftj-{stem}".rstrip("-")
    name = f"{stem}-{role}"
    if stem == job and len(name) <= limit:
        return name
    room = limit - len(role) - _HASH_DIGITS - 2
    return f"{stem[:room].rstrip('-')}-{_digits(job)}-{role}"


def label_value(text: str) -> str:
    """Return a valid label value for any text: at most 63 characters of letters, digits, `-_.`, alphanumeric at both ends."""
    value = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-_.")
    if value == text and len(value) <= LABEL_LIMIT:
        return value
    return f"{value[: LABEL_LIMIT - _HASH_DIGITS - 1]}-{_digits(text)}".lstrip("-_.")


def volume_name(folder: str) -> str:
    """Return a DNS label for a source's folder. It does not depend on which field of the job names the folder."""
    readable = _dashes(folder.rsplit("/", 1)[-1])[:20].rstrip("-")
    return f"{readable}-{_digits(folder)}".lstrip("-")


def _dashes(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digits(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
