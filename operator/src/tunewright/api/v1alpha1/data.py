"""`spec.data`: the examples, their format, and their preparation."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import (
    ConfigKey,
    DnsSubdomain,
    Items,
    LocalPath,
    ObjectSource,
    PvcSource,
    SecretKeyRef,
    Share,
    Spec,
    UrlSource,
    Word,
)
from tunewright.api.v1alpha1.model import RepoName, Revision
from tunewright_contract.capabilities.data_formats import DataFormatName

DATA_SOURCES = ("pvc", "path", "hugging_face", "url", "s3", "config_map")
DEFAULT_VALIDATION_SHARE = 0.2  # Azure ML's preprocessing splits 80:20 when no validation data is given
DEFAULT_DOC_STRIDE = 128  # of transformers' run_qa.py, for windows of 384 tokens

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]


class HuggingFaceData(Spec):
    """A data set repository on the Hugging Face hub."""

    repo: RepoName
    """`owner/name` of the data set."""
    revision: Revision = "main"
    """Branch, tag or commit. Only a 40-digit commit makes the job repeatable, because branches move."""
    config: Word | None = None
    """Configuration of the data set, for one that has several."""
    token_secret_ref: SecretKeyRef | None = None
    """Secret with the access token of a gated or private repository."""


class ConfigMapSource(Spec):
    """One key of a ConfigMap in the job's namespace."""

    name: DnsSubdomain
    """Name of the ConfigMap."""
    key: ConfigKey
    """Key within the ConfigMap. Its value is the file's content."""


class DataSource(Spec):
    """Source of examples: exactly one of these."""

    pvc: PvcSource | None = None
    """A file in a claim."""
    path: LocalPath | None = None
    """A file on this machine. Only without a cluster."""
    hugging_face: HuggingFaceData | None = None
    """A data set on the Hugging Face hub."""
    url: UrlSource | None = None
    """A file to download over HTTPS."""
    s3: ObjectSource | None = None
    """An object in S3-compatible storage."""
    config_map: ConfigMapSource | None = None
    """One key of a ConfigMap, for small data."""

    def chosen(self) -> tuple[str, ...]:
        """Return the attribute names of the sources given; rule E002 requires exactly one."""
        return tuple(name for name in DATA_SOURCES if getattr(self, name) is not None)


class Dataset(Spec):
    """One source of examples."""

    source: DataSource
    """Source of the examples."""
    format: DataFormatName | None = None
    """Format of the examples. Absent: Check detects the format and reports it."""
    columns: Annotated[dict[ColumnName, ColumnName], Field(max_length=32)] = Field(default_factory=dict)
    """Map of Tunewright's column names to the file's column names."""
    split: Word | None = None
    """Split of a data set on the hub."""
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Use this share of the examples."""
    num_samples: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Use this many examples."""
    weight: Annotated[float, Field(gt=0, le=1000)] | None = None
    """How often these examples are used, relative to other sources."""


Datasets = Annotated[Items[Dataset], Field(max_length=64)]


class DataSpec(Spec):
    """The data sets and how examples are prepared."""

    train: Annotated[Items[Dataset], Field(min_length=1, max_length=64)]
    """Examples to train on."""
    validation: Datasets = ()
    """Examples for eval_loss during training. Absent: a share of train (`valSetSize`)."""
    test: Datasets = ()
    """Examples for the final comparison of base and tuned model. Absent: the validation data."""
    mix_strategy: Literal["concat", "interleave_under", "interleave_over"] = "concat"
    """How several sources of `train` are joined: one after the other (concat), or interleaved until the first (interleave_under) or the
    last of them (interleave_over) is used up."""
    interleave_probs: Annotated[Items[Annotated[float, Field(gt=0, le=1)]], Field(max_length=64)] = ()
    """Probability of each source of `train` when they are interleaved, as shares of 1. Absent: all are equal."""
    val_set_size: Share | None = None
    """Share of train to validate on if `validation` is empty. Absent: 0.2. 0: no validation."""
    packing: bool = False
    """Pack several examples into one sequence of `maxLength` tokens."""
    padding_free: bool = False
    """Join the examples of a batch into one sequence without padding. Needs FlashAttention."""
    max_length: Annotated[int, Field(ge=1, le=2**20)] = 1024
    """Most tokens per example. For QuestionAnswering: tokens of a window, question included."""
    doc_stride: Annotated[int, Field(ge=0, le=2**20)] | None = None
    """Tokens that neighbouring windows over a long context share, as in transformers' examples. Absent: 128, or a quarter of `maxLength` if
    that is less."""
    truncation_mode: Literal["keep_start"] = "keep_start"
    """Which end of an example that is too long stays."""
    overlong_policy: Literal["truncate", "drop", "raise"] = "truncate"
    """Treatment of examples longer than `maxLength`."""
    completion_only_loss: bool | None = None
    """Compute the loss on the completion only. Absent: true for promptCompletion."""
    assistant_only_loss: bool | None = None
    """Compute the loss on the assistant's turns only. Absent: true for messages."""
    shuffle_seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """Seed of the order of examples, and of the split into train and validation."""
    dedup: Literal["none", "exact"] = "none"
    """`exact` drops repeated examples."""
    min_samples: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    """Smallest number of training examples. Check refuses fewer."""
    streaming: bool = False
    """Read the examples while training instead of before it."""

    def validation_share(self) -> float:
        """Return the share of train that becomes validation data: 0 when there is validation data of its own."""
        if self.validation:
            return 0.0
        return DEFAULT_VALIDATION_SHARE if self.val_set_size is None else self.val_set_size

    def window_overlap(self) -> int:
        """Return the tokens that neighbouring windows over a long context share."""
        return min(DEFAULT_DOC_STRIDE, self.max_length // 4) if self.doc_stride is None else self.doc_stride

    def has_validation(self) -> bool:
        """Return whether there are examples to evaluate on during training."""
        return bool(self.validation) or self.validation_share() > 0
