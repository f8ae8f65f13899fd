"""The server's settings from environment variables, read once and checked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from tunewright_contract import environment
from tunewright_contract.capabilities.execution_providers import DEFAULT_EXECUTION_PROVIDERS
from tunewright_contract.smoke_test import SmokeTest
from tunewright_server.refusal import RefusalError


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The server's configuration. None: the model and the machine decide."""

    model_dirs: tuple[Path, ...]  # one or more model folders
    host: str = "127.0.0.1"
    port: int = 8080  # 0: any free one, named in the log
    model_name: str | None = None
    max_slots: int | None = None  # requests decoded together, or texts in one run of an encoder
    max_length: int | None = None  # tokens per request: prompt and answer together, or source and target each
    execution_providers: tuple[str, ...] = DEFAULT_EXECUTION_PROVIDERS
    smoke_test: SmokeTest | None = None
    drain_seconds: float = 300.0
    queue_seconds: float = 300.0  # a request that has not begun by then is refused
    termination_log: Path | None = None
    api_key: str | None = field(default=None, repr=False)


def read_settings(env: Mapping[str, str]) -> ServerSettings:
    """Read the variables of `tunewright_contract.environment`. Raises `RefusalError` naming variable, value and way out."""
    model_dirs = _model_dirs(env)
    port = _whole_number(env, environment.PORT, at_least=0, at_most=65535)
    return ServerSettings(
        model_dirs=model_dirs,
        host=env.get(environment.HOST) or ServerSettings.host,
        port=ServerSettings.port if port is None else port,
        model_name=env.get(environment.MODEL_NAME) or None,
        max_slots=_whole_number(env, environment.MAX_SLOTS, at_least=1, at_most=1024),
        max_length=_whole_number(env, environment.MAX_LENGTH, at_least=2, at_most=10_000_000),
        execution_providers=_providers(env.get(environment.EXECUTION_PROVIDERS) or ",".join(DEFAULT_EXECUTION_PROVIDERS)),
        smoke_test=_smoke_test(env),
        drain_seconds=_seconds(env, environment.DRAIN_SECONDS, default=ServerSettings.drain_seconds),
        queue_seconds=_seconds(env, environment.QUEUE_SECONDS, default=ServerSettings.queue_seconds),
        termination_log=termination_log(env),
        api_key=_api_key(env),
    )


def _model_dirs(env: Mapping[str, str]) -> tuple[Path, ...]:
    one, several = env.get(environment.MODEL_DIR), env.get(environment.MODEL_DIRS)
    if one and several:
        raise RefusalError(
            "InvalidSetting",
            f"{environment.MODEL_DIR}={one!r} and {environment.MODEL_DIRS}={several!r} are both set",
            suggestion=f"set {environment.MODEL_DIR} for one model, or {environment.MODEL_DIRS} for several",
        )
    folders = (Path(one),) if one else tuple(Path(part) for part in (several or "").split(os.pathsep) if part)
    if not folders:
        raise RefusalError(
            "ModelFolderNotGiven", f"{environment.MODEL_DIR} is not set", suggestion="set it to the folder that holds tunewright.json"
        )
    for variable in (environment.MODEL_NAME, environment.SMOKE_TEST):
        if len(folders) > 1 and env.get(variable):
            raise RefusalError(
                "InvalidSetting",
                f"{variable}={env[variable]!r} is for one model, and {environment.MODEL_DIRS} names {len(folders)} folders",
                suggestion="leave it out: each model has the name in its manifest; or start one server for each model",
            )
    return folders


def _api_key(env: Mapping[str, str]) -> str | None:
    """Read the API key. A variable that is set and empty is an empty Secret, and is refused, because it would open the server."""
    key = env.get(environment.API_KEY)
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and key and " " not in key):
        raise RefusalError(
            "InvalidSetting",
            f"{environment.API_KEY} is not an API key (its value is not shown)",
            suggestion="use printable ASCII characters without spaces or line ends, or leave the variable out for a server without a key",
        )
    return key


def termination_log(env: Mapping[str, str]) -> Path | None:
    """Return the path of the termination message. It is read separately, because it is needed if other settings are invalid."""
    path = env.get(environment.TERMINATION_LOG)
    return Path(path) if path else None


def _whole_number(env: Mapping[str, str], name: str, *, at_least: int, at_most: int) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and at_least <= int(text) <= at_most):
        raise RefusalError("InvalidSetting", f"{name}={text!r} is not a whole number", suggestion=f"use {at_least} to {at_most}")
    return int(text)


def _seconds(env: Mapping[str, str], name: str, *, default: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise RefusalError("InvalidSetting", f"{name}={text!r} is not a number of seconds", suggestion="use 0 to 86400")
    return value


def _smoke_test(env: Mapping[str, str]) -> SmokeTest | None:
    text = env.get(environment.SMOKE_TEST)
    if not text:
        return None
    try:
        return SmokeTest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        raise RefusalError(
            "InvalidSetting", f"{environment.SMOKE_TEST} is not a question: {where}: {first['msg']}", suggestion='use {"prompt": "…"}'
        ) from error


def _providers(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        variable = environment.EXECUTION_PROVIDERS
        raise RefusalError(
            "InvalidSetting", f"{variable}={text!r} names no execution provider", suggestion="use for example CPU or CUDA,CPU"
        )
    return names
