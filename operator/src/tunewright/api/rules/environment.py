"""E016: environment variables that a job may not set for the containers of its stages.

Each row is a pattern of names and the reason. Other names are allowed: an image can read its own variables, and `env` is meant for
tuning (OMP_*, NCCL_*, TORCH_*).
"""

import re
from typing import Any

from tunewright.api.rules.predicates import exists, field, has
from tunewright.api.rules.table import Rule, pod_rule
from tunewright.api.v1alpha1.pod_settings import PodSettings

_CODE = "it decides which code runs"
_OWN = "Tunewright and torchrun set it"
_CREDENTIALS = "it decides which token is sent, or where"
_FILES = "it names a file to load or to write"

REFUSED: tuple[tuple[str, str], ...] = (
    (r"PYTHON.*", _CODE),
    (r"(LD|DYLD)_.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|NLSPATH|MALLOC_TRACE", _CODE),
    (r"PATH|SHELL|ENV|IFS|PS4|BASH_.*|PROMPT_COMMAND", _CODE),
    (r"CC|CXX|CPP|LIBRARY_PATH|CPATH|C(PLUS)?_INCLUDE_PATH|(C|CXX|CPP|LD)FLAGS|DS_BUILD_.*|DS_SKIP_.*", _CODE),
    (r"CUDA_(HOME|PATH|ROOT|INJECTION.*)|NVCC_.*|ROCM_(HOME|PATH)|HSA_TOOLS_.*|OMP_TOOL_LIBRARIES", _CODE),
    (r"NVIDIA_.*", "it decides which devices of the node the container sees; use workers.resources"),
    (r"TUNEWRIGHT_.*|KUBEFLOW_TRAINER_.*|PET_.*|TORCHELASTIC_.*|TORCH_ELASTIC_.*", _OWN),
    (r"MASTER_(ADDR|PORT)|(LOCAL_|GROUP_|NODE_|ROLE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|ROLE_NAME", _OWN),
    (r"HOME|XDG_.*|HF_HOME|HF_.*_CACHE|HF_HUB_OFFLINE|HUGGINGFACE_.*_CACHE|TRANSFORMERS_.*|HF_DATASETS_.*|HF_TRUST_REMOTE_CODE", _OWN),
    (r"HF_TOKEN.*|HF_ENDPOINT|HF_INFERENCE_ENDPOINT|HUGGING_FACE_HUB_TOKEN|HUGGINGFACE_TOKEN|HUGGINGFACE_CO_.*", _CREDENTIALS),
    (r"NCCL_.*(PLUGIN|FILE).*|RCCL_.*(PLUGIN|FILE).*|UCX_.*(FILE|CONFIG).*|FI_PROVIDER_PATH", _FILES),
    (
        r"TORCH_(.*_DIR|.*_FILE.*|.*_PATH|HOME|EXTENSIONS.*|LOGS_OUT|TRACE|COMPILE_DEBUG.*)|TORCHINDUCTOR_.*|TRITON_.*|PYTORCH_KERNEL_CACHE_PATH",
        _FILES,
    ),
    (r"OPENSSL_.*|SSLKEYLOGFILE|HOSTALIASES|RES_OPTIONS|LOCALDOMAIN|GIT_.*|SSH_.*", _FILES),
)
PATTERN = "^(" + "|".join(pattern for pattern, _ in REFUSED) + ")$"


def refused_variables(settings: PodSettings) -> list[str]:
    """Return the names that may not be set, each with the reason."""
    return [f"{variable.name} ({why})" for variable in settings.env or () if (why := _why(variable.name))]


def _why(name: str) -> str:
    return next((why for pattern, why in REFUSED if re.fullmatch(pattern, name)), "")


RULES: tuple[Rule[Any], ...] = (
    pod_rule(
        code="E016",
        path="env",
        faults=refused_variables,
        refuses="variables that decide which code runs, where files or tokens go, or that Tunewright sets",
        way_out="Remove them; what an image needs of its own is built into it (workers.image, serving.image).",
        broken=has("env") & exists("env", "variable", field("name", of="variable").matches(PATTERN)),
    ),
)
