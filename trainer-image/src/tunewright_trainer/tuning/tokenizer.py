"""The tokenizer: loaded with the job's chat template, and copied to each model folder byte for byte.

Refuses a base without tokenizer, and a chat task without chat template. It never saves a tokenizer again, because another version of
transformers cannot read the result, or reads it differently. Only `tokenizer.json` and `chat_template.jinja` are created if the base lacks
them, because the server needs them.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright_contract.capabilities.tasks import ENCODER, TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import GENERATION_CONFIG_NAME
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.base_model import base_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

# Files from which a tokenizer can be loaded. The first is the common format, the others are older or of one family.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
)
_TOKENIZER_MODELS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
CHAT_TEMPLATE = "chat_template.jinja"


def load_tokenizer(settings: Settings) -> "PreTrainedTokenizerBase":
    """Return the tokenizer, with the job's chat template instead of its own if the job has one.

    Raises `StageError` if there is none, if it cannot be read, and if a task of conversations has no chat template.
    """
    from transformers import AutoTokenizer

    model = settings.config.model
    folder = base_folder(settings, weights=False)
    if not any((folder / name).is_file() for name in _TOKENIZER_MODELS):
        raise _refuse(
            "TokenizerMissing",
            f"{folder} has none of {', '.join(_TOKENIZER_MODELS)}",
            "Copy the tokenizer files of the base model into its folder.",
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
    except Exception as error:  # the parsers of tokenizer files raise many error types
        raise _refuse(
            "TokenizerUnreadable", f"{folder}: {type(error).__name__}: {error}", "Save the tokenizer again with transformers >= 5."
        ) from error
    if model.chat_template is not None:
        tokenizer.chat_template = model.chat_template
    without = TASKS.where(lambda task: task.supported and not task.needs_chat_template)
    if TASKS[settings.config.task].needs_chat_template and not tokenizer.chat_template:
        raise _refuse(
            "ChatTemplateMissing",
            f"task {settings.config.task} needs a chat template, and the tokenizer in {folder} has none",
            f"Set model.chatTemplate.jinja to the chat template of the model, or use task {' or '.join(without)}.",
        )
    if tokenizer.eos_token_id is None and TASKS[settings.config.task].graph != ENCODER:
        raise _refuse("EosMissing", f"the tokenizer in {folder} has no eos_token, so the model could never stop", "Set eos_token in it.")
    return tokenizer


def served_tokenizer(settings: Settings, tokenizer: "PreTrainedTokenizerBase") -> "Tokenizer":
    """The tokenizer as the server reads it from the model folder, without truncation and padding."""
    from tokenizers import Tokenizer

    path = base_folder(settings, weights=False) / "tokenizer.json"
    served = Tokenizer.from_file(str(path)) if path.is_file() else Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    served.no_truncation()
    served.no_padding()
    return served


def copy_tokenizer(settings: Settings, folder: Path) -> None:
    """Copy tokenizer and generation_config.json of the base into `folder`, with the job's chat template if it has one."""
    base = base_folder(settings, weights=False)
    for name in (*TOKENIZER_FILES, GENERATION_CONFIG_NAME):
        (folder / name).unlink(missing_ok=True)
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    tokenizer = load_tokenizer(settings)
    if not (folder / "tokenizer.json").is_file():
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    replaced = settings.config.model.chat_template is not None
    if tokenizer.chat_template and (replaced or not (folder / CHAT_TEMPLATE).is_file()):
        (folder / CHAT_TEMPLATE).write_text(tokenizer.get_chat_template(), encoding="utf-8", newline="")


def _refuse(reason: str, message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, reason, message, suggestion)
