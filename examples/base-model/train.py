"""Training of the base model from random weights: next-token prediction of the assistant's words, on CPU."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from corpus.turns import Dialogue
from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

LONGEST = 256  # tokens; longer dialogues are cut
IGNORED = -100  # the label transformers leaves out of the loss
SECONDS_BETWEEN_REPORTS = 15


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of the model. `hidden_size / num_attention_heads` (the head) stays 64: rotary tables ask for multiples of 16."""

    vocab_size: int = 3072
    hidden_size: int = 256
    intermediate_size: int = 704
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 1024


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how fast to train. Training ends after `steps` steps."""

    steps: int
    tokens_per_step: int = 2048
    learning_rate: float = 3e-3  # of the embeddings and the norms
    matrix_learning_rate: float = 0.02
    warmup_steps: int = 30
    weight_decay: float = 0.05
    seed: int = 1


@dataclass(frozen=True)
class Example:
    """One dialogue: token ids, and as many labels, which are IGNORED where nothing is to be learned."""

    ids: list[int]
    labels: list[int]


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[Dialogue]) -> list[Example]:
    """Each dialogue as the chat template renders it, cut to LONGEST; what is learned is what the template marks as the assistant's."""
    rendered = tokenizer.apply_chat_template(texts, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    return [
        Example(ids[:LONGEST], [token if said else IGNORED for token, said in zip(ids, mask, strict=True)][:LONGEST])
        for ids, mask in zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
    ]


def new_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> Phi3ForCausalLM:
    """A Phi-3 with random float32 weights whose special tokens are the tokenizer's."""
    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        max_position_embeddings=shape.max_position_embeddings,
        original_max_position_embeddings=shape.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = Phi3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False, max_new_tokens=128
    )
    return model


def batches(examples: Sequence[Example], *, tokens_per_step: int, seed: int) -> Iterator[list[Example]]:
    """Endless batches of examples of like length, at most `tokens_per_step` padded tokens each; every epoch in a new order."""
    rng = random.Random(seed)
    while True:
        # Sorting by a blurred length keeps padding small and still shuffles the examples in every epoch.
        order = sorted(examples, key=lambda example: len(example.ids) * rng.uniform(0.85, 1.15))
        groups: list[list[Example]] = [[]]
        longest = 0
        for example in order:
            longest = max(longest, len(example.ids))
            if groups[-1] and (len(groups[-1]) + 1) * longest > tokens_per_step:
                groups.append([])
                longest = len(example.ids)
            groups[-1].append(example)
        rng.shuffle(groups)
        yield from groups


def collate(group: Sequence[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both int64 [examples, longest], padded on the right."""
    longest = max(len(example.ids) for example in group)
    ids = torch.tensor([example.ids + [pad] * (longest - len(example.ids)) for example in group])
    labels = torch.tensor([example.labels + [IGNORED] * (longest - len(example.labels)) for example in group])
    return ids, labels


def schedule(step: int, recipe: Recipe) -> float:
    """The share of the peak learning rate: linear warm-up, then a cosine to a fiftieth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2


def train(model: Phi3ForCausalLM, examples: Sequence[Example], recipe: Recipe, *, pad: int) -> float:
    """Trains in place (float32 weights, bf16 arithmetic) and returns the loss of the last tenth of the steps, in nats per answer token.

    Padding needs no attention mask: it stands on the right, where causal attention never looks from a real token.
    """
    # Muon (Jordan et al., 2024) orthogonalises the update of the hidden matrices and needs about half of AdamW's steps here.
    embeddings = model.get_input_embeddings().weight
    hidden = [weight for weight in model.parameters() if weight.ndim == 2 and weight is not embeddings]
    others = [embeddings, *(weight for weight in model.parameters() if weight.ndim == 1)]
    optimizers = (
        torch.optim.Muon(hidden, lr=recipe.matrix_learning_rate, weight_decay=recipe.weight_decay, momentum=0.95),
        torch.optim.AdamW(others, lr=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
    )
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    stream = batches(examples, tokens_per_step=recipe.tokens_per_step, seed=recipe.seed)
    model.train()
    last, tokens, started, reported = [], 0, time.monotonic(), 0.0
    for step in range(recipe.steps):
        ids, labels = collate(next(stream), pad)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * schedule(step, recipe)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        tokens += ids.numel()
        if step >= int(recipe.steps * 0.9):
            last.append(loss.item())
        elapsed = time.monotonic() - started
        if elapsed - reported > SECONDS_BETWEEN_REPORTS or step == recipe.steps - 1:
            reported = elapsed
            print(f"step {step + 1}/{recipe.steps}  loss {loss.item():.3f}  {tokens / elapsed:,.0f} tokens/s", flush=True)
    model.eval()
    return sum(last) / len(last)
