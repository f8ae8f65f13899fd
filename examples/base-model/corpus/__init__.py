"""The text the base model learns from: short English dialogues, made from word lists and patterns.

`dialogues(seed, count)` is the whole interface. The same arguments give the same dialogues on every machine; nothing is read from outside.
What a fine-tuning job teaches later (the ticket form of `examples/data`) does not occur in here, only the words it is made of.
"""

import random
from collections.abc import Callable, Iterator

from corpus import instructions, knowledge, shop, smalltalk
from corpus.turns import Dialogue, Exchange

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer in one or two short sentences.",
    "You are a general assistant.",
    "Be brief and polite.",
)

# How much of the corpus each kind of exchange makes up. Copying names and things from the question into the answer is what
# a model of this size finds hardest, so the kinds that need it (shop, instructions) weigh most.
KINDS: tuple[tuple[Callable[[random.Random], Exchange], int], ...] = (
    (smalltalk.exchange, 3),
    (knowledge.exchange, 3),
    (instructions.exchange, 6),
    (shop.exchange, 6),
)


def dialogue(rng: random.Random) -> Dialogue:
    """One dialogue of one to four unrelated exchanges; one in eight has a system prompt."""
    messages: Dialogue = []
    if rng.random() < 1 / 8:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    for _ in range(rng.choices((1, 2, 3, 4), weights=(12, 3, 2, 1))[0]):
        kind = rng.choices([kind for kind, _ in KINDS], weights=[weight for _, weight in KINDS])[0]
        for question, answer in kind(rng):
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


def dialogues(*, seed: int, count: int) -> Iterator[Dialogue]:
    """`count` dialogues in OpenAI `messages` form; the n-th depends on `seed` and n alone."""
    for number in range(count):
        yield dialogue(random.Random(f"{seed}/{number}"))
