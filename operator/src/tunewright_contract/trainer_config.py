"""The trainer's configuration: the operator writes it, and the trainer executes it without further decisions.

Maps named after a library hold that library's keyword arguments unchanged (`trl.SFTConfig`, `peft.LoraConfig`,
`transformers.BitsAndBytesConfig`, a DeepSpeed configuration).
Paths are relative to the folders of `environment`.
"""

from typing import Any, Literal

from pydantic import Field

from tunewright_contract.base import Message
from tunewright_contract.capabilities.data_formats import DataFormatName
from tunewright_contract.capabilities.methods import DEFAULT_METHOD, SupportedMethod
from tunewright_contract.capabilities.precisions import DEFAULT_EXPORT_PRECISION, ExportPrecisionName
from tunewright_contract.capabilities.tasks import TaskName
from tunewright_contract.capabilities.tuners import DEFAULT_TUNER, SupportedTuner

Precision = ExportPrecisionName


class HubModel(Message):
    """A model on the Hugging Face hub. `HF_TOKEN` and `HF_HOME` come from the environment."""

    repo: str
    revision: str


class ModelConfig(Message):
    """Which base model, and how to load it. Without `hub` it is the folder `TUNEWRIGHT_MODEL_DIR`."""

    hub: HubModel | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "bfloat16"
    attn_implementation: str | None = "sdpa"  # None: transformers' default for the architecture
    trust_remote_code: bool = False
    from_scratch: bool = False  # configuration and tokenizer only, random weights
    chat_template: str | None = None  # Jinja text that replaces the tokenizer's own


class DataFile(Message):
    """One file of examples. `path` is relative to `TUNEWRIGHT_DATA_DIR`; `format` None: Check detects it."""

    path: str
    format: DataFormatName | None = None
    columns: dict[str, str] = Field(default_factory=dict)  # Tunewright's name -> the file's name


def _absent(value: Any) -> bool:
    return value is None


class DataConfig(Message):
    """The data sets, and the preparation of examples."""

    train: list[DataFile]
    validation: list[DataFile] = Field(default_factory=list)
    test: list[DataFile] = Field(default_factory=list)
    val_set_size: float = 0.0  # share of train for validation if no validation file is given
    max_length: int = 1024  # tokens
    doc_stride: int | None = Field(default=None, exclude_if=_absent)  # tokens that neighbouring windows share; None: there are no windows
    overlong_policy: Literal["truncate", "drop", "raise"] = "truncate"
    shuffle_seed: int = 42
    min_samples: int = 1
    dedup: Literal["none", "exact"] = "none"


class MethodConfig(Message):
    """The trained weights. `quantization` has the arguments of `BitsAndBytesConfig`.

    The tuner's own settings are the arguments of its PEFT configuration, under the name that its row in `TUNERS` gives.
    """

    type: SupportedMethod = DEFAULT_METHOD
    tuner: SupportedTuner = DEFAULT_TUNER
    lora: dict[str, Any] | None = None
    ia3: dict[str, Any] | None = Field(default=None, exclude_if=_absent)
    quantization: dict[str, Any] | None = None


class ParityConfig(Message):
    """The largest difference allowed between the exported and the trained model, on real prompts."""

    max_logit_difference: float | None = None  # absolute; None: not gated (quantised exports)
    min_top1_agreement: float = 0.99  # share of positions with the same most likely token
    prompts: int = 16  # number of held-out examples to compare


class ExportConfig(Message):
    """The output of Export."""

    precision: Precision = DEFAULT_EXPORT_PRECISION
    parity: ParityConfig = ParityConfig()


class EvaluationConfig(Message):
    """The measurements on base and tuned model after training, on the test files, else the validation files."""

    max_samples: int = 200  # for loss and token accuracy
    generate_samples: int = 0  # answered greedily by both models; exact match is counted on these
    max_new_tokens: int = 64


class JobIdentity(Message):
    """The job's identity, for the lineage."""

    namespace: str
    name: str
    uid: str
    revision: str


class TrainerConfig(Message):
    """The whole configuration of check, train and export."""

    job: JobIdentity
    task: TaskName  # the operator writes supported ones only; the trainer may accept more
    model: ModelConfig
    data: DataConfig
    method: MethodConfig
    training: dict[str, Any]  # arguments of trl.SFTConfig or transformers.TrainingArguments, snake_case
    deepspeed: dict[str, Any] | None = None  # a complete DeepSpeed configuration; None: plain DDP
    world_size: int = 1
    export: ExportConfig = ExportConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
