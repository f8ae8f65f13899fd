"""Maps names of other tools and older versions to the names of this API.

Keys are in camelCase; snake_case is converted before the lookup. Sources: transformers 5's list of renamed arguments, trl 1.16, axolotl,
LLaMA-Factory, Azure ML.
"""

from pydantic.alias_generators import to_camel

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
