"""Makes the data of the examples of translation and summarization: what guests of the café Copper Kettle order.

`python examples/generate.py` writes `{orders,calls}-{train,validation,test}.jsonl` next to this file; the same bytes every time. `orders`
has a sentence in English and in German; `calls` has a report of a telephone call and its summary. Both are rows of `prompt` and
`completion`. The test files have combinations of drinks, numbers and places that do not occur in the other two.
"""

import hashlib
import json
import random

SEED = 11
COUNTS = {"train": 600, "validation": 40, "test": 40}

NUMBERS = {"two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}
SIZES = {"small": "kleine", "large": "große"}
DRINKS = {"coffees": "Kaffees", "lattes": "Lattes", "cocoas": "Kakaos", "teas": "Tees", "juices": "Säfte"}
PLACES = {"the terrace": "die Terrasse", "the garden": "den Garten", "table nine": "Tisch neun", "the long bar": "die lange Bar"}
ORDERS = (
    ("please bring {} {} {} to {}", "bitte bringen Sie {} {} {} an {}"),
    ("we would like {} {} {} for {}", "wir möchten {} {} {} für {}"),
)
NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo")
CALL, SUMMARY = "{} called and would like {} {} {} for {} .", "{} : {} {} {} , {}"
REMARKS = (
    "the line was bad .",
    "it will be a birthday .",
    "the guests come at noon .",
    "music was playing in the room .",
)


def every_text() -> list[str]:
    """Texts with every word that the data can have."""
    orders = [text for pair in ORDERS for text in pair]
    tables = [text for table in (NUMBERS, SIZES, DRINKS, PLACES) for pair in table.items() for text in pair]
    return [*orders, *tables, CALL, SUMMARY, *REMARKS, *NAMES]


def held_out(*facts: str) -> bool:
    """Whether this combination is kept for the test file: a fifth of all, chosen by hash."""
    return hashlib.sha256("/".join(facts).encode()).digest()[0] < 51


def facts(rng: random.Random, *, test: bool) -> tuple[str, str, str, str]:
    """A number, a size, a drink and a place."""
    while True:
        found = rng.choice([*NUMBERS]), rng.choice([*SIZES]), rng.choice([*DRINKS]), rng.choice([*PLACES])
        if held_out(*found) == test:
            return found


def order(rng: random.Random, *, test: bool) -> tuple[str, str]:
    """A sentence and its translation."""
    found = facts(rng, test=test)
    english, german = rng.choice(ORDERS)
    return english.format(*found), german.format(
        *(table[word] for table, word in zip((NUMBERS, SIZES, DRINKS, PLACES), found, strict=True))
    )


def call(rng: random.Random, *, test: bool) -> tuple[str, str]:
    """A report of a call and its summary."""
    found = rng.choice(NAMES), *facts(rng, test=test)
    before, after = rng.sample(REMARKS, 2)
    return f"{before} {CALL.format(*found)} {after}", SUMMARY.format(*found)


def files() -> dict[str, str]:
    """The name and the text of every file."""
    found = {}
    for kind, make in (("orders", order), ("calls", call)):
        for part, count in COUNTS.items():
            rng = random.Random(f"{SEED}/{kind}/{part}")
            pairs = [make(rng, test=part == "test") for _ in range(count)]
            rows = [{"prompt": source, "completion": target} for source, target in pairs]
            found[f"{kind}-{part}.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return found
