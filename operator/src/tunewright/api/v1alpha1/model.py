"""`spec.model`: the base model, its source, and how to load it."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from tunewright.api.v1alpha1.common import (
    DnsSubdomain,
    LocalPath,
    ObjectSource,
    PvcSource,
    SecretKeyRef,
    Spec,
    Text,
    UrlSource,
)

RepoName = Annotated[
    str, StringConstraints(max_length=193, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$")
]
Revision = Annotated[str, StringConstraints(max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]

MODEL_SOURCES = ("hugging_face", "pvc", "path", "oci", "s3", "url", "model_ref")


class HuggingFaceModel(Spec):
    """A model repository on the Hugging Face hub."""

    repo: RepoName
    """`owner/name`."""
    revision: Revision = "main"
    """Branch, tag or commit. Only a 40-digit commit makes the job repeatable, because branches move."""
    token_secret_ref: SecretKeyRef | None = None
    """Secret with the access token of a gated or private repository."""


class OciModel(Spec):
    """A model packed as an OCI artefact."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\s]+$")]
    """Image reference. Use a digest to pin it."""
    pull_secret: DnsSubdomain | None = None
    """Secret of type kubernetes.io/dockerconfigjson for a private registry."""


class ModelReference(Spec):
    """The model of another FineTuneJob in the namespace."""

    name: DnsSubdomain
    """Name of the FineTuneJob."""


class ModelSource(Spec):
    """Source of the base model: exactly one of these."""

    hugging_face: HuggingFaceModel | None = None
    """A repository on the Hugging Face hub."""
    pvc: PvcSource | None = None
    """A model folder (configuration, tokenizer, safetensors) in a claim."""
    path: LocalPath | None = None
    """A model folder on this machine. Only without a cluster."""
    oci: OciModel | None = None
    """A model packed as an OCI artefact."""
    s3: ObjectSource | None = None
    """A model folder in S3-compatible storage."""
    url: UrlSource | None = None
    """An archive of a model folder, downloaded over HTTPS."""
    model_ref: ModelReference | None = None
    """The model of another FineTuneJob in this namespace."""

    def chosen(self) -> tuple[str, ...]:
        """Return the attribute names of the sources given; rule E001 requires exactly one."""
        return tuple(name for name in MODEL_SOURCES if getattr(self, name) is not None)


class ChatTemplateSource(Spec):
    """A chat template that replaces the tokenizer's own."""

    jinja: Text
    """The template as Jinja text."""


class ModelSpec(Spec):
    """The base model."""

    source: ModelSource
    """Exactly one of huggingFace, pvc, path, oci, s3, url, modelRef."""
    dtype: Literal["bfloat16", "float16", "float32", "auto"] = "bfloat16"
    """Number type of the loaded weights."""
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention"] = "sdpa"
    """Implementation of attention."""
    trust_remote_code: bool = False
    """Run Python code from the model's folder. Must be false."""
    chat_template: ChatTemplateSource | None = None
    """Replaces the tokenizer's own chat template."""
    from_scratch: bool = False
    """Use only the configuration and the tokenizer, and start from random weights."""
