"""Simple facts: capitals, opposites, small sums, calendars, what things are."""

import random
from collections.abc import Callable

from corpus.turns import Exchange, article, capitalise, fill, roughen
from corpus.words import DAYS, FRUITS, MONTHS, NUMBERS

Pair = tuple[str, str]

CAPITALS = dict(
    pair.split(":")
    for pair in [
        "France:Paris",
        "Germany:Berlin",
        "Italy:Rome",
        "Spain:Madrid",
        "Japan:Tokyo",
        "China:Beijing",
        "India:Delhi",
        "Egypt:Cairo",
        "Kenya:Nairobi",
        "Norway:Oslo",
        "Sweden:Stockholm",
        "Portugal:Lisbon",
        "Greece:Athens",
        "Austria:Vienna",
        "Poland:Warsaw",
        "Ireland:Dublin",
        "England:London",
        "Russia:Moscow",
        "Turkey:Ankara",
        "Peru:Lima",
        "Cuba:Havana",
        "Canada:Ottawa",
        "Denmark:Copenhagen",
        "Finland:Helsinki",
        "Hungary:Budapest",
    ]
)
OPPOSITES = dict(
    pair.split(":")
    for pair in [
        "hot:cold",
        "big:small",
        "old:new",
        "fast:slow",
        "up:down",
        "left:right",
        "day:night",
        "happy:sad",
        "open:closed",
        "full:empty",
        "wet:dry",
        "light:dark",
        "early:late",
        "rich:poor",
        "hard:soft",
        "long:short",
        "high:low",
        "good:bad",
        "clean:dirty",
        "loud:quiet",
        "first:last",
        "black:white",
        "strong:weak",
    ]
)
SOUNDS = {"cat": "meow", "dog": "woof", "cow": "moo", "sheep": "baa", "duck": "quack", "pig": "oink", "bee": "buzz", "lion": "roar"}
HUES = {"the sky": "blue", "grass": "green", "snow": "white", "a banana": "yellow", "coal": "black", "a tomato": "red", "coffee": "brown"}
MEANINGS = {
    "a latte": "A latte is espresso with a lot of steamed milk.",
    "a cappuccino": "A cappuccino is espresso with steamed milk and thick foam.",
    "a mocha": "A mocha is a latte with chocolate.",
    "an americano": "An americano is espresso with hot water.",
    "a cortado": "A cortado is espresso with the same amount of warm milk.",
    "a macchiato": "A macchiato is espresso with a little foam.",
    "an espresso": "An espresso is a small and strong coffee.",
    "a flat white": "A flat white is espresso with smooth steamed milk.",
    "cold brew": "Cold brew is coffee made slowly with cold water.",
    "chai": "Chai is black tea with milk and spices.",
    "matcha": "Matcha is a fine powder of green tea leaves.",
    "decaf": "Decaf is coffee with almost no caffeine.",
    "a teapot": "A teapot is a pot for making and pouring tea.",
    "a kettle": "A kettle is used to boil water.",
    "a grinder": "A grinder turns coffee beans into powder.",
    "a library": "A library is a place where you can read and borrow books.",
    "a river": "A river is water that flows to the sea.",
    "a dog": "A dog is a friendly animal that lives with people.",
    "the moon": "The moon is a ball of rock that goes around the earth.",
    "the sun": "The sun is the star that gives us light and warmth.",
    "rain": "Rain is water that falls from the clouds.",
    "bread": "Bread is food made from flour, water and salt.",
    "a ticket": "A ticket is a piece of paper that lets you in, or that says what was asked for.",
    "an order": "An order is what a guest asks for.",
    "a refund": "A refund is money that is given back.",
    "a friend": "A friend is a person you like and trust.",
}
OFTEN_ASKED: tuple[Pair, ...] = (
    ("how many days are in a week?", "There are seven days in a week."),
    ("how many months are in a year?", "There are twelve months in a year."),
    ("how many hours are in a day?", "There are twenty four hours in a day."),
    ("how many minutes are in an hour?", "There are sixty minutes in an hour."),
    ("how do i make tea?", "Boil some water, pour it over the tea leaves, and wait three minutes."),
    ("how do i make coffee?", "Grind the beans, pour hot water over them, and wait a few minutes."),
    ("how do i boil an egg?", "Put the egg in boiling water and wait seven minutes."),
    ("where does coffee come from?", "Coffee comes from the seeds of a plant that grows in warm countries."),
    ("where does milk come from?", "Most milk comes from cows, but oat and soy milk come from plants."),
    ("where do fish live?", "Fish live in water."),
    ("where do birds live?", "Many birds live in nests in the trees."),
    ("what do bees make?", "Bees make honey."),
    ("what do cows eat?", "Cows eat grass."),
    ("what do i need for rain?", "You need a coat or an umbrella."),
    ("why do we sleep?", "We sleep so that the body and the mind can rest."),
    ("why is the sky blue?", "The air scatters the blue light of the sun the most."),
    ("is water wet?", "Yes, water is wet."),
    ("can birds fly?", "Yes, most birds can fly."),
    ("can fish sing?", "No, fish cannot sing."),
    ("which month is the coldest?", "In the north it is often January."),
)


def _capital(rng: random.Random) -> Pair:
    country, city = rng.choice(list(CAPITALS.items()))
    if rng.random() < 0.3:
        return fill(rng, ("which country has the capital {city}?", "{city} is the capital of which country?"), city=city), (
            f"{city} is the capital of {country}."
        )
    question = fill(rng, ("what is the capital of {c}?", "tell me the capital of {c}.", "which city is the capital of {c}?"), c=country)
    return question, f"The capital of {country} is {city}."


def _opposite(rng: random.Random) -> Pair:
    pair = list(rng.choice(list(OPPOSITES.items())))
    rng.shuffle(pair)
    question = fill(rng, ("what is the opposite of {a}?", "tell me the opposite of {a}.", "the opposite of {a}?"), a=pair[0])
    return question, f"The opposite of {pair[0]} is {pair[1]}."


def _sum(rng: random.Random) -> Pair:
    a, b = rng.randint(1, 6), rng.randint(1, 6)
    if rng.random() < 0.5:
        return fill(rng, ("what is {a} plus {b}?", "how much is {a} + {b}?"), a=str(a), b=str(b)), f"{a} plus {b} is {a + b}."
    words = {"a": NUMBERS[a - 1], "b": NUMBERS[b - 1], "c": NUMBERS[a + b - 1]}
    question = fill(rng, ("what is {a} plus {b}?", "how much is {a} and {b}?"), **words)
    return question, fill(rng, ("{a} plus {b} is {c}.", "{a} and {b} is {c}."), **words)


def _calendar(rng: random.Random) -> Pair:
    names, kind = rng.choice(((DAYS, "day"), (MONTHS, "month")))
    at = rng.randrange(len(names))
    if rng.random() < 0.5:
        other = names[(at + 1) % len(names)]
        return fill(rng, ("which {k} comes after {n}?", "what {k} is after {n}?"), k=kind, n=names[at]), f"{other} comes after {names[at]}."
    other = names[at - 1]
    return fill(rng, ("which {k} comes before {n}?", "what {k} is before {n}?"), k=kind, n=names[at]), f"{other} comes before {names[at]}."


def _sound(rng: random.Random) -> Pair:
    animal, sound = rng.choice(list(SOUNDS.items()))
    return f"What does {article(animal)} say?", f"{capitalise(article(animal))} says {sound}."


def _hue(rng: random.Random) -> Pair:
    thing, hue = rng.choice(list(HUES.items()))
    return fill(rng, ("what colour is {t}?", "which colour does {t} have?"), t=thing), f"{capitalise(thing)} is {hue}."


def _meaning(rng: random.Random) -> Pair:
    thing, meaning = rng.choice(list(MEANINGS.items()))
    return fill(rng, ("what is {t}?", "can you tell me what {t} is?", "please explain: what is {t}?"), t=thing), meaning


def _fruit(rng: random.Random) -> Pair:
    fruit = rng.choice(FRUITS)
    return f"Is {article(fruit)} a fruit?", f"Yes, {article(fruit)} is a fruit."


def _often_asked(rng: random.Random) -> Pair:
    question, answer = rng.choice(OFTEN_ASKED)
    return capitalise(question), answer


KINDS: tuple[Callable[[random.Random], Pair], ...] = (
    _capital, _opposite, _sum, _calendar, _sound, _hue, _meaning, _meaning, _fruit, _often_asked, _often_asked,
)  # fmt: skip


def exchange(rng: random.Random) -> Exchange:
    """One question about the world and its answer."""
    question, answer = rng.choice(KINDS)(rng)
    return [(roughen(rng, question), answer)]
