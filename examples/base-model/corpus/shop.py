"""Talk in cafés, shops and with customer support: orders, tables, returns, opening hours, in everyday sentences.

The assistant here is any friendly person behind a counter. Answers take up the words of the question in another order.
"""

import random
from collections.abc import Callable

from corpus.turns import Exchange, article, capitalise, fill, roughen
from corpus.words import COLOURS, DAYS, FAULTS, FOODS, GOODS, HOURS, MILK_DRINKS, MILKS, NAMES, NUMBERS, PLAIN_DRINKS, SIZES

DRINK_ORDERS = (
    "can i get {t}, please?", "could i have {t}?", "i would like {t}.", "i'd like {t}, please.", "{t}, please.", "hi, can i have {t}?",
    "i want to order {t}.", "may i have {t}, please?", "i will take {t}.", "get me {t} please", "hello, {t} for {n}, please.",
    "i want {t} for {n}.", "could {n} get {t}?", "can you make {t} for {n}?", "{t} for my friend {n}.",
)  # fmt: skip
ORDER_ANSWERS = (
    "Sure, {t}{w}. Anything else?", "Of course! So that is {t}{w}, right?", "One moment, {t}{w} will be ready soon.",
    "Thank you! I have {t}{w}. Is that correct?", "Great choice! {t}{w} is coming up.", "OK, I wrote down {t}{w}.", "Got it: {t}{w}.",
)  # fmt: skip
NAMED = ("", "", " for {n}")
HERE_OR_TO_GO = ("", "", "to go", "for here")
YES = ("yes", "yes, that is right.", "correct", "yes please", "that's right", "perfect", "yep")
DONE = ("Great, it will be ready in a few minutes.", "Thank you, it will be ready soon.", "Very good. Please wait at the bar.")

TABLE_REQUESTS = (
    "i need a table for {p} on {d} at {h} pm.", "can i book a table for {p} people on {d} at {h} pm?",
    "a table for {p}, {d} at {h} pm, please.", "we are {p} people and want to come on {d} at {h} pm.",
    "could you keep a table for {p} on {d} at {h} pm? the name is {n}.",
    "this is {n}, a table for {p} people on {d}, {h} pm, please.", "please book {d} at {h} pm for {p} people, name {n}.",
)  # fmt: skip
TABLE_ANSWERS = (
    "Gladly! A table for {p} on {d} at {h} pm{w}.", "Your table for {p} people is kept for {d} at {h} pm{w}.",
    "Of course, see you on {d} at {h} pm{w}. {P} people, right?", "I wrote down {p} people, {d}, {h} pm{w}.",
)  # fmt: skip

RETURNS = (
    "my {g} is {f}.", "the {g} i bought is {f}.", "my {c} {g} came {f}.", "hi, the {c} {g} is {f}. can i send it back?",
    "i am {n} and my {c} {g} is {f}.", "i want to return my {c} {g}, it is {f}.", "the {c} {g} arrived {f}, my name is {n}.",
)  # fmt: skip
RETURN_ANSWERS = (
    "I am sorry that the {g} is {f}. You can send it back.", "Oh no, {a} is no good! We will send you a new {g}.",
    "I am sorry{w}. We will take the {g} back.", "Thank you for telling us that the {g} is {f}{w}. You will get a refund.",
)  # fmt: skip

FREQUENT: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("when do you open?", "what are your opening hours?", "are you open today?"),
        ("We are open from eight to six.", "We open at eight in the morning."),
    ),
    (
        ("where are you?", "what is your address?", "how do i find you?"),
        ("We are next to the station.", "You find us at the market, next to the library."),
    ),
    (("do you have wifi?", "is there wifi here?"), ("Yes, the wifi is free for our guests.",)),
    (("can i pay by card?", "do you take cards?"), ("Yes, you can pay by card or in cash.",)),
    (("which milk do you have?", "what kinds of milk are there?"), ("We have oat, soy, almond, coconut, whole and skim milk.",)),
    (
        ("what do you have?", "what is on the menu?"),
        ("We have coffee, tea, juice, cakes and sandwiches.", "Coffee, tea, and something sweet every day."),
    ),
    (
        ("what is good here?", "what do you recommend?"),
        ("The cappuccino is very good.", "I like the apple pie. Many guests take a latte with it."),
    ),
    (("where is my order?", "when will my order arrive?", "my order is late."), ("I am sorry for the wait. Your order is on its way.",)),
    (("can i get a refund?", "i want my money back."), ("I am sorry. Please tell me what is wrong and we will find a way.",)),
    (("i want to cancel my order.", "please cancel it"), ("Of course, I cancelled your order.", "No problem, the order is cancelled.")),
    (("can i speak to a person?", "i want to talk to the manager"), ("Of course, I will call a colleague.",)),
    (("how much is a coffee?", "what does a latte cost?"), ("A coffee is three and a latte is four.",)),
    (("do you have vegan food?", "is there something without milk?"), ("Yes, we have soup, salad and a vegan cake.",)),
    (("can i bring my dog?", "are dogs allowed?"), ("Yes, friendly dogs are welcome.",)),
    (("i lost my bag in your shop.", "did you find a hat?"), ("I will look for it. Please leave your name.",)),
)


def _item(rng: random.Random) -> str:
    """What a person orders, with its number, size and milk."""
    number = rng.choices(NUMBERS[:6], weights=(6, 3, 2, 2, 1, 1))[0]
    size = rng.choice(SIZES) if rng.random() < 0.7 else ""
    roll = rng.random()
    if roll < 0.55:
        milk, drink = (rng.choice(MILKS) if rng.random() < 0.75 else ""), rng.choice(MILK_DRINKS)
        if milk and rng.random() < 0.25:
            milk += " milk"
    elif roll < 0.85:
        milk, drink = "", rng.choice(PLAIN_DRINKS)
    else:
        milk, size, drink = "", "", rng.choice(FOODS)
    words = " ".join(word for word in (size, milk, drink) if word)
    if number == "one":
        return rng.choice((article(words), f"one {words}"))
    return f"{number} {words}s"


def _order(rng: random.Random) -> Exchange:
    name, where = rng.choice(NAMES), rng.choice(HERE_OR_TO_GO)
    item = f"{_item(rng)} {where}".strip()
    question = fill(rng, DRINK_ORDERS, t=item, n=name)
    if name not in question and rng.random() < 0.6:
        question = question.rstrip("?.") + rng.choice(
            (f". My name is {name}.", f". It is for {name}.", f". The name is {name}.", f", for {name}.")
        )
    whose = (rng.choice(NAMED[1:]).format(n=name) if rng.random() < 0.2 else f" for {name}") if name in question else ""
    answer = fill(rng, ORDER_ANSWERS, t=item, w=whose)
    turns = [(roughen_kept(rng, question, name), answer)]
    if rng.random() < 0.15:
        turns.append((capitalise(rng.choice(YES)), rng.choice(DONE)))
    elif rng.random() < 0.15:
        other = _item(rng)
        turns.append(
            (fill(rng, ("no, make that {t}.", "sorry, i meant {t}.", "actually, {t} please."), t=other), f"No problem, {other} then.")
        )
    return turns


def _table(rng: random.Random) -> Exchange:
    name, people = rng.choice(NAMES), rng.choice(NUMBERS[1:10])
    if rng.random() < 0.4:
        people = str(NUMBERS.index(people) + 1)
    words = {"p": people, "P": capitalise(people), "d": rng.choice(DAYS), "h": str(rng.choice(HOURS)), "n": name}
    question = fill(rng, TABLE_REQUESTS, **words)
    return [(roughen_kept(rng, question, name), fill(rng, TABLE_ANSWERS, w=f" for {name}" if name in question else "", **words))]


def _return(rng: random.Random) -> Exchange:
    name, colour, goods, fault = rng.choice(NAMES), rng.choice(COLOURS), rng.choice(GOODS), rng.choice(FAULTS)
    question = fill(rng, RETURNS, g=goods, f=fault, c=colour, n=name)
    thing = f"{colour} {goods}" if colour in question else goods
    broken = article(f"{fault} {thing}")
    return [
        (
            roughen_kept(rng, question, name),
            fill(rng, RETURN_ANSWERS, g=thing, f=fault, a=broken, w=f", {name}" if name in question else ""),
        )
    ]


def _frequent(rng: random.Random) -> Exchange:
    questions, answers = rng.choice(FREQUENT)
    return [(roughen(rng, fill(rng, questions)), rng.choice(answers))]


def roughen_kept(rng: random.Random, question: str, name: str) -> str:
    """`roughen`, but the name keeps its capital letter, so that it can be copied."""
    return roughen(rng, question) if name not in question else (question.rstrip(".?!") if rng.random() < 0.15 else question)


KINDS: tuple[tuple[Callable[[random.Random], Exchange], int], ...] = ((_order, 6), (_table, 3), (_return, 3), (_frequent, 3))


def exchange(rng: random.Random) -> Exchange:
    """One matter between a guest and the house, settled in one or two turns."""
    return rng.choices([kind for kind, _ in KINDS], weights=[weight for _, weight in KINDS])[0](rng)
