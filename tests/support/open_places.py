"""Open places of a manifest, and values that no place may take. To add a case, add a row to either."""

import json

from api_jobs import raw_job

# Raw maps, with a key to put the value under.
LEAVES = {
    "deepspeed.config": ["zero_optimization"],
    "training.lrSchedulerKwargs": ["x"],
}
# Values of several types.
VALUES = {"method.lora.targetModules": 1, "method.lora.excludeModules": 1, "method.lora.initLoraWeights": 0}


# Values as JSON, since no encoder writes the deep ones.
HOSTILE = {
    "985 lists": "[" * 985 + "]" * 985,
    "985 maps": '{"a":' * 985 + "1" + "}" * 985,
    "30 lists": "[" * 30 + "]" * 30,
    "six maps": '{"a":' * 6 + "1" + "}" * 6,
    "a long text": json.dumps("x" * 100_000),
    "many entries": json.dumps({f"key-{number}": 1 for number in range(10_000)}),
    "a long list": json.dumps(list(range(2_000))),  # the API server compares all errors with each other: 10,000 take it 20 s, for any CRD
}


def job_text(field: str, value: str) -> str:
    """A manifest as JSON, which is YAML, with a value that is JSON itself."""
    return json.dumps(raw_job({field: "VALUE"})).replace('"VALUE"', value)
