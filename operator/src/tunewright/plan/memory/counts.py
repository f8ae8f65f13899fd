"""Counts a model's parameters (all, linear, trainable) from their shapes.

The figures equal those that Check reports from the real model, and are used before Check has run. Pure: the caller reads the configuration
or the safetensors header. Sources: LoRA arXiv:2106.09685 (r * (in + out) per matrix), DoRA arXiv:2402.09353 (one magnitude per output),
module matching as in peft 0.21.2 (`tuners/tuners_utils.py`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

from tunewright.plan.memory.architectures import Shapes, shapes_of
from tunewright_contract.reports import ModelFacts

ALL_LINEAR = "all-linear"
_EMBEDDINGS = ("embed_tokens", "wte", "wpe", "embed_in", "word_embeddings", "embed_positions")
_HEADS = ("lm_head", "embed_out")
_CLASSIFIER = "score"  # the linear layer that transformers puts on a decoder for sequence classification
_TRANSPOSED = ("c_attn", "c_proj", "c_fc")  # GPT-2's Conv1D: (in, out)
_Matcher = Callable[[str], bool]


def shapes_of_header(header: Mapping[str, Any]) -> Shapes:
    """Return the shape table of a safetensors header (merge the headers of a sharded checkpoint first).

    Leaves out the header's metadata, and rotary tables, which older checkpoints contain although they are not parameters.
    """
    return {
        name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__" and not name.endswith("rotary_emb.inv_freq")
    }


def model_facts(
    config: Mapping[str, Any], *, shapes: Shapes | None = None, lora: Mapping[str, Any] | None = None, labels: int | None = None
) -> ModelFacts:
    """Count a model from its configuration, and from its real shapes if they are known.

    `lora` is `peft.LoraConfig`'s arguments; None: every parameter is trained. With `labels`, a head for so many labels replaces the
    language model's, and PEFT trains it whole. Raises `UnknownArchitecture` without shapes for a family
    that is not in the table, and `KeyError` for a configuration that lacks a needed key.
    """
    text = config.get("text_config", config)  # multimodal configurations keep the decoder's below
    table = _untied(shapes, text) if shapes is not None else shapes_of(text)
    if labels is not None:
        table = _with_classifier(table, labels, _first(text, "hidden_size", "n_embd"))
        lora = None if lora is None else {**lora, "modules_to_save": [*(lora.get("modules_to_save") or ()), _CLASSIFIER]}
    linear = linear_modules(table)
    total = parameters(table)
    return ModelFacts(
        architecture=str(config.get("model_type", "unknown")),
        parameters=total,
        trainable_parameters=total if lora is None else lora_parameters(table, lora),
        linear_parameters=sum(rows * columns for rows, columns in linear.values()),
        largest_layer_parameters=max(_by_module(table).values()),
        hidden_size=_first(text, "hidden_size", "n_embd"),
        layers=_first(text, "num_hidden_layers", "n_layer"),
        vocab_size=text["vocab_size"],
        context_length=_first(text, "max_position_embeddings", "n_positions"),
        target_modules=dict(Counter(name.rsplit(".", 1)[-1] for name in targeted_modules(table, lora))) if lora is not None else {},
    )


def parameters(shapes: Shapes) -> int:
    """Return the number of parameters."""
    return sum(prod(shape) for shape in shapes.values())


def linear_modules(shapes: Shapes) -> dict[str, tuple[int, int]]:
    """Return module name -> (out features, in features) of every linear layer but the output head.

    These are the ones that bitsandbytes replaces and that PEFT's `all-linear` adapts. Experts are not included: transformers 5
    fuses them into one three-dimensional parameter when it loads.
    """
    found = {}
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        last = module.rsplit(".", 1)[-1]
        if kind == "weight" and len(shape) == 2 and last not in (*_EMBEDDINGS, *_HEADS, _CLASSIFIER) and ".experts." not in name:
            found[module] = (shape[1], shape[0]) if last in _TRANSPOSED else (shape[0], shape[1])
    return found


def targeted_modules(shapes: Shapes, lora: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return the linear layers that a `LoraConfig` adapts, by PEFT's rules for names, exclusions and layers."""
    linear = linear_modules(shapes)
    targets = lora.get("target_modules") or ALL_LINEAR
    wanted: _Matcher = (lambda _: True) if targets == ALL_LINEAR else _matcher(targets)
    excluded: _Matcher = _matcher(lora.get("exclude_modules") or [])
    return {name: size for name, size in linear.items() if wanted(name) and not excluded(name) and _in_layers(name, lora)}


def lora_parameters(shapes: Shapes, lora: Mapping[str, Any]) -> int:
    """Return how many parameters a `LoraConfig` trains: r(in + out) per matrix, plus out for DoRA, plus modules that are saved whole."""
    ranks: Mapping[str, int] = lora.get("rank_pattern") or {}
    count = 0
    for name, (rows, columns) in targeted_modules(shapes, lora).items():
        rank = next((rank for pattern, rank in ranks.items() if re.match(rf"(.*\.)?({pattern})$", name)), lora.get("r", 8))
        count += rank * (rows + columns)
        count += rows * (bool(lora.get("use_dora")) + bool(lora.get("lora_bias")))
        if lora.get("bias", "none") == "lora_only":
            count += prod(shapes.get(f"{name}.bias", (0,)))
    if lora.get("bias", "none") == "all":
        count += sum(prod(shape) for name, shape in shapes.items() if name.endswith(".bias"))
    rows_trained = len(lora.get("trainable_token_indices") or [])
    count += sum(rows_trained * shape[1] for name, shape in shapes.items() if name.endswith(("embed_tokens.weight", "wte.weight")))
    return count + _saved_parameters(shapes, tuple(lora.get("modules_to_save") or ()))


def _saved_parameters(shapes: Shapes, names: tuple[str, ...]) -> int:
    """Return how many parameters lie in modules to save. PEFT compares the ends of names, so `norm` is also `input_layernorm`."""
    return sum(prod(shape) for name, shape in shapes.items() if any(module.endswith(names) for module in _modules_around(name)))


def _modules_around(parameter: str) -> Iterator[str]:
    """Yield the names of the modules that hold a parameter, the innermost first."""
    module = parameter.rpartition(".")[0]
    while module:
        yield module
        module = module.rpartition(".")[0]


def _matcher(targets: str | list[str] | tuple[str, ...]) -> _Matcher:
    if isinstance(targets, str):
        return lambda name: re.fullmatch(targets, name) is not None
    return lambda name: any(name == target or name.endswith(f".{target}") for target in targets)


def _in_layers(name: str, lora: Mapping[str, Any]) -> bool:
    layers = lora.get("layers_to_transform")
    if layers is None:
        return True
    patterns = lora.get("layers_pattern") or r"[^.]*"
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        match = re.match(rf".*\.{pattern}\.(\d+)\.", name)
        if match is not None:
            return int(match[1]) in ([layers] if isinstance(layers, int) else layers)
    return False


def _by_module(shapes: Shapes) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for name, shape in shapes.items():
        sizes[name.rpartition(".")[0]] += prod(shape)
    return sizes


def _with_classifier(shapes: Shapes, labels: int, hidden: int) -> Shapes:
    body = {name: shape for name, shape in shapes.items() if name.rpartition(".")[0].rsplit(".", 1)[-1] not in _HEADS}
    return {**body, f"{_CLASSIFIER}.weight": (labels, hidden)}


def _untied(shapes: Shapes, config: Mapping[str, Any]) -> Shapes:
    """Drop the second name of a tied matrix: some checkpoints have both, but memory holds one."""
    if not config.get("tie_word_embeddings", False):
        return shapes
    return {name: shape for name, shape in shapes.items() if name.rpartition(".")[0].rsplit(".", 1)[-1] not in _HEADS}


def _first(config: Mapping[str, Any], *keys: str) -> int:
    for key in keys:
        if key in config:
            return int(config[key])
    raise KeyError(keys[0])
