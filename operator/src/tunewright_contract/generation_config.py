"""`generation_config.json` of a model folder: the defaults of a request. Check, Export and the server read it here.

Source: transformers' `GenerationConfig`. As there, answers are greedy unless `do_sample` is true, and temperature, top_k, top_p and min_p
then have no effect. Each field is applied, has no effect on one sequence, or is refused. None is ignored.

Bases with an encoder are published with fields of beam search (`num_beams`), which the server does not have. Their answers are greedy, and
`departures` says so. Fields that bound or force tokens of the target are applied there.
"""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tunewright_contract.base import Message

GENERATION_CONFIG_NAME = "generation_config.json"
LARGEST_BYTES = 2**20
_TOP_K = 50  # transformers' default if the file samples and has no top_k


class GenerationConfigError(ValueError):
    """The file cannot be used for serving. `way_out` is what the user can do."""

    def __init__(self, message: str, way_out: str) -> None:
        super().__init__(f"{GENERATION_CONFIG_NAME}: {message}")
        self.way_out = way_out


class GenerationDefaults(Message):
    """The defaults for a request's parameters. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0  # 0 keeps every token
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0  # of Keskar et al. 2019, arXiv:1909.05858, over prompt and answer
    max_tokens: int | None = None  # of an answer; None: the rest of the context
    min_tokens: int = 0  # before a token that ends the answer
    no_repeat_ngram_size: int = 0  # no sequence of so many tokens occurs twice in an answer; 0: any can
    eos_token_ids: list[int] = Field(default_factory=list)
    departures: list[str] = Field(default_factory=list)  # what the file asks for and answers do not do

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


GREEDY = GenerationDefaults()

# Field -> (lower bound, upper bound, whether the lower bound itself is allowed).
_NUMBERS: dict[str, tuple[float, float, bool]] = {
    "temperature": (0, 100, True),
    "top_p": (0, 1, True),
    "min_p": (0, 1, True),
    "repetition_penalty": (0, 100, False),
}
_COUNTS = {"top_k": (0, 2**31), "max_new_tokens": (1, 2**31)}
_TOKENS = ("eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id")

# Fields that change no answer here: how to compute, what to return, beam search, notes of other programs.
_WITHOUT_EFFECT = frozenset(
    {
        *("transformers_version", "_from_model_config", "_commit_hash", "_name_or_path", "trust_remote_code", "chat_format"),
        *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "compile_config", "disable_compile", "low_memory"),
        *("continuous_batching_config", "prefill_chunk_size", "return_dict_in_generate", "output_scores", "output_logits"),
        *("output_attentions", "output_hidden_states", "early_stopping", "length_penalty", "max_length", "max_window_size"),
        *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
        *("assistant_early_exit", "assistant_lookbehind", "assistant_ensemble_weight", "target_lookbehind", "speculation_type"),
        *("prompt_lookup_num_tokens", "max_matching_ngram_size", "use_mtp", "remove_invalid_values", "renormalize_logits"),
    }
)
# Fields that change answers and that this server does not implement, with the values that change nothing. A null changes nothing.
_REFUSED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), (1,)),
    **dict.fromkeys(("typical_p", "encoder_repetition_penalty", "guidance_scale"), (1,)),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), (0,)),
    **dict.fromkeys(("penalty_alpha", "diversity_penalty", "epsilon_cutoff", "eta_cutoff"), (0,)),
    **dict.fromkeys(("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "force_words_ids", "forced_decoder_ids"), ([],)),
    **dict.fromkeys(("constraints", "stop_strings"), ([],)),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty", "sequence_bias", "max_time"), ()),
    **dict.fromkeys(("top_h", "dola_layers", "watermarking_config"), ()),
    "token_healing": (False,),
}
# What a model with an encoder does with fields that are refused, or have no effect, elsewhere.
_TARGET_COUNTS = {"max_length": (1, 2**31), "min_length": (0, 2**31), "min_new_tokens": (0, 2**31), "no_repeat_ngram_size": (0, 2**31)}
_TARGET_TOKENS = ("forced_bos_token_id", "forced_eos_token_id")
_TARGET_LISTS = ("bad_words_ids", "suppress_tokens")  # the exporter writes them into the manifest
_BEAMS = ("num_beams", "num_beam_groups")
FIELDS: dict[str, Literal["honoured", "without effect", "refused"]] = {
    **dict.fromkeys(("do_sample", *_NUMBERS, *_COUNTS, *_TOKENS), "honoured"),
    **dict.fromkeys(sorted(_WITHOUT_EFFECT), "without effect"),
    **dict.fromkeys(_REFUSED, "refused"),
}


def generation_defaults_in(folder: Path, *, encoder: bool = False) -> GenerationDefaults:
    """Read a model folder's file; without one, answers are greedy. `encoder`: the model has one. Raises `GenerationConfigError`."""
    path = folder / GENERATION_CONFIG_NAME
    if not path.is_file():
        return GREEDY
    with path.open("rb") as file:
        return read_generation_config(file.read(LARGEST_BYTES + 1), encoder=encoder)


def read_generation_config(content: bytes, *, encoder: bool = False) -> GenerationDefaults:
    """Read the file. Raises `GenerationConfigError` with the field, its value and the way out."""
    found = {name: value for name, value in _object(content).items() if value is not None}
    for name, value in found.items():
        if not (encoder and _is_checked_of_target(name, value)):
            _check(name, value)
    eos = found.get("eos_token_id", [])
    common = {
        "repetition_penalty": float(found.get("repetition_penalty", 1.0)),
        "max_tokens": found.get("max_new_tokens"),
        "eos_token_ids": [eos] if isinstance(eos, int) else eos,
        **(_of_target(found) if encoder else {}),
    }
    if not found.get("do_sample", False):
        return GenerationDefaults(**common)
    if found.get("temperature", 1.0) == 0:
        raise _refuse("temperature", 0, "this temperature is not valid for sampling", "Set do_sample to false for greedy answers")
    return GenerationDefaults(
        temperature=float(found.get("temperature", 1.0)),
        top_k=found.get("top_k", _TOP_K),
        top_p=float(found.get("top_p", 1.0)),
        min_p=float(found.get("min_p", 0.0)),
        **common,
    )


def _is_checked_of_target(name: str, value: Any) -> bool:
    """Check a field that means something for the target of a model with an encoder; return whether it is one."""
    if name in _TARGET_COUNTS:
        _check_count(name, value, *_TARGET_COUNTS[name])
    elif name in _BEAMS:
        _check_count(name, value, 1, 2**31)
    elif name in _TARGET_TOKENS:
        _check_tokens(name, value, several=name == "forced_eos_token_id")
    elif name in _TARGET_LISTS:
        tokens = value if isinstance(value, list) else [value]
        for each in tokens:
            if name == "bad_words_ids" and isinstance(each, list) and len(each) > 1:
                raise _refuse(name, value, "the server can leave out single tokens, and not sequences of them")
        _check_tokens(name, [item for each in tokens for item in (each if isinstance(each, list) else [each])], several=True)
    else:
        return False
    return True


def _of_target(found: dict[str, Any]) -> dict[str, Any]:
    """What bounds a target. transformers counts its first tokens in `*_length`, and a forced one in `*_new_tokens`, too."""
    forced = int("forced_bos_token_id" in found)
    longest = found["max_new_tokens"] - forced if "max_new_tokens" in found else found.get("max_length", 2**31) - 1 - forced
    shortest = max(found.get("min_new_tokens", 0) - forced, found.get("min_length", 0) - 1 - forced)
    departures = [f"{name}={found[name]}: answers are greedy or sampled, without beams" for name in _BEAMS if found.get(name, 1) > 1]
    if "forced_eos_token_id" in found:
        departures.append(f"forced_eos_token_id={found['forced_eos_token_id']}: an answer that is cut at its length ends without it")
    return {
        "max_tokens": max(1, longest) if {"max_new_tokens", "max_length"} & set(found) else None,
        "min_tokens": max(0, shortest),
        "no_repeat_ngram_size": found.get("no_repeat_ngram_size", 0),
        "departures": departures,
    }


def _object(content: bytes) -> dict[str, Any]:
    way_out = "Write it again with transformers' GenerationConfig.save_pretrained, or remove it: answers are then greedy."
    if len(content) > LARGEST_BYTES:
        raise GenerationConfigError(f"it has {len(content)} bytes, and at most {LARGEST_BYTES} are read", way_out)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GenerationConfigError(f"it is not JSON ({error})", way_out) from error
    if not isinstance(found, dict):
        raise GenerationConfigError(f"it holds {type(found).__name__} instead of an object", way_out)
    return found


def _check(name: str, value: Any) -> None:
    if name == "do_sample":
        if not isinstance(value, bool):
            raise _refuse(name, value, "it is neither true nor false")
    elif name in _NUMBERS:
        low, high, allowed = _NUMBERS[name]
        if not _is_number(value) or not (low <= value <= high) or (value == low and not allowed):
            raise _refuse(name, value, f"it is no number {'from' if allowed else 'above'} {low:g} to {high:g}")
    elif name in _COUNTS:
        _check_count(name, value, *_COUNTS[name])
    elif name in _TOKENS:
        _check_tokens(name, value, several=name == "eos_token_id")
    elif name in _REFUSED:
        if not any(value == harmless and isinstance(value, bool) == isinstance(harmless, bool) for harmless in _REFUSED[name]):
            neutral = f"Set it to {json.dumps(_REFUSED[name][0])}" if _REFUSED[name] else "Remove it"
            raise _refuse(name, value, "the server does not support it, so its answers would differ from the file", neutral)
    elif name not in _WITHOUT_EFFECT:
        raise _refuse(name, value, "it is no field of transformers' GenerationConfig", "Remove it")


def _check_count(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _refuse(name, value, f"it is no whole number from {least} to {most}")


def _check_tokens(name: str, value: Any, *, several: bool) -> None:
    tokens = value if isinstance(value, list) and several else [value]
    if not all(isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**31 for token in tokens):
        raise _refuse(name, value, "it is no token id")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, value: Any, why: str, way_out: str = "Correct it") -> GenerationConfigError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:80] + "…"
    return GenerationConfigError(f"{name[:80]}={shown}: {why}", f"{way_out} in a copy of the base model, and point model.source there.")
