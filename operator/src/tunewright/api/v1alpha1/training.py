"""`spec.training`: the arguments of transformers.TrainingArguments and trl.SFTConfig, in camelCase, with defaults for fine-tuning."""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.api.v1alpha1.common import FlatMap, Items, SecretKeyRef, Spec, Word
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
    """Number of evaluations without improvement until training stops."""
    threshold: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Smallest improvement that counts, in the unit of the metric."""
    min_evals: Count = 0
    """Number of evaluations before training may stop."""


class PushToHub(Spec):
    """Upload to the Hugging Face hub while training."""

    model_id: Word
    """`owner/name` of the repository."""
    strategy: Literal["every_save", "end", "checkpoint", "all_checkpoints"] = "every_save"
    """When to upload."""
    private: bool = True
    """Create a private repository."""
    revision: Word | None = None
    """Branch to upload to."""
    token_secret_ref: SecretKeyRef | None = None
    """Secret with an access token that may write."""


class TrainingSpec(Spec):
    """Duration, learning rate, batch sizes, evaluation and checkpoints."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10000)] = 1.0
    """Epochs: passes over the training data."""
    max_steps: Annotated[int, Field(ge=-1, le=2**31 - 1)] = -1
    """Optimizer steps; overrides numTrainEpochs unless -1."""
    per_device_train_batch_size: BatchSize = 1
    """Examples per rank and forward pass."""
    per_device_eval_batch_size: BatchSize = 1
    """Examples per rank and forward pass in evaluations."""
    gradient_accumulation_steps: BatchSize | None = None
    """Forward passes per optimizer step. Absent: 1, or the value that globalBatchSize requires."""
    global_batch_size: Annotated[int, Field(ge=1, le=2**24)] | None = None
    """Examples per optimizer step over all ranks = perDeviceTrainBatchSize * gradientAccumulationSteps * ranks."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate. Absent: that of the tuner: 2e-5 for full, 2e-4 for lora, 3e-3 for ia3."""
    lr_scheduler_type: LrScheduler = "cosine"
    """Course of the learning rate after the warm-up."""
    lr_scheduler_kwargs: FlatMap = Field(default_factory=dict)
    """Further arguments of the learning rate scheduler, by transformers' names."""
    warmup_steps: Annotated[float, Field(ge=0, le=2**31 - 1)] = 0.0
    """Steps of linear warm-up. Below 1: a share of all steps."""
    optim: OptimizerName = DEFAULT_OPTIMIZER
    """Optimizer, by transformers' names."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Weight decay of the optimizer; a factor without a unit."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of Adam's mean of gradients; a factor without a unit."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of Adam's mean of squared gradients; a factor without a unit."""
    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Number that Adam adds to its divisor; without a unit."""
    max_grad_norm: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Largest norm of the gradient, to which larger ones are scaled; without a unit. 0: no limit."""
    precision: TrainingPrecisionName = DEFAULT_TRAINING_PRECISION
    """Number type of the computation during training."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass. Saves memory, and takes about a third more time."""
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Strength of the noise on embeddings (NEFTune, arXiv:2310.05914); a factor without a unit. Absent: no noise."""
    use_liger_kernel: bool = False
    """Use Liger's fused kernels, which need less memory."""
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = "random"
    """Order of the examples. group_by_length puts examples of similar length into one batch."""
    label_smoothing_factor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a label's probability that is spread over the other labels."""
    logging_steps: Steps = 10.0
    """Steps between two reports of the loss."""
    logging_first_step: bool = False
    """Also report the loss of the first step."""
    eval_strategy: Literal["no", "steps", "epoch"] = "epoch"
    """When to measure eval_loss on the validation data."""
    eval_steps: Steps | None = None
    """Steps between two evaluations. Absent: loggingSteps."""
    eval_delay: Annotated[float, Field(ge=0, le=2**31 - 1)] = 0.0
    """Epochs or steps before the first evaluation, by `evalStrategy`."""
    eval_on_start: bool = False
    """Also evaluate before the first step."""
    eval_accumulation_steps: PositiveCount | None = None
    """Steps of an evaluation between two moves of its results to host memory. Absent: one move at the end."""
    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"
    """When to write a checkpoint."""
    save_steps: Steps = 500.0
    """Steps between two checkpoints. Below 1: a share of all steps."""
    save_total_limit: Annotated[int, Field(ge=1, le=1000)] = 2
    """Number of checkpoints to keep."""
    save_only_model: bool = False
    """Write checkpoints without optimizer states. They are smaller, and a restart cannot resume from them."""
    load_best_model_at_end: bool = False
    """Finish with the best checkpoint by `metricForBestModel`, not with the last one."""
    metric_for_best_model: Word | None = None
    """Metric that compares checkpoints. Absent: eval_loss."""
    greater_is_better: bool | None = None
    """Whether a larger metric is better. Absent: by the metric's name."""
    early_stopping: EarlyStopping | None = None
    """Stop if the metric no longer improves. Absent: train to the end."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """Seed of all random numbers of training."""
    data_seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    """Seed of the order of examples in training. Absent: `seed`."""
    full_determinism: bool = False
    """Use deterministic kernels only, which are slower."""
    dataloader_num_workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Number of processes per rank that prepare batches. 0: the rank itself prepares them."""
    dataloader_prefetch_factor: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Number of batches that each of these processes prepares ahead. Absent: PyTorch's default."""
    ddp_timeout: Annotated[int, Field(ge=1, le=604800)] = 1800
    """Seconds until a rank that waits for other ranks fails."""
    report_to: Annotated[Items[Tracker], Field(max_length=3)] = ()
    """Trackers to report metrics to."""
    push_to_hub: PushToHub | None = None
    """Upload to the Hugging Face hub while training. Absent: no upload."""
