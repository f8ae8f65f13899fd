"""`spec.evaluation`: the comparison of base and tuned model after training, and the conditions for serving."""

from typing import Annotated

from pydantic import Field

from tunewright.api.v1alpha1.common import Items, Spec, Word, keyed

Bound = Annotated[float, Field(ge=-1e12, le=1e12)]


class Gate(Spec):
    """A condition on a metric."""

    metric: Word
    """Name of the metric, such as eval_loss."""
    must_not_regress: bool = False
    """The metric must not be worse than that of the served model."""
    minimum: Bound | None = None
    """Smallest value that passes, in the unit of the metric. Absent: not checked."""
    maximum: Bound | None = None
    """Largest value that passes, in the unit of the metric. Absent: not checked."""


class EvaluationSpec(Spec):
    """Comparison on the test data, or on the validation data if there is no test data."""

    max_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Number of examples for loss and token accuracy."""
    generate_samples: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Number of examples that both models answer greedily, to count exact matches."""
    max_new_tokens: Annotated[int, Field(ge=1, le=65536)] = 64
    """Most tokens of these answers."""
    allow_regression: bool = False
    """Complete the job and serve its model even if its held-out loss is not finite or worse than the base model's. You can change this at
    any time. With true, a job that failed with ModelRegressed completes. Setting it back to false stops no running server."""
    gates: Annotated[Items[Gate], Field(max_length=32), keyed("metric")] = ()
    """Conditions for serving the model."""
