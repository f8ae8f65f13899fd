"""`spec.training`: the arguments of transformers.TrainingArguments and trl.SFTConfig, in camelCase, with defaults for fine-tuning."""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.api.v1alpha1.common import Items, SecretKeyRef, Spec, Word
from tunewright.api.v1alpha1.open_map import FlatMap
from tunewright_contract.capabilities.optimizers import DEFAULT_OPTIMIZER, OptimizerName
from tunewright_contract.capabilities.precisions import DEFAULT_TRAINING_PRECISION, TrainingPrecisionName

LrScheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
    "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy",
]  # fmt: skip
Tracker = Literal["wandb", "mlflow", "tensorboard"]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
PositiveCount = Annotated[int, Field(ge=1, le=2**31 - 1)]
BatchSize = Annotated[int, Field(ge=1, le=65536)]
Steps = Annotated[float, Field(gt=0, le=2**31 - 1)]  # below 1: a share of all steps, as in transformers


class EarlyStopping(Spec):
    """Stop if the metric no longer improves (transformers.EarlyStoppingCallback)."""

    patience: PositiveCount = 1
    threshold: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    min_evals: Count = 0


class PushToHub(Spec):
    """Upload to the Hugging Face hub while training."""

    model_id: Word
    strategy: Literal["every_save", "end", "checkpoint", "all_checkpoints"] = "every_save"
    private: bool = True
    revision: Word | None = None
    token_secret_ref: SecretKeyRef | None = None


class TrainingSpec(Spec):
    """Duration, learning rate, batch sizes, evaluation and checkpoints."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10000)] = 1.0
    """Passes over the training data."""
    max_steps: Annotated[int, Field(ge=-1, le=2**31 - 1)] = -1
    """Optimizer steps; overrides numTrainEpochs unless -1."""
    per_device_train_batch_size: BatchSize = 1
    """Examples per rank and forward pass."""
    per_device_eval_batch_size: BatchSize = 1
    gradient_accumulation_steps: BatchSize | None = None
    """Forward passes per optimizer step. Absent: 1, or the value that globalBatchSize requires."""
    global_batch_size: Annotated[int, Field(ge=1, le=2**24)] | None = None
    """Examples per optimizer step over all ranks = perDeviceTrainBatchSize * gradientAccumulationSteps * ranks."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate. Absent: that of the tuner: 2e-5 for full, 2e-4 for lora, 3e-3 for ia3."""
    lr_scheduler_type: LrScheduler = "cosine"
    lr_scheduler_kwargs: FlatMap = Field(default_factory=dict)
    warmup_steps: Annotated[float, Field(ge=0, le=2**31 - 1)] = 0.0
    """Steps of linear warm-up. Below 1: a share of all steps."""
    optim: OptimizerName = DEFAULT_OPTIMIZER
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    max_grad_norm: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    precision: TrainingPrecisionName = DEFAULT_TRAINING_PRECISION
    """Number type of the computation during training."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass. Saves memory, and takes about a third more time."""
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=1000)] | None = None
    use_liger_kernel: bool = False
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = "random"
    label_smoothing_factor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    logging_steps: Steps = 10.0
    """Steps between two reports of the loss."""
    logging_first_step: bool = False
    eval_strategy: Literal["no", "steps", "epoch"] = "epoch"
    """When to measure eval_loss on the validation data."""
    eval_steps: Steps | None = None
    """Steps between two evaluations. Absent: loggingSteps."""
    eval_delay: Annotated[float, Field(ge=0, le=2**31 - 1)] = 0.0
    eval_on_start: bool = False
    eval_accumulation_steps: PositiveCount | None = None
    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"
    """When to write a checkpoint."""
    save_steps: Steps = 500.0
    save_total_limit: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of checkpoints to keep."""
    save_only_model: bool = False
    load_best_model_at_end: bool = False
    metric_for_best_model: Word | None = None
    greater_is_better: bool | None = None
    early_stopping: EarlyStopping | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    data_seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    full_determinism: bool = False
    dataloader_num_workers: Annotated[int, Field(ge=0, le=256)] = 0
    dataloader_prefetch_factor: Annotated[int, Field(ge=1, le=1024)] | None = None
    ddp_timeout: Annotated[int, Field(ge=1, le=604800)] = 1800
    """Seconds until a rank that waits for other ranks fails."""
    report_to: Annotated[Items[Tracker], Field(max_length=3)] = ()
    push_to_hub: PushToHub | None = None
