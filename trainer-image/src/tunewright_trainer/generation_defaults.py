"""The base model's generation_config.json: what the server will answer by, so what evaluation answers by."""

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import GenerationConfigError, GenerationDefaults, generation_defaults_in
from tunewright_trainer.exits import StageError
from tunewright_trainer.model import base_folder
from tunewright_trainer.settings import Settings


def generation_defaults(settings: Settings) -> GenerationDefaults:
    """Read the base model's file. Raises `StageError` for one that cannot be served."""
    try:
        return generation_defaults_in(base_folder(settings, weights=False))
    except GenerationConfigError as error:
        raise StageError(ExitCode.CONFIGURATION, "GenerationConfigInvalid", str(error), error.way_out) from error
