"""Names of fields, so that messages can suggest the right one: those of this API with their paths, and those of other tools.

The API's own names are read from its models. A table maps the names of other tools and older versions: its keys are in camelCase, and
snake_case is converted before the lookup. Sources: transformers 5's list of renamed arguments, trl 1.16, axolotl, LLaMA-Factory, Azure ML.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args

from pydantic.alias_generators import to_camel

from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.job import FineTuneJob

Step = str | int


def names_in(model: type[Spec]) -> tuple[str, ...]:
    """Return the fields of a part by their names in YAML."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def model_at(steps: Sequence[Step]) -> type[Spec] | None:
    """Return the model of the part at this place of a job, or None for scalars, maps and missing places."""
    model: type[Spec] | None = FineTuneJob
    for step in steps:
        if isinstance(step, int) or model is None:
            continue  # an entry of a list has the type of the list's own entries
        model = next((part_of(field.annotation) for field in model.model_fields.values() if field.alias == step), None)
    return model


@cache
def places_of(name: str) -> tuple[str, ...]:
    """Return the paths of all fields of this name, e.g. learningRate → (spec.training.learningRate,)."""
    return tuple(path for path in _walk(FineTuneJob, "") if path.rsplit(".", 1)[-1] == name)


def _walk(model: type[Spec], prefix: str) -> Iterator[str]:
    for field in model.model_fields.values():
        path = f"{prefix}{field.alias}"
        yield path
        part = part_of(field.annotation)
        if part is not None and field.alias != "metadata":
            yield from _walk(part, f"{path}.")


def part_of(annotation: Any) -> type[Spec] | None:
    """Return the part inside Annotated, Optional and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((found for inner in get_args(annotation) if (found := part_of(inner)) is not None), None)


GONE = "nothing"
RENAMED = {
    # transformers < 5 and trl < 1
    "evaluationStrategy": "spec.training.evalStrategy",
    "warmupRatio": "spec.training.warmupSteps, where a value below 1 is a share of all steps",
    "groupByLength": "spec.training.trainSamplingStrategy: group_by_length",
    "torchDtype": "spec.model.dtype",
    "maxSeqLength": "spec.data.maxLength",
    "maxSeqLen": "spec.data.maxLength",
    "useFlashAttention2": "spec.model.attnImplementation: flash_attention_2",
    "overwriteOutputDir": f"{GONE}: every revision has a folder of its own, and training resumes in it",
    "outputDir": f"{GONE}: spec.output has the places of checkpoints and models",
    "resumeFromCheckpoint": f"{GONE}: a job always resumes from its newest whole checkpoint",
    "noCuda": f"{GONE}: without accelerators in spec.workers.resources.limits a job trains on processors",
    "useCpu": f"{GONE}: without accelerators in spec.workers.resources.limits a job trains on processors",
    "enableJitCheckpoint": f"{GONE}: a job always saves before it stops",
    "universalCheckpoint": f"{GONE}: checkpoints are always converted when the number of workers changes",
    "maskHistory": f"{GONE}: cut each conversation to its last turn instead",
    "elasticity": f"{GONE}: set spec.workers.replicas, which can change while a job trains",
    "autoFindBatchSize": f"{GONE}: set spec.training.perDeviceTrainBatchSize; `tunewright plan` shows what fits",
    "extraArgs": f"{GONE}: spec.training has a field for each argument that a job can set",
    "specialTokens": f"{GONE}: set the tokens in the base model's tokenizer",
    "addTokens": f"{GONE}: add the tokens to the base model and its tokenizer first",
    "packingStrategy": f"{GONE}: spec.data.packing has no further settings",
    "mergeLoraWeights": f"{GONE}: the exported model is always the merged one",
    "ropeScaling": f"{GONE}: set it in the base model's config.json",
    "maxPositionEmbeddings": f"{GONE}: set it in the base model's config.json",
    "bf16": "spec.training.precision: bf16",
    "fp16": "spec.training.precision: fp16",
    "perGpuTrainBatchSize": "spec.training.perDeviceTrainBatchSize",
    "perGpuEvalBatchSize": "spec.training.perDeviceEvalBatchSize",
    "loadIn4bit": "spec.method.quantization.type: bnb4",
    "loadIn8bit": "spec.method.quantization.type: bnb8",
    # axolotl, LLaMA-Factory, Azure ML
    "sequenceLen": "spec.data.maxLength",
    "cutoffLen": "spec.data.maxLength",
    "microBatchSize": "spec.training.perDeviceTrainBatchSize",
    "trainBatchSize": "spec.training.globalBatchSize",
    "epochs": "spec.training.numTrainEpochs",
    "numEpochs": "spec.training.numTrainEpochs",
    "lrScheduler": "spec.training.lrSchedulerType",
    "optimizer": "spec.training.optim",
    "samplePacking": "spec.data.packing",
    "excessLengthStrategy": "spec.data.overlongPolicy",
    "finetuningType": "spec.method.tuner",
    "adapter": "spec.method.tuner",
    "applyLora": "spec.method.tuner: lora",
    "applyDeepspeed": "spec.deepspeed",
    "loraR": "spec.method.lora.r",
    "loraRank": "spec.method.lora.r",
    "rank": "spec.method.lora.r",
    "alpha": "spec.method.lora.loraAlpha",
    "dropout": "spec.method.lora.loraDropout",
    "loraTarget": "spec.method.lora.targetModules",
    "loraTargetModules": "spec.method.lora.targetModules",
    "trainFromScratch": "spec.model.fromScratch",
    # DeepSpeed and launchers
    "zeroStage": "spec.deepspeed.stage",
    "zeroOptimization": "spec.deepspeed.config.zero_optimization, or the typed fields of spec.deepspeed",
    "nprocPerNode": "spec.workers.resources.limits: one rank per accelerator",
    "nnodes": "spec.workers.replicas",
    "numNodes": "spec.workers.replicas",
    "gpus": "spec.workers.resources.limits, e.g. nvidia.com/gpu: 1",
}


def as_camel(name: str) -> str:
    """Return a name in the spelling of manifests."""
    return to_camel(name) if "_" in name else name
