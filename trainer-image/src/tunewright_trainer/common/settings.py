"""The paths of this process's configuration and folders, read once at the start.

Promises complete `Settings`, or a `StageError` that names the variable. Refuses to guess a path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import TrainerConfig
from tunewright_trainer.common.exits import StageError

_RENDERED = "The operator sets it in every pod. If you run the stage by hand, export it."


@dataclass(frozen=True)
class Settings:
    """One stage's configuration and folders. `model_dir` is None for a hub model, `publish_dir` outside export."""

    config: TrainerConfig
    model_dir: Path | None
    data_dir: Path
    output_dir: Path
    publish_dir: Path | None
    termination_log: Path

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Settings":
        """Read the configuration file and the folders. Raises `StageError` (CONFIGURATION) with the missing variable or file."""
        config = _read_config(_required_path(env, environment.CONFIG))
        model_dir = _optional_path(env, environment.MODEL_DIR)
        if config.model.hub is None and model_dir is None:
            raise _missing(environment.MODEL_DIR, "the base model is no repository of the hub, so it must be a folder")
        return cls(
            config=config,
            model_dir=model_dir if config.model.hub is None else None,
            data_dir=_required_path(env, environment.DATA_DIR),
            output_dir=_required_path(env, environment.OUTPUT_DIR),
            publish_dir=_optional_path(env, environment.PUBLISH_DIR),
            termination_log=_required_path(env, environment.TERMINATION_LOG),
        )

    @property
    def checkpoints_dir(self) -> Path:
        """Holds checkpoint-<step> folders."""
        return self.output_dir / "checkpoints"

    @property
    def final_dir(self) -> Path:
        """Holds the trained adapter or weights. It is complete or absent."""
        return self.output_dir / "final"

    @property
    def metrics_file(self) -> Path:
        """One JSON object per logged step."""
        return self.output_dir / "metrics.jsonl"


def _optional_path(env: Mapping[str, str], name: str) -> Path | None:
    value = env.get(name, "")
    return Path(value) if value else None


def _required_path(env: Mapping[str, str], name: str) -> Path:
    path = _optional_path(env, name)
    if path is None:
        raise _missing(name, "it is not set")
    return path


def _missing(name: str, why: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "EnvironmentIncomplete", f"environment variable {name}: {why}", _RENDERED)


def _read_config(path: Path) -> TrainerConfig:
    try:
        return TrainerConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StageError(
            ExitCode.CONFIGURATION, "ConfigUnreadable", f"{environment.CONFIG}={path}: {error.strerror}", "Mount the job's ConfigMap there."
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "(the document)"
        raise StageError(
            ExitCode.CONFIGURATION,
            "ConfigInvalid",
            f"{path.name}: {field}: {first['msg']} ({error.error_count()} problem(s) in all)",
            "The operator and the trainer image have different versions: use images of one release.",
        ) from error
