"""Makes the examples' data: guests of the café Copper Kettle write, the support bot answers with a ticket; and the café's menus.

`python examples/generate.py` writes the files, the same bytes every time: `support-{train,validation,test}.jsonl` (OpenAI `messages`),
`intent-...` (texts with a label), `requests-...` (texts with several labels), `entities-...` (words with tags) and
`menu-{train,validation}.jsonl` (plain `text`). A ticket is one line a program can read, so an answer is right or wrong and not a matter of
taste:

    ORDER: two large oat lattes | to go | Jean
    TABLE: four people | Friday | 7 pm | Maria
    RETURN: blue mug | cracked | Omar

The orders in the test file (a drink with its size and milk, a table with its day and hour, a thing with its colour and fault) never occur
in the other two files, and some names occur only there. A model that does well has therefore learned the form, not the examples.
"""

import hashlib
import json
import random
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SEED = 7
COUNTS = {"train": 1200, "validation": 100, "test": 100}
MENU_COUNTS = {"train": 400, "validation": 40}
INTENT_COUNTS = {"train": 400, "validation": 40, "test": 60}
REQUEST_COUNTS = {"train": 500, "validation": 40, "test": 60}
ENTITY_COUNTS = {"train": 400, "validation": 40, "test": 60}
# The field of a sentence -> the type of the entity that stands there. A thing follows its colour and belongs to it.
ENTITIES = {"name": "PER", "t": "DRINK", "d": "DAY", "c": "ITEM", "g": "ITEM"}

NAMES = [
    "Ada",
    "Adam",
    "Alice",
    "Amir",
    "Anna",
    "Ben",
    "Bruno",
    "Carlos",
    "Clara",
    "Daniel",
    "David",
    "Diana",
    "Elena",
    "Emil",
    "Emma",
    "Eva",
    "Felix",
    "Fiona",
    "Grace",
    "Hana",
    "Hassan",
    "Henry",
    "Hugo",
    "Ian",
    "Iris",
    "Jack",
    "Jane",
    "Jean",
    "John",
    "Jonas",
    "Julia",
    "Kai",
    "Karim",
    "Kate",
    "Lara",
    "Leo",
    "Lily",
    "Lucas",
    "Lucy",
    "Luis",
    "Maria",
    "Marco",
    "Mary",
    "Max",
    "Maya",
    "Mia",
    "Nadia",
    "Nina",
    "Noah",
    "Nora",
]
TEST_NAMES = "Omar Oscar Paul Priya Rosa Ruth Sam Sara Sofia Theo Tina Vera Victor Yara Zoe".split()  # noqa: SIM905
NUMBERS = ("one", "two", "three", "four", "five", "six")
PEOPLE = ("two", "three", "four", "five", "six", "seven", "eight")
SIZES = ("small", "medium", "large")
MILKS = ("oat", "soy", "almond", "coconut")
DRINKS = ("latte", "cappuccino", "mocha", "flat white", "macchiato", "cortado", "chai", "hot chocolate")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = (3, 4, 5, 6, 7, 8, 9, 10)
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "pink", "orange", "silver")
GOODS = ("mug", "cup", "teapot", "kettle", "grinder", "jar", "apron", "tray", "bottle", "lamp")
FAULTS = ("cracked", "broken", "scratched", "dented", "leaking", "stained", "faulty", "chipped")

FOODS = ("croissant", "muffin", "bagel", "sandwich", "cookie", "scone", "brownie", "salad", "soup", "pie")
JUICES = ("lemonade", "apple juice", "mint tea", "green tea", "cold brew")

REPLY = "Thank you, {name}! The Copper Kettle is on it.\n{ticket}"
WELCOME = "Welcome to the Copper Kettle, {name}! Would you like an order, a table or a return?"

ORDERS = (
    "Can I get {t} {w}, please? The name is {name}.",
    "Hi, I would like {t} {w}. My name is {name}.",
    "Hi, {name} here, {t} {w} please.",
    "Could you make {t} {w} for {name}?",
    "Hello, this is {name}. I want to order {t} {w}.",
    "I'd like {t} {w}, please. It is for {name}.",
)
TABLES = (
    "Can I book a table for {p} people on {d} at {h} pm? The name is {name}.",
    "This is {name}. I need a table for {p} on {d} at {h} pm.",
    "Hi, we are {p} people and want to come on {d} at {h} pm. My name is {name}.",
    "A table for {p}, {d} at {h} pm, please, for {name}.",
    "Hello, {name} here. Could you keep a table for {p} people on {d} at {h} pm?",
)
RETURNS = (
    "Hi, I am {name} and my {c} {g} is {f}.",
    "My {c} {g} came {f}. My name is {name}.",
    "This is {name}. I want to return my {c} {g}, it is {f}.",
    "Hello, the {c} {g} I bought is {f}. The name is {name}.",
    "The {c} {g} arrived {f}, can I send it back? {name}",
)
GREETINGS = (
    "Hi, I am {name}.",
    "Hello, my name is {name}.",
    "Good morning, this is {name}.",
    "Hey there, {name} here.",
    "I am {name} and I need help.",
)
CHANGES = ("Sorry, I meant {t}.", "No, make that {t}.", "Actually, {t} please.")

Turn = tuple[str, str]  # what the guest writes, what the bot answers


@dataclass(frozen=True)
class Split:
    """What may occur in one of the files."""

    held_out: bool
    names: Sequence[str]

    def allows(self, *asked_for: str) -> bool:
        """Whether this combination belongs here: a fifth of all, chosen by hash, is kept for the test file."""
        return (hashlib.sha256("/".join(asked_for).encode()).digest()[0] < 51) == self.held_out

    def draw(self, rng: random.Random, *words: Sequence[str]) -> tuple[str, ...]:
        """A combination of one word from each list that belongs here."""
        while True:
            drawn = tuple(rng.choice(each) for each in words)
            if self.allows(*drawn):
                return drawn


def order(rng: random.Random, split: Split) -> list[Turn]:
    """A drink, and now and then a change of mind."""
    name, where = rng.choice(split.names), rng.choice(("to go", "for here"))

    def drink() -> str:
        """So many of one drink, as the guest says it and as it stands on the ticket."""
        number = rng.choice(NUMBERS)
        words = " ".join(split.draw(rng, SIZES, MILKS, DRINKS))
        return f"{number} {words}" + ("" if number == "one" else "s")

    drinks = drink()
    turns = [(rng.choice(ORDERS).format(t=drinks, w=where, name=name), f"ORDER: {drinks} | {where} | {name}")]
    if rng.random() < 0.2:
        drinks = drink()
        turns.append((rng.choice(CHANGES).format(t=drinks), f"ORDER: {drinks} | {where} | {name}"))
    return [(question, REPLY.format(name=name, ticket=ticket)) for question, ticket in turns]


def table(rng: random.Random, split: Split) -> list[Turn]:
    """A table for some people."""
    name = rng.choice(split.names)
    people, day, hour = split.draw(rng, PEOPLE, DAYS, [str(hour) for hour in HOURS])
    ticket = f"TABLE: {people} people | {day} | {hour} pm | {name}"
    return [(rng.choice(TABLES).format(p=people, d=day, h=hour, name=name), REPLY.format(name=name, ticket=ticket))]


def return_(rng: random.Random, split: Split) -> list[Turn]:
    """Something bought that is not as it should be."""
    name = rng.choice(split.names)
    colour, goods, fault = split.draw(rng, COLOURS, GOODS, FAULTS)
    ticket = f"RETURN: {colour} {goods} | {fault} | {name}"
    return [(rng.choice(RETURNS).format(c=colour, g=goods, f=fault, name=name), REPLY.format(name=name, ticket=ticket))]


def greeting(rng: random.Random, split: Split) -> list[Turn]:
    """Nothing to write a ticket for yet."""
    name = rng.choice(split.names)
    return [(rng.choice(GREETINGS).format(name=name), WELCOME.format(name=name))]


Kind = Callable[[random.Random, Split], list[Turn]]
KINDS: tuple[tuple[Kind, int], ...] = ((order, 6), (table, 4), (return_, 4), (greeting, 1))


def menu(rng: random.Random) -> str:
    """The menu of a day as one line of text."""
    day, (first, second), food, juice = rng.choice(DAYS), rng.sample(DRINKS, 2), rng.choice(FOODS), rng.choice(JUICES)
    return f"{day} at the Copper Kettle: {rng.choice(MILKS)} {first} and {second}, a warm {food}, and {juice} for 3. Come in and say hello!"


def distinct(count: int, draw: Callable[[], str], *, taken: set[str]) -> list[str]:
    """Draw `count` lines, none of which is in `taken`; they are added to it."""
    lines: list[str] = []
    while len(lines) < count:
        line = draw()
        if line not in taken:
            taken.add(line)
            lines.append(line)
    return lines


def menus(count: int, *, seed: str, taken: set[str]) -> list[str]:
    """`count` JSON lines of text."""
    rng = random.Random(seed)
    return distinct(count, lambda: json.dumps({"text": menu(rng)}), taken=taken)


def kind_of_guest(rng: random.Random) -> Kind:
    """What a guest writes about."""
    return rng.choices([kind for kind, _ in KINDS], weights=[weight for _, weight in KINDS])[0]


def examples(count: int, split: Split, *, seed: str, taken: set[str]) -> list[str]:
    """`count` JSON lines of conversations."""
    rng = random.Random(seed)

    def draw() -> str:
        said = [(role, text) for turn in kind_of_guest(rng)(rng, split) for role, text in zip(("user", "assistant"), turn, strict=True)]
        return json.dumps({"messages": [{"role": role, "content": text} for role, text in said]}, ensure_ascii=False)

    return distinct(count, draw, taken=taken)


def intents(count: int, split: Split, *, seed: str, taken: set[str]) -> list[str]:
    """`count` JSON lines with what a guest writes and what it is about."""
    rng = random.Random(seed)

    def draw() -> str:
        kind = kind_of_guest(rng)
        return json.dumps({"text": kind(rng, split)[0][0], "label": kind.__name__.rstrip("_")})

    return distinct(count, draw, taken=taken)


def requests(count: int, split: Split, *, seed: str, taken: set[str]) -> list[str]:
    """`count` JSON lines with what a guest writes and everything it is about: none to three things."""
    rng = random.Random(seed)

    def draw() -> str:
        kinds = rng.sample((order, table, return_), rng.choice((0, 1, 2, 2, 3)))
        said = [kind(rng, split)[0][0] for kind in kinds or [greeting]]
        return json.dumps({"text": " ".join(said), "labels": sorted(kind.__name__.rstrip("_") for kind in kinds)})

    return distinct(count, draw, taken=taken)


def tagged(template: str, **values: str) -> dict[str, list[str]]:
    """A sentence as words with IOB2 tags. The number before a drink is no part of it."""
    words: list[str] = []
    tags: list[str] = []
    for literal, field, *_ in string.Formatter().parse(template):
        plain = re.findall(r"[\w']+|[^\w\s]", literal)
        value = values[field].split() if field else []
        kind = ENTITIES.get(field or "")
        outside = 1 if field == "t" else 0 if kind else len(value)
        begins = not (field == "g" and not plain)
        words += [*plain, *value]
        tags += ["O"] * (len(plain) + outside)
        tags += [f"{'B' if begins and at == outside else 'I'}-{kind}" for at in range(outside, len(value))]
    return {"tokens": words, "ner_tags": tags}


def tagged_sentence(rng: random.Random, split: Split) -> dict[str, list[str]]:
    """What a guest writes: names, drinks, days and things are entities."""
    name = rng.choice(split.names)
    drink = split.draw(rng, SIZES, MILKS, DRINKS)
    people, day, hour = split.draw(rng, PEOPLE, DAYS, [str(hour) for hour in HOURS])
    colour, goods, fault = split.draw(rng, COLOURS, GOODS, FAULTS)
    number, where = rng.choice(NUMBERS), rng.choice(("to go", "for here"))
    drinks = f"{number} {' '.join(drink)}{'' if number == 'one' else 's'}"
    template = rng.choice((*ORDERS, *TABLES, *RETURNS))
    return tagged(template, name=name, t=drinks, w=where, p=people, d=day, h=hour, c=colour, g=goods, f=fault)


def entities(count: int, split: Split, *, seed: str, taken: set[str]) -> list[str]:
    """`count` JSON lines of words with tags."""
    rng = random.Random(seed)
    return distinct(count, lambda: json.dumps(tagged_sentence(rng, split)), taken=taken)


def split_of(part: str) -> Split:
    """Return what may occur in a file of `train`, `validation` or `test`."""
    return Split(part == "test", TEST_NAMES if part == "test" else NAMES)


def files() -> dict[str, str]:
    """The name and the text of every file."""
    taken: set[str] = set()
    lines: dict[str, list[str]] = {}
    for part, count in COUNTS.items():
        lines[f"support-{part}.jsonl"] = examples(count, split_of(part), seed=f"{SEED}/{part}", taken=taken)
    for part, count in MENU_COUNTS.items():
        lines[f"menu-{part}.jsonl"] = menus(count, seed=f"{SEED}/menu/{part}", taken=taken)
    for part, count in INTENT_COUNTS.items():
        lines[f"intent-{part}.jsonl"] = intents(count, split_of(part), seed=f"{SEED}/intent/{part}", taken=taken)
    for part, count in REQUEST_COUNTS.items():
        lines[f"requests-{part}.jsonl"] = requests(count, split_of(part), seed=f"{SEED}/requests/{part}", taken=taken)
    for part, count in ENTITY_COUNTS.items():
        lines[f"entities-{part}.jsonl"] = entities(count, split_of(part), seed=f"{SEED}/entities/{part}", taken=taken)
    return {name: "".join(f"{line}\n" for line in some) for name, some in lines.items()}
