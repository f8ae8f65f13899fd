"""`spec.evaluation`: how base and tuned model are compared after training, and what must hold before the tuned one is served."""

from typing import Annotated

from pydantic import Field

from tunewright.api.v1alpha1.common import Items, Spec, Word, keyed

Bound = Annotated[float, Field(ge=-1e12, le=1e12)]


class Gate(Spec):
    """A condition on a metric."""

    metric: Word
    must_not_regress: bool = False
    """No worse than what serves now."""
    minimum: Bound | None = None
    maximum: Bound | None = None


class EvaluationSpec(Spec):
    """Measured on the test data, else on the validation data."""

    max_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Examples on which loss and token accuracy are measured."""
    generate_samples: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Examples that both models answer greedily; exact matches are counted."""
    max_new_tokens: Annotated[int, Field(ge=1, le=65536)] = 64
    """Length limit of those answers."""
    allow_regression: bool = False
    """Complete the job and serve its model although its held-out loss is not finite, or worse than the base model's. Can be changed at any
    time: set to true, a job that failed with ModelRegressed completes; set back to false, a server that runs goes on."""
    gates: Annotated[Items[Gate], Field(max_length=32), keyed("metric")] = ()
