"""Creates a small model of the base's shape, to test in seconds the steps that follow training.

It keeps everything of the base's configuration except sizes: positions, norms, attention patterns, head size, the ratio of query to key
heads, and tied weights. It reduces the number of layers, heads and tokens, and therefore the widths.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tunewright_trainer.export.exportable import export_unsupported

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

MOST_PARAMETERS = 100_000_000  # of the small model: 400 MB in fp32
_WINDOW = 8  # tokens that a layer with a sliding window attends to: fewer than in the tests
_MOST_POSITIONS = 32_768  # each has an entry in the tables of rotary positions
_VOCABULARIES = (416, 448, 480)  # the first that differs from all widths, because the exporters distinguish some matrices by their shapes
_BLOCK = 32  # of the quantisers: a width that is not a multiple in the base must not be one in the small model, either
_FEED_FORWARD = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim")
_EMBEDDING_WIDTHS = ("word_embed_proj_dim", "embedding_size")
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
# What an encoder-decoder states of its decoder: transformers' own names are those of the encoder.
_DECODER_HEADS, _DECODER_LAYERS, _DECODER_VOCABULARY = (
    "decoder_attention_heads",
    ("decoder_layers", "num_decoder_layers"),
    "decoder_vocab_size",
)
_WINDOWS = ("sliding_window", "window_size")
_FEW_LAYERS = 2
_SEED = 0
_SPREAD = 1.0  # of the weights, over the root of their inputs: wide enough that the two most likely tokens are rarely nearly tied
_NUDGE = 0.1  # of biases and norms, because otherwise a graph without them would pass


def small_model(config: "PretrainedConfig", auto_class: Any, *, trust_remote_code: bool) -> "PreTrainedModel":
    """Return the small model, with the same random fp32 weights in each run. Raises `StageError` if the configuration cannot be reduced."""
    import torch

    obstacles = []
    for candidate in _candidates(config):
        try:
            smaller = type(config).from_dict(candidate)
            with torch.device("meta"):
                shapes = auto_class.from_config(smaller, trust_remote_code=trust_remote_code)
            if sum(parameter.numel() for parameter in shapes.parameters()) > MOST_PARAMETERS:
                obstacles.append(f"more than {MOST_PARAMETERS:,} parameters are left")
                continue
            model = auto_class.from_config(smaller, dtype=torch.float32, trust_remote_code=trust_remote_code)
        except Exception as error:  # noqa: BLE001 - each model family raises its own errors
            obstacles.append(f"{type(error).__name__}: {error}")
            continue
        return _drawn(model.eval())
    raise export_unsupported(f"the architecture {config.model_type} cannot be reduced to test its export: {'; '.join(obstacles)}")


def _drawn(model: "PreTrainedModel") -> "PreTrainedModel":
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, _SPREAD / parameter.shape[-1] ** 0.5, generator=generator)
            else:
                parameter.add_(_NUDGE * torch.randn(parameter.shape, generator=generator))
    return model


def _candidates(config: "PretrainedConfig") -> Iterator[dict[str, Any]]:
    """Yield configurations from small to larger ones, because some have settings for each layer that cannot be shortened."""
    narrow = _narrow(config)
    few = _layers_of_each_kind(config)
    if few < max(config.num_hidden_layers, *(getattr(config, name, None) or 0 for name in _DECODER_LAYERS)):
        yield _shorter(narrow, config, few)
    yield narrow


def _narrow(config: "PretrainedConfig") -> dict[str, Any]:
    """Return the configuration with few heads, matching widths, few tokens and a bounded context."""
    stated = config.to_dict()
    names = {name: config.attribute_map.get(name, name) for name in ("hidden_size", "num_attention_heads", "vocab_size")}
    heads, key_heads = config.num_attention_heads, _key_heads(config)
    few, few_keys = (2, 2) if key_heads == heads else (4, 1 if key_heads == 1 else 2)
    width = few * (config.hidden_size // heads)
    widths = {names["hidden_size"]: width}
    widths |= {name: 2 * width + stated[name] % _BLOCK for name in _FEED_FORWARD if isinstance(stated.get(name), int)}
    for name in _EMBEDDING_WIDTHS:
        if isinstance(stated.get(name), int):
            widths[name] = width if stated[name] == config.hidden_size else width // 2
    taken = {times * value for value in widths.values() for times in (1, 2, 3)}  # one matrix can hold several layers side by side
    vocabulary = next(size for size in _VOCABULARIES if size not in taken)
    counts = {names["num_attention_heads"]: few, names["vocab_size"]: vocabulary}
    counts |= {name: few_keys for name in _KEY_HEADS if isinstance(stated.get(name), int)}
    of_decoder = {_DECODER_HEADS: few, _DECODER_VOCABULARY: vocabulary}
    counts |= {name: value for name, value in of_decoder.items() if isinstance(stated.get(name), int)}
    window = {name: _WINDOW for name in _WINDOWS if stated.get(name)}
    return {**stated, **widths, **counts, **window, **_special_tokens(stated, vocabulary), **_positions(config)}


def _key_heads(config: "PretrainedConfig") -> int:
    stated = [getattr(config, name, None) for name in _KEY_HEADS]
    return next((heads for heads in stated if isinstance(heads, int)), int(config.num_attention_heads))


def _special_tokens(stated: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """Return special token ids within the smaller vocabulary, because embeddings refuse a padding token that they lack."""
    ids = {name: value for name, value in stated.items() if name.endswith("_token_id") and value is not None}
    return {name: [v % vocabulary for v in value] if isinstance(value, list) else value % vocabulary for name, value in ids.items()}


def _positions(config: "PretrainedConfig") -> dict[str, int]:
    """Return a bounded context that is longer than the length from which a second rotary table is used."""
    longest = getattr(config, "max_position_embeddings", None)
    if longest is None:
        return {}  # relative positions, as in T5
    switch = getattr(config, "original_max_position_embeddings", None)
    least = 2 * switch if isinstance(switch, int) and switch < longest else 0
    bounded = min(longest, max(_MOST_POSITIONS, least))
    return {config.attribute_map.get("max_position_embeddings", "max_position_embeddings"): bounded}


def _layers_of_each_kind(config: "PretrainedConfig") -> int:
    """Return how many of the first layers include every kind of layer; at least two."""
    kinds = getattr(config, "layer_types", None) or [""]
    each = next(count for count in range(1, len(kinds) + 1) if set(kinds[:count]) == set(kinds))
    layers: int = config.num_hidden_layers
    return min(max(each, _FEW_LAYERS), layers)


def _shorter(stated: dict[str, Any], config: "PretrainedConfig", layers: int) -> dict[str, Any]:
    """Return the configuration with fewer layers; lists with an entry for each layer are shortened."""
    count = config.num_hidden_layers
    cut = {name: value[:layers] for name, value in stated.items() if isinstance(value, list) and len(value) == count}
    names = (config.attribute_map.get("num_hidden_layers", "num_hidden_layers"), *_DECODER_LAYERS)
    return {**stated, **cut, **{name: min(layers, stated[name]) for name in names if isinstance(stated.get(name), int)}}
