"""A base model with an encoder and a decoder: its configuration, and how it generates.

The base's generation_config.json often asks for beam search, which the model server does not have. Its tokens are kept: the start, the
forced first one, those that end a target, and those that are never generated. All else is left out of the evaluation and of what is
published, and Check warns of it: targets are generated greedily.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import GENERATION_CONFIG_NAME, GenerationConfigError, read_generation_config
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.base_model import base_folder, load_config

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

_TOKENS = ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
_KEPT = (*_TOKENS, "forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "suppress_tokens", "max_new_tokens")


def encoder_decoder_config(settings: Settings) -> "PretrainedConfig":
    """Return the base's configuration. Raises `StageError` for a base that is no encoder-decoder, or has no start or padding token."""
    config = load_config(settings)
    if not getattr(config, "is_encoder_decoder", False):
        raise StageError(
            ExitCode.CONFIGURATION,
            "ModelUnsupported",
            f"model.source: the architecture {config.model_type} has no encoder and decoder, which task {settings.config.task} trains",
            f"Use a base of transformers' {TASKS[settings.config.task].auto_class}, such as T5, BART, Marian or mT5. For a decoder, use a "
            "task that generates text, with the source in the prompt.",
        )
    stated = _stated(settings, config)
    for name in ("decoder_start_token_id", "pad_token_id"):
        if stated.get(name) is None:
            raise StageError(
                ExitCode.CONFIGURATION,
                "ModelIncomplete",
                f"the base's config.json and {GENERATION_CONFIG_NAME} have no {name}",
                f"Set {name} in the config.json of a copy of the base, and point model.source there.",
            )
    _require_tokens(stated)
    config.decoder_start_token_id, config.pad_token_id = stated["decoder_start_token_id"], stated["pad_token_id"]
    return config


def greedy_generation(
    settings: Settings, config: "PretrainedConfig", tokenizer: "PreTrainedTokenizerBase", *, max_new_tokens: int | None = None
) -> "GenerationConfig":
    """Return greedy generation with the base's tokens. Raises `StageError` (GenerationConfigInvalid)."""
    from transformers import GenerationConfig

    stated = _stated(settings, config)
    several = [words for words in stated.get("bad_words_ids") or [] if len(words) != 1]
    if several:
        raise _invalid(
            f"{GENERATION_CONFIG_NAME}: bad_words_ids has words of several tokens, which the server does not support",
            "Leave only words of one token there, in a copy of the base model, and point model.source there.",
        )
    names = ("decoder_start_token_id", "bos_token_id", "pad_token_id", "forced_bos_token_id", "bad_words_ids", "suppress_tokens")
    kept = {name: stated[name] for name in names if stated.get(name) is not None}
    return GenerationConfig(
        **kept, eos_token_id=stop_tokens(settings, config, tokenizer), max_new_tokens=max_new_tokens, num_beams=1, do_sample=False
    )


def require_forced_token(generation: "GenerationConfig", target: list[int], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise `StageError` where each answer would begin with a token that the targets do not begin with."""
    forced = generation.forced_bos_token_id
    if forced is not None and target[:1] != [forced]:
        shown, first = (tokenizer.convert_ids_to_tokens(token) for token in (forced, target[0]))
        raise _invalid(
            f"forced_bos_token_id={forced} ({shown!r}) begins each answer, but the tokenizer begins targets with {target[0]} ({first!r})",
            f"In a copy of the base model, set tgt_lang in tokenizer_config.json, or correct forced_bos_token_id in "
            f"{GENERATION_CONFIG_NAME}; point model.source there.",
        )


def stop_tokens(settings: Settings, config: "PretrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return every token that ends a target: those of the base, and the tokenizer's."""
    stated = _stated(settings, config).get("eos_token_id")
    ids = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return sorted({tokenizer.eos_token_id, *ids})


def unserved_generation(settings: Settings) -> list[str]:
    """Warn of fields of generation_config.json that change a base's answers and are left out."""
    left = [f"{name}={json.dumps(value)}" for name, value in _file(settings).items() if name not in _KEPT and _changes(name, value)]
    if not left:
        return []
    return [f"the base's {GENERATION_CONFIG_NAME} has {', '.join(left)}: left out, since targets are generated and served greedily"]


def write_generation_config(generation: "GenerationConfig", folder: Path) -> None:
    """Replace the base's file by one with the tokens alone; the manifest has the forced and the suppressed ones."""
    kept = {name: getattr(generation, name) for name in _TOKENS}
    found = {name: value for name, value in kept.items() if value is not None}
    (folder / GENERATION_CONFIG_NAME).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _stated(settings: Settings, config: "PretrainedConfig") -> dict[str, Any]:
    """Return the base's tokens, from its generation_config.json, else from config.json."""
    found = _file(settings)
    of_config = {name: getattr(config, name, None) for name in _KEPT if name != "max_new_tokens"}
    return {**of_config, **{name: value for name, value in found.items() if value is not None}}


def _file(settings: Settings) -> dict[str, Any]:
    path = base_folder(settings, weights=False) / GENERATION_CONFIG_NAME
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise _invalid(f"{GENERATION_CONFIG_NAME}: it is not JSON ({error})", "Write it again with transformers.") from error
    if not isinstance(found, dict):
        raise _invalid(f"{GENERATION_CONFIG_NAME}: it is no object", "Write it again with transformers.")
    return found


def _require_tokens(stated: dict[str, Any]) -> None:
    """Refuse tokens that are no ids. A forced first token is read as a plain one, and lists entry by entry."""
    bad_words = stated.get("bad_words_ids") or []
    if not isinstance(bad_words, list) or not all(isinstance(words, list) for words in bad_words):
        raise _invalid(f"{GENERATION_CONFIG_NAME}: bad_words_ids is no list of lists", "Correct it in a copy of the base model.")
    lists = {"suppress_tokens": stated.get("suppress_tokens") or [], "bad_words_ids": [word for words in bad_words for word in words]}
    checked = [(name, stated[name]) for name in _TOKENS if stated.get(name) is not None]
    checked += [(name, stated[name]) for name in ("forced_bos_token_id",) if stated.get(name) is not None]
    checked += [(name, token) for name, tokens in lists.items() for token in tokens]
    for name, value in checked:
        as_read = name if name in _TOKENS else "bos_token_id"
        try:
            read_generation_config(json.dumps({as_read: value}).encode())
        except GenerationConfigError as error:
            raise _invalid(f"{GENERATION_CONFIG_NAME}: {name}={value!r} is no token id", error.way_out) from error


def _changes(name: str, value: Any) -> bool:
    """Say whether a field changes an answer: one that a decoder's server refuses, and what it honours beyond greedy answers."""
    if value is None:
        return False
    if name == "do_sample":
        return value is not False
    if name == "repetition_penalty":
        return bool(value != 1)
    try:
        read_generation_config(json.dumps({name: value}).encode())
    except GenerationConfigError:
        return True
    return False


def _invalid(message: str, way_out: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "GenerationConfigInvalid", message, way_out)
