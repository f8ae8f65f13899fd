"""Names of child objects, values of labels, and the revision of a job.

A valid name stays unchanged. An invalid one (too long, with a dot, a leading digit) is shortened and cleaned, and gets the first 8
hexadecimal digits of a sha256 over the original, so that two jobs never share a name. The revision is a hash of all inputs that determine
the trained and exported model.
"""

import json
import re
from hashlib import sha256

from tunewright.api.v1alpha1.job import FineTuneJob
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


REVISION_DIGITS = 10
# Settings without influence on the model: the place of checkpoints, the number of pods, and the server.
INPUTS = {"task", "model", "data", "method", "training", "deepspeed", "evaluation"}


def revision_of(job: FineTuneJob) -> str:
    """Return the first 10 hexadecimal digits of a sha256 over the job's uid and its training inputs as canonical JSON.

    Settings at their default are left out, so that a new field of an operator release does not rename existing revisions.
    """
    # allowRegression has no influence on the model.
    evaluation = job.spec.evaluation.model_copy(update={"allow_regression": False})
    spec = job.spec.model_copy(update={"evaluation": evaluation})
    inputs = spec.model_dump(mode="json", include=INPUTS, exclude_defaults=True)
    inputs["onnx"] = job.spec.output.onnx.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps({"uid": job.metadata.uid, "inputs": inputs}, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:REVISION_DIGITS]
