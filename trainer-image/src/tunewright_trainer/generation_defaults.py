"""The base model's generation_config.json: what the server will answer by, so what evaluation answers by."""

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import (
    GENERATION_CONFIG_NAME,
    LARGEST_BYTES,
    GenerationConfigError,
    GenerationDefaults,
    read_generation_config,
)
from tunewright_trainer.exits import StageError
from tunewright_trainer.model import base_folder
from tunewright_trainer.settings import Settings


def generation_defaults(settings: Settings) -> GenerationDefaults:
    """Read the base model's file; greedy answers where there is none. Raises `StageError` for one that cannot be served."""
    path = base_folder(settings, weights=False) / GENERATION_CONFIG_NAME
    if not path.is_file():
        return GenerationDefaults()
    try:
        with path.open("rb") as file:
            return read_generation_config(file.read(LARGEST_BYTES + 1))
    except GenerationConfigError as error:
        raise StageError(ExitCode.CONFIGURATION, "GenerationConfigInvalid", str(error), error.way_out) from error
