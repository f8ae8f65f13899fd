"""Makes the data of the question answering example: notices of the café Copper Kettle, and questions about them, as rows of SQuAD 2.

`python examples/generate.py` writes `questions-{train,validation,test}.jsonl` next to this file; the same bytes every time. A notice says
who brings what to where, before or after sentences that say nothing of it, so that some contexts are longer than a window of the example. A
quarter of the questions ask for a price, which no notice has. The test file has people with dishes and places that do not occur together in
the other two.
"""

import hashlib
import json
import random

SEED = 7
COUNTS = {"train": 400, "validation": 40, "test": 60}

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo")
FOODS = ("scones", "bagels", "muffins", "the soup", "the pie", "cookies", "brownies", "the salad")
PLACES = ("the blue room", "table four", "the terrace", "table nine", "the garden", "the long bar")
FILLER = "The Copper Kettle opens at eight and closes at six on each day of the week. "
QUESTIONS = (("Who brings it?", 0), ("What is brought?", 1), ("Where is it brought?", 2), ("What does it cost?", None))
NOTICE = "{} brings {} to {}."


def every_text() -> list[str]:
    """Texts with every word that the data can have."""
    return [FILLER, NOTICE, *NAMES, *FOODS, *PLACES, *(question for question, _ in QUESTIONS)]


def held_out(*facts: str) -> bool:
    """Whether this combination is kept for the test file: a fifth of all, chosen by hash."""
    return hashlib.sha256("/".join(facts).encode()).digest()[0] < 51


def row(rng: random.Random, *, number: str, test: bool) -> dict[str, object]:
    """One question about one notice."""
    while True:
        facts = rng.choice(NAMES), rng.choice(FOODS), rng.choice(PLACES)
        if held_out(*facts) == test:
            break
    before, after = (FILLER * rng.randint(0, 1) for _ in range(2))
    context = f"{before}{NOTICE.format(*facts)} {after}".strip()
    question, asked = rng.choice(QUESTIONS)
    answers = [] if asked is None else [facts[asked]]
    starts = [context.index(answer, len(before)) for answer in answers]
    return {"id": number, "question": question, "context": context, "answers": {"text": answers, "answer_start": starts}}


def files() -> dict[str, str]:
    """The name and the text of every file."""
    found = {}
    for part, count in COUNTS.items():
        rng = random.Random(f"{SEED}/questions/{part}")
        rows = [row(rng, number=f"{part}-{number}", test=part == "test") for number in range(count)]
        found[f"questions-{part}.jsonl"] = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
    return found
