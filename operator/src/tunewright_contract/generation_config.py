"""`generation_config.json` of a model folder: the defaults of a request. Check, Export and the server read it here.

Source: transformers' `GenerationConfig`. As there, answers are greedy unless `do_sample` is true, and temperature, top_k, top_p and min_p
then have no effect. Each field is applied, has no effect on one sequence, or is refused. None is ignored.
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
    eos_token_ids: list[int] = Field(default_factory=list)

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
FIELDS: dict[str, Literal["honoured", "without effect", "refused"]] = {
    **dict.fromkeys(("do_sample", *_NUMBERS, *_COUNTS, *_TOKENS), "honoured"),
    **dict.fromkeys(sorted(_WITHOUT_EFFECT), "without effect"),
    **dict.fromkeys(_REFUSED, "refused"),
}


def generation_defaults_in(folder: Path) -> GenerationDefaults:
    """Read a model folder's file; without one, answers are greedy. Raises `GenerationConfigError`."""
    path = folder / GENERATION_CONFIG_NAME
    if not path.is_file():
        return GREEDY
    with path.open("rb") as file:
        return read_generation_config(file.read(LARGEST_BYTES + 1))


def read_generation_config(content: bytes) -> GenerationDefaults:
    """Read the file. Raises `GenerationConfigError` with the field, its value and the way out."""
    found = {name: value for name, value in _object(content).items() if value is not None}
    for name, value in found.items():
        _check(name, value)
    eos = found.get("eos_token_id", [])
    common = {
        "repetition_penalty": float(found.get("repetition_penalty", 1.0)),
        "max_tokens": found.get("max_new_tokens"),
        "eos_token_ids": [eos] if isinstance(eos, int) else eos,
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
        least, most = _COUNTS[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _refuse(name, value, f"it is no whole number from {least} to {most}")
    elif name in _TOKENS:
        tokens = value if isinstance(value, list) and name == "eos_token_id" else [value]
        if not all(isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**31 for token in tokens):
            raise _refuse(name, value, "it is no token id")
    elif name in _REFUSED:
        if not any(value == harmless and isinstance(value, bool) == isinstance(harmless, bool) for harmless in _REFUSED[name]):
            neutral = f"Set it to {json.dumps(_REFUSED[name][0])}" if _REFUSED[name] else "Remove it"
            raise _refuse(name, value, "the server does not support it, so its answers would differ from the file", neutral)
    elif name not in _WITHOUT_EFFECT:
        raise _refuse(name, value, "it is no field of transformers' GenerationConfig", "Remove it")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, value: Any, why: str, way_out: str = "Correct it") -> GenerationConfigError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:80] + "…"
    return GenerationConfigError(f"{name[:80]}={shown}: {why}", f"{way_out} in a copy of the base model, and point model.source there.")
