"""The parameter shapes of the common decoder families, from a transformers configuration alone: no torch, no download.

A shape table maps a parameter's name, as in the checkpoint, to its shape. Source: the modelling files of transformers 5.23; the tests
compare every family with the model itself on torch's meta device. Raises `UnknownArchitecture` for a family that is not in the table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
Parameter = tuple[str, tuple[int, ...]]

GATED_NORMS = ("input_layernorm", "post_attention_layernorm")
SANDWICH_NORMS = (*GATED_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")


class UnknownArchitecture(ValueError):  # noqa: N818 - the name appears in messages
    """No table for this `model_type`. Count from the header of its safetensors file instead."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What distinguishes one Llama-like family from another. A `str` names the configuration key that decides."""

    fused: bool = False  # qkv_proj and gate_up_proj instead of three and two
    qkv_bias: bool | str = False
    o_bias: bool | str = False
    mlp_bias: bool | str = False
    qk_norm: bool = False  # a norm of head_dim on queries and keys
    norms: tuple[str, ...] = GATED_NORMS
    tied: bool = False  # the default of tie_word_embeddings
    head_dim: int | None = None  # the default of head_dim; None: hidden_size / num_attention_heads


FAMILIES: Mapping[str, Family] = {
    "phi3": Family(fused=True),
    "llama": Family(qkv_bias="attention_bias", o_bias="attention_bias", mlp_bias="mlp_bias"),
    "mistral": Family(),
    "ministral": Family(),
    "qwen2": Family(qkv_bias=True),
    "qwen3": Family(qkv_bias="attention_bias", o_bias="attention_bias", qk_norm=True, head_dim=128),
    "smollm3": Family(qkv_bias="attention_bias", o_bias="attention_bias", mlp_bias="mlp_bias", tied=True),
    "granite": Family(qkv_bias="attention_bias", o_bias="attention_bias", mlp_bias="mlp_bias"),
    "gemma": Family(qkv_bias="attention_bias", o_bias="attention_bias", tied=True, head_dim=256),
    "gemma2": Family(qkv_bias="attention_bias", o_bias="attention_bias", norms=SANDWICH_NORMS, tied=True, head_dim=256),
    "gemma3_text": Family(qkv_bias="attention_bias", o_bias="attention_bias", qk_norm=True, norms=SANDWICH_NORMS, tied=True, head_dim=256),
}


def shapes_of(config: Mapping[str, Any]) -> Shapes:
    """Return the shape table of a `config.json`. Raises `UnknownArchitecture`; `KeyError` names a key that the configuration lacks."""
    kind = str(config.get("model_type"))
    if kind == "gpt2":
        return dict(_gpt2(config))
    if kind == "phi":
        return dict(_phi(config))
    if kind in FAMILIES:
        return dict(_llama_like(config, FAMILIES[kind]))
    raise UnknownArchitecture(f"model_type {kind!r} is not among {', '.join(sorted([*FAMILIES, 'gpt2', 'phi']))}")


def _llama_like(config: Mapping[str, Any], family: Family) -> Iterator[Parameter]:
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or family.head_dim or hidden // heads
    queries, keys = heads * head, (config.get("num_key_value_heads") or heads) * head
    qkv = _decide(family.qkv_bias, config)
    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        if family.fused:
            yield from _linear(f"{block}.self_attn.qkv_proj", queries + 2 * keys, hidden, bias=qkv)
        else:
            yield from _linear(f"{block}.self_attn.q_proj", queries, hidden, bias=qkv)
            yield from _linear(f"{block}.self_attn.k_proj", keys, hidden, bias=qkv)
            yield from _linear(f"{block}.self_attn.v_proj", keys, hidden, bias=qkv)
        yield from _linear(f"{block}.self_attn.o_proj", hidden, queries, bias=_decide(family.o_bias, config))
        if family.qk_norm:
            yield f"{block}.self_attn.q_norm.weight", (head,)
            yield f"{block}.self_attn.k_norm.weight", (head,)
        mlp = _decide(family.mlp_bias, config)
        if family.fused:
            yield from _linear(f"{block}.mlp.gate_up_proj", 2 * inner, hidden, bias=mlp)
        else:
            yield from _linear(f"{block}.mlp.gate_proj", inner, hidden, bias=mlp)
            yield from _linear(f"{block}.mlp.up_proj", inner, hidden, bias=mlp)
        yield from _linear(f"{block}.mlp.down_proj", hidden, inner, bias=mlp)
        for norm in family.norms:
            yield f"{block}.{norm}.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    if not config.get("tie_word_embeddings", family.tied):
        yield "lm_head.weight", (vocab, hidden)


def _phi(config: Mapping[str, Any]) -> Iterator[Parameter]:
    hidden, inner, vocab, heads = (config[key] for key in ("hidden_size", "intermediate_size", "vocab_size", "num_attention_heads"))
    head = config.get("head_dim") or hidden // heads
    queries, keys = heads * head, (config.get("num_key_value_heads") or heads) * head
    yield "model.embed_tokens.weight", (vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        for name, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            yield from _linear(f"{block}.self_attn.{name}", rows, hidden, bias=True)
        yield from _linear(f"{block}.self_attn.dense", hidden, queries, bias=True)
        if config.get("qk_layernorm"):
            for name in ("q_layernorm", "k_layernorm"):
                yield from _vectors(f"{block}.self_attn.{name}", head)
        yield from _linear(f"{block}.mlp.fc1", inner, hidden, bias=True)
        yield from _linear(f"{block}.mlp.fc2", hidden, inner, bias=True)
        yield from _vectors(f"{block}.input_layernorm", hidden)
    yield from _vectors("model.final_layernorm", hidden)
    if not config.get("tie_word_embeddings", False):
        yield "lm_head.weight", (vocab, hidden)
    yield "lm_head.bias", (vocab,)


def _gpt2(config: Mapping[str, Any]) -> Iterator[Parameter]:
    hidden, inner = config["n_embd"], config.get("n_inner") or 4 * config["n_embd"]
    yield "transformer.wte.weight", (config["vocab_size"], hidden)
    yield "transformer.wpe.weight", (config["n_positions"], hidden)
    for layer in range(config["n_layer"]):
        block = f"transformer.h.{layer}"
        # GPT-2's Conv1D keeps its weight as (in, out), the transpose of a linear layer.
        for name, shape in (
            ("attn.c_attn", (hidden, 3 * hidden)),
            ("attn.c_proj", (hidden, hidden)),
            ("mlp.c_fc", (hidden, inner)),
            ("mlp.c_proj", (inner, hidden)),
        ):
            yield f"{block}.{name}.weight", shape
            yield f"{block}.{name}.bias", shape[1:]
        yield from _vectors(f"{block}.ln_1", hidden)
        yield from _vectors(f"{block}.ln_2", hidden)
    yield from _vectors("transformer.ln_f", hidden)
    if not config.get("tie_word_embeddings", True):
        yield "lm_head.weight", (config["vocab_size"], hidden)


def _linear(name: str, rows: int, columns: int, *, bias: bool) -> Iterator[Parameter]:
    yield f"{name}.weight", (rows, columns)
    if bias:
        yield f"{name}.bias", (rows,)


def _vectors(name: str, size: int) -> Iterator[Parameter]:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)


def _decide(rule: bool | str, config: Mapping[str, Any]) -> bool:
    return bool(config.get(rule, False)) if isinstance(rule, str) else rule
