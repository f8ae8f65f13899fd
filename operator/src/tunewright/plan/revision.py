"""The revision of a job: a hash of all inputs that determine the trained and exported model."""

import json
from hashlib import sha256

from tunewright.api.v1alpha1.job import FineTuneJob

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
