"""What dialogues are made of, and the two or three moves every kind of exchange needs."""

import random
import re
from collections.abc import Sequence

Message = dict[str, str]
Dialogue = list[Message]
Exchange = list[tuple[str, str]]  # questions with their answers, in order


def fill(rng: random.Random, patterns: Sequence[str], **words: str) -> str:
    """One of the patterns with its {slots} filled in, and capitals where English has them."""
    text = rng.choice(patterns).format(**words)
    text = re.sub(r"(?<=[.!?] )[a-z]", lambda letter: letter[0].upper(), text)
    return capitalise(re.sub(r"\bi\b", "I", text))


def capitalise(text: str) -> str:
    """The text with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


def article(word: str) -> str:
    """The word with its indefinite article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def roughen(rng: random.Random, question: str) -> str:
    """The question as people type it: now and then without capitals or without its last mark."""
    roll = rng.random()
    if roll < 0.12:
        return question.lower()
    if roll < 0.22:
        return question.rstrip(".?!")
    return question


def joined(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
