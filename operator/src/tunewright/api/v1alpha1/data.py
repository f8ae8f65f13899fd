"""`spec.data`: which examples, in which shape, and what is done to them before training."""

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
    Text,
    UrlSource,
    Word,
)
from tunewright.api.v1alpha1.model import RepoName, Revision
from tunewright_contract.capabilities.data_formats import DataFormatName

DATA_SOURCES = ("pvc", "path", "hugging_face", "url", "s3", "config_map")
DEFAULT_VALIDATION_SHARE = 0.2  # Azure ML's preprocessing splits 80:20 when no validation data is given

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]


class HuggingFaceData(Spec):
    """A data set repository on the Hugging Face hub."""

    repo: RepoName
    revision: Revision = "main"
    config: Word | None = None
    token_secret_ref: SecretKeyRef | None = None


class ConfigMapSource(Spec):
    """One key of a ConfigMap in the job's namespace."""

    name: DnsSubdomain
    key: ConfigKey


class DataSource(Spec):
    """Where examples lie: exactly one of these."""

    pvc: PvcSource | None = None
    """A file in a claim."""
    path: LocalPath | None = None
    """A file of this machine; only without a cluster."""
    hugging_face: HuggingFaceData | None = None
    url: UrlSource | None = None
    s3: ObjectSource | None = None
    config_map: ConfigMapSource | None = None

    def chosen(self) -> tuple[str, ...]:
        """Return the attribute names of the sources given; the rules see to it that it is exactly one."""
        return tuple(name for name in DATA_SOURCES if getattr(self, name) is not None)


class Dataset(Spec):
    """One source of examples."""

    source: DataSource
    """Where the examples lie."""
    format: DataFormatName | None = None
    """Their shape; recognised, and reported, when absent."""
    columns: Annotated[dict[ColumnName, ColumnName], Field(max_length=32)] = Field(default_factory=dict)
    """Our column name -> the file's column name."""
    split: Word | None = None
    """Which split of a hub data set."""
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Use this share of it."""
    num_samples: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Use this many examples of it."""
    weight: Annotated[float, Field(gt=0, le=1000)] | None = None
    """How often its examples count."""
    chat_template: Text | None = None
    """Jinja text for this source only."""


Datasets = Annotated[Items[Dataset], Field(max_length=64)]


class DataSpec(Spec):
    """The data sets and how examples are prepared."""

    train: Annotated[Items[Dataset], Field(min_length=1, max_length=64)]
    """What the model learns from."""
    validation: Datasets = ()
    """What eval_loss is measured on while training. When absent, `valSetSize` is taken from train."""
    test: Datasets = ()
    """What base and tuned model are compared on at the end; the validation data when absent."""
    mix_strategy: Literal["concat", "interleave_under", "interleave_over"] = "concat"
    interleave_probs: Annotated[Items[Annotated[float, Field(gt=0, le=1)]], Field(max_length=64)] = ()
    val_set_size: Share | None = None
    """Share of train kept for validation when no validation data is given: 0.2 when absent, 0 for none."""
    packing: bool = False
    packing_strategy: Literal["bfd", "bfd_split", "wrapped"] = "bfd"
    padding_free: bool = False
    max_length: Annotated[int, Field(ge=1, le=2**20)] = 1024
    """Tokens per example."""
    truncation_mode: Literal["keep_start"] = "keep_start"
    overlong_policy: Literal["truncate", "drop", "raise"] = "truncate"
    """What happens to an example longer than `maxLength`."""
    completion_only_loss: bool | None = None
    """Loss on the completion only. Absent: true for promptCompletion."""
    assistant_only_loss: bool | None = None
    """Loss on the assistant's turns only. Absent: true for messages."""
    mask_history: bool = False
    shuffle_seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    dedup: Literal["none", "exact"] = "none"
    """`exact` leaves out examples that repeat another one."""
    min_samples: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    """Refuse to train on fewer examples than this."""
    streaming: bool = False

    def validation_share(self) -> float:
        """Return the share of train that becomes validation data: 0 when there is validation data of its own."""
        if self.validation:
            return 0.0
        return DEFAULT_VALIDATION_SHARE if self.val_set_size is None else self.val_set_size

    def has_validation(self) -> bool:
        """Say whether anything will be there to evaluate on during training."""
        return bool(self.validation) or self.validation_share() > 0
