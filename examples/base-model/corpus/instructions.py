"""Small tasks whose answer is made of the words of the question: repeat, reorder, list, extract, rewrite.

They teach copying, the skill every structured answer is built on. Lists come with all sorts of separators and labels
so that none of them is strange later.
"""

import random
from collections.abc import Callable

from corpus.turns import Exchange, article, capitalise, fill, joined, roughen
from corpus.words import (
    ADJECTIVES,
    ANIMALS,
    COLOURS,
    DAYS,
    FAULTS,
    FOODS,
    FRUITS,
    GOODS,
    HOURS,
    MILK_DRINKS,
    MILKS,
    MONTHS,
    NAMES,
    NUMBERS,
    PLACES,
    PLAIN_DRINKS,
    SIZES,
    THINGS,
    VERBS,
)  # fmt: skip

Pair = tuple[str, str]
Group = tuple[str, tuple[str, ...]]

GROUPS: tuple[Group, ...] = (
    ("animals", ANIMALS), ("fruits", FRUITS), ("colours", COLOURS), ("days", DAYS), ("months", MONTHS), ("names", NAMES),
    ("drinks", PLAIN_DRINKS), ("drinks", MILK_DRINKS), ("foods", FOODS), ("places", PLACES), ("things", THINGS), ("goods", GOODS),
    ("sizes", SIZES), ("numbers", NUMBERS),
)  # fmt: skip
EVERYTHING = tuple(word for _, words in GROUPS for word in words) + MILKS + FAULTS + ADJECTIVES
SEPARATORS = {
    "commas": ", ", "bars": " | ", "slashes": " / ", "dashes": " - ", "semicolons": "; ", "plus signs": " + ",
    "stars": " * ", "lines": "\n",
}  # fmt: skip


def _words(rng: random.Random, low: int = 2, high: int = 5) -> list[str]:
    """Some words of all kinds, none twice: what comes next cannot be guessed, only copied."""
    return rng.sample(EVERYTHING, rng.randint(low, high))


def _repeat(rng: random.Random) -> Pair:
    text = rng.choice((" ", ", ", " ")).join(_words(rng, 1, 9))
    return fill(rng, ("repeat: {t}", "say: {t}", "please repeat this: {t}", "say {t}", "write {t}", "copy this: {t}"), t=text), text


def _join(rng: random.Random) -> Pair:
    words = _words(rng)
    name, separator = rng.choice(list(SEPARATORS.items()))
    given = rng.choice((" ".join(words) if all(" " not in word for word in words) else joined(words), joined(words), ", ".join(words)))
    question = fill(rng, ("put {n} between: {t}", "write with {n}: {t}", "list with {n}: {t}", "join with {n}: {t}"), n=name, t=given)
    return question, separator.join(words)


def _capitals(rng: random.Random) -> Pair:
    text = " ".join(_words(rng, 1, 2))
    return fill(rng, ("write in capital letters: {t}", "in big letters: {t}", "shout: {t}"), t=text), text.upper()


def _label(rng: random.Random) -> Pair:
    """A word as a heading, and after a colon what belongs to it."""
    (kind, words), label_case = rng.choice(GROUPS), rng.choice((str.upper, str.title, str.lower))
    chosen = rng.sample(words, rng.randint(1, min(3, len(words))))
    question = fill(rng, ("label these as {k}: {t}", "make a note with the label {k}: {t}"), k=label_case(kind), t=joined(chosen))
    return question, f"{label_case(kind)}: {', '.join(chosen)}"


def _list_some(rng: random.Random) -> Pair:
    kind, words = rng.choice(GROUPS)
    count = rng.randint(2, 3)
    chosen = rng.sample(words, count)
    question = fill(rng, ("name {n} {k}.", "list {n} {k}.", "tell me {n} {k}."), n=NUMBERS[count - 1], k=kind)
    return question, f"{capitalise(joined(chosen))}."


def _first_last(rng: random.Random) -> Pair:
    words = _words(rng, 2, 5)
    which, word = rng.choice((("first", words[0]), ("last", words[-1])))
    return f"What is the {which} in this list: {', '.join(words)}?", f"The {which} is {word}."


def _which(rng: random.Random) -> Pair:
    (kind, words), (_, others) = rng.sample((GROUPS[0], GROUPS[1], GROUPS[2], GROUPS[3], GROUPS[8]), 2)
    right, wrong = rng.choice(words), rng.choice(others)
    pair = [right, wrong]
    rng.shuffle(pair)
    return f"Which one belongs to the {kind}: {pair[0]} or {pair[1]}?", f"{capitalise(right)} belongs to the {kind}."


def _digits(rng: random.Random) -> Pair:
    number = rng.randrange(len(NUMBERS))
    text = f"{NUMBERS[number]} {rng.choice(GOODS + FOODS + THINGS)}s" if rng.random() < 0.7 else NUMBERS[number]
    question = fill(rng, ("write with a digit: {t}", "write the number as a digit: {t}", "use digits: {t}"), t=text)
    return question, text.replace(NUMBERS[number], str(number + 1), 1)


def _sentence(rng: random.Random) -> Pair:
    who, adjective, place, verb = rng.choice(ANIMALS), rng.choice(ADJECTIVES), rng.choice(PLACES), rng.choice(VERBS)
    question = fill(rng, ("write a sentence about {w}.", "make a sentence with {w}.", "tell me something about {w}."), w=article(who))
    return question, f"The {adjective} {who} {verb} in the {place}."


# statements, and questions about one part of them with their answers
FACTS: tuple[tuple[str, tuple[Pair, ...]], ...] = (
    (
        "{n} has {ac} {t}.",
        (
            ("who has the {t}?", "{n} has the {t}."),
            ("what does {n} have?", "{n} has {ac} {t}."),
            ("what colour is the {t}?", "The {t} is {c}."),
        ),
    ),
    ("{n} gave the {t} to {o}.", (("who has the {t} now?", "{o} has the {t} now."), ("who gave the {t}?", "{n} gave the {t}."))),
    (
        "{n} goes to the {p} on {d}.",
        (
            ("when does {n} go?", "{n} goes on {d}."),
            ("where does {n} go?", "{n} goes to the {p}."),
            ("who goes to the {p}?", "{n} goes to the {p}."),
        ),
    ),
    ("{n} is in the {p} and {o} is at home.", (("where is {n}?", "{n} is in the {p}."), ("who is at home?", "{o} is at home."))),
    ("{n} meets {o} at {h} pm on {d}.", (("who meets {o}?", "{n} meets {o}."), ("on which day?", "On {d}."))),
)


def _who_did(rng: random.Random) -> Pair:
    """A short statement, and a question about one part of it."""
    name, other = rng.sample(NAMES, 2)
    colour, thing, day, place = rng.choice(COLOURS), rng.choice(THINGS + GOODS), rng.choice(DAYS), rng.choice(PLACES)
    hour = str(rng.choice(HOURS))
    words = {"n": name, "o": other, "c": colour, "ac": article(colour), "t": thing, "d": day, "p": place, "h": hour}
    statement, questions = rng.choice(FACTS)
    question, answer = rng.choice(questions)
    return f"{statement.format(**words)} {fill(rng, (question,), **words)}", answer.format(**words)


def _who_of_several(rng: random.Random) -> Pair:
    """Two or three facts of one kind, and a question about one of them."""
    count = rng.randint(2, 3)
    names, things, colours = rng.sample(NAMES, count), rng.sample(THINGS + GOODS, count), rng.sample(COLOURS, count)
    verb = rng.choice(("has", "wants", "lost", "found", "likes"))
    facts = " ".join(f"{name} {verb} the {colour} {thing}." for name, colour, thing in zip(names, colours, things, strict=True))
    at = rng.randrange(count)
    question = rng.choice((f"What about {names[at]}?", f"Who {verb} the {things[at]}?", f"Tell me about the {colours[at]} {things[at]}."))
    return f"{facts} {question}", f"{names[at]} {verb} the {colours[at]} {things[at]}."


def _backwards(rng: random.Random) -> Pair:
    words = _words(rng, 2, 3)
    return f"Turn around: {', '.join(words)}", ", ".join(reversed(words))


def _spell(rng: random.Random) -> Pair:
    word = rng.choice(EVERYTHING).replace(" ", "")
    return fill(rng, ("spell {w}.", "how do you spell {w}?"), w=word), " ".join(word)


def _polite(rng: random.Random) -> Pair:
    thing = rng.choice(MILK_DRINKS + PLAIN_DRINKS + FOODS + THINGS)
    return fill(rng, ("say it politely: give me the {t}!", "make it polite: i want the {t}."), t=thing), f"May I have the {thing}, please?"


KINDS: tuple[tuple[Callable[[random.Random], Pair], int], ...] = (
    (_repeat, 6), (_join, 6), (_capitals, 2), (_label, 3), (_list_some, 3), (_first_last, 2), (_which, 1), (_digits, 3), (_sentence, 3),
    (_who_did, 5), (_who_of_several, 6), (_backwards, 1), (_spell, 1), (_polite, 1),
)  # fmt: skip


def exchange(rng: random.Random) -> Exchange:
    """One task and its result."""
    question, answer = rng.choices([kind for kind, _ in KINDS], weights=[weight for _, weight in KINDS])[0](rng)
    # Only where letter case carries no meaning may the question be roughened.
    return [(question if any(mark in question for mark in ":|") else roughen(rng, question), answer)]
