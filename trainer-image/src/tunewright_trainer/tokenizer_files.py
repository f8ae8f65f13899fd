"""A model folder's tokenizer: the base's own files, byte for byte.

Promises never to save a tokenizer again: what transformers writes today, another version cannot read or reads differently. Two
files are made only where the base lacks them, because the server reads nothing else: `tokenizer.json` and `chat_template.jinja`.
"""

import shutil
from pathlib import Path

from tunewright_contract.generation_config import GENERATION_CONFIG_NAME
from tunewright_trainer.model import TOKENIZER_FILES, base_folder, load_tokenizer
from tunewright_trainer.settings import Settings

CHAT_TEMPLATE = "chat_template.jinja"


def copy_tokenizer(settings: Settings, folder: Path) -> None:
    """Copy tokenizer and generation_config.json of the base into `folder`, with the job's chat template where it has one."""
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
