"""A small language of conditions. Each evaluates on a parsed specification, and prints the same condition as CEL for the API server.

Paths are written as in YAML, and relative to the rule's subject (`self` in CEL). As in CEL, `has` must guard each read of a field that is
optional: `has("method.dpo") & size("method.dpo.lossWeights").above(0)`. A field with a default needs no guard: its CEL has the default
(places.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, gt, le, lt, ne
from re import fullmatch
from typing import Any

from pydantic import BaseModel

from tunewright.api.places import constant, place_of, value_at
from tunewright_contract.quantities import amount

Scope = Mapping[str, Any]  # `self` and the variables of `exists` -> value
Types = Mapping[str, type[BaseModel] | None]  # the same -> model; None: a plain value
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt}
_NEGATED = {"==": "!=", "!=": "=="}
SELF = "self"
OLD_SELF = "oldSelf"  # in a rule on an edit: what `self` was before


class Predicate(ABC):
    """A condition. Call it with the rule's subject."""

    def __call__(self, subject: Any) -> bool:
        """Evaluate."""
        return self.holds({SELF: subject})

    def __and__(self, other: "Predicate") -> "Predicate":
        return _Every((self, other))

    def __or__(self, other: "Predicate") -> "Predicate":
        return _Either((self, other))

    def __invert__(self) -> "Predicate":
        return _Not(self)

    @abstractmethod
    def holds(self, scope: Scope) -> bool:
        """Evaluate with variables."""

    @abstractmethod
    def cel(self, types: Types) -> str:
        """Return the condition as CEL."""


@dataclass(frozen=True)
class Term:
    """A value: a field, or a value computed from one. `read` is for Python, `cel` the same for the API server."""

    read: Callable[[Scope], Any]
    cel: Callable[[Types], str]

    def equals(self, other: "Term | str | float") -> Predicate:
        """Compare with a value or another term. A number of a field with a fraction is written with one: 0.0."""
        return _Comparison(self, "==", _term(other))

    def differs(self, other: "Term | str | float") -> Predicate:
        return _Comparison(self, "!=", _term(other))

    def below(self, other: "Term | float") -> Predicate:
        return _Comparison(self, "<", _term(other))

    def at_most(self, other: "Term | float") -> Predicate:
        return _Comparison(self, "<=", _term(other))

    def above(self, other: "Term | float") -> Predicate:
        return _Comparison(self, ">", _term(other))

    def among(self, names: Sequence[str]) -> Predicate:
        """Return the condition that the value is one of these names."""
        return (
            self.equals(names[0])
            if len(names) == 1
            else _Test(lambda scope: self.read(scope) in names, lambda types: f"{self.cel(types)} in {constant(names)}", bare=False)
        )

    def starts_with(self, beginning: str) -> Predicate:
        return _Test(
            lambda scope: self.read(scope).startswith(beginning), lambda types: f"{self.cel(types)}.startsWith({constant(beginning)})"
        )

    def ends_with(self, end: str) -> Predicate:
        return _Test(lambda scope: self.read(scope).endswith(end), lambda types: f"{self.cel(types)}.endsWith({constant(end)})")

    def matches(self, pattern: str) -> Predicate:
        """Match a whole text. `pattern` begins with ^ and ends with $, and both RE2 and Python read it."""
        return _Test(
            lambda scope: fullmatch(pattern, self.read(scope)) is not None, lambda types: f"{self.cel(types)}.matches({constant(pattern)})"
        )


def field(path: str, of: str = SELF) -> Term:
    """Return a field's value. `of` is a variable of `exists` where the field is one of an item."""
    return _computed(path, of, lambda value: value, lambda text: text)


def variable(name: str) -> Term:
    """Return the value of a variable of `exists`, where items are plain values."""
    return Term(lambda scope: scope[name], lambda _: name)


def text(path: str) -> Term:
    """Return a field's value as text: of a field that holds a number or a word."""
    return _computed(path, SELF, str, lambda text: f"string({text})")


def size(path: str) -> Term:
    """Return the number of items of a list."""
    return _computed(path, SELF, len, lambda text: f"size({text})")


def number_given(paths: Sequence[str]) -> Term:
    """Return how many of these fields are given."""
    given = [has(path) for path in paths]
    return Term(
        lambda scope: sum(condition.holds(scope) for condition in given),
        lambda types: f"[{', '.join(condition.cel(types) for condition in given)}].filter(x, x).size()",
    )


def has(path: str, of: str = SELF) -> Predicate:
    """Return the condition that an optional field is given."""
    return _Test(lambda scope: value_at(scope[of], path) is not None, lambda types: place_of(types[of], of, path).given())


def flag(path: str, of: str = SELF) -> Predicate:
    """Return the condition that a Boolean field is true."""
    return _Test(lambda scope: value_at(scope[of], path) is True, field(path, of).cel)


def exists(path: str, variable: str, condition: Predicate, of: str = SELF) -> Predicate:
    """Return the condition that an item of a list, or a key of a map, meets `condition`, in which it is `variable`."""

    def cel(types: Types) -> str:
        place = place_of(types[of], of, path)
        inner = condition.cel({**types, variable: place.part})
        return place.value(
            lambda text: f"{text}.exists({variable}, {inner})",
            lambda default: f"{constant(tuple(default))}.exists({variable}, {inner})" if default else "false",
        )

    return _Test(lambda scope: any(condition.holds({**scope, variable: item}) for item in value_at(scope[of], path)), cel)


def any_above(amounts: str, limits: str) -> Predicate:
    """Return the condition that a Kubernetes quantity of one map is above that of the same name in the other."""

    def holds(scope: Scope) -> bool:
        most = value_at(scope[SELF], limits)
        return any(name in most and amount(value) > amount(most[name]) for name, value in value_at(scope[SELF], amounts).items())

    def cel(types: Types) -> str:
        places = [place_of(types[SELF], SELF, path) for path in (amounts, limits)]
        value, most = (f"quantity(string({place.text}[name]))" for place in places)
        some = f"{places[0].text}.exists(name, name in {places[1].text} && {value}.isGreaterThan({most}))"
        return f"({' && '.join(dict.fromkeys((*places[0].guards, *places[1].guards, some)))})"

    return _Test(holds, cel)


def any_of(*conditions: Predicate) -> Predicate:
    """Return the condition that one of these is met."""
    return _Either(conditions)


@dataclass(frozen=True)
class _Test(Predicate):
    test: Callable[[Scope], bool]
    text: Callable[[Types], str]
    bare: bool = True  # `!` can stand before it without parentheses

    def holds(self, scope: Scope) -> bool:
        return self.test(scope)

    def cel(self, types: Types) -> str:
        return self.text(types)


@dataclass(frozen=True)
class _Comparison(Predicate):
    left: Term
    operator: str
    right: Term

    def __invert__(self) -> Predicate:
        opposite = _NEGATED.get(self.operator)
        return _Comparison(self.left, opposite, self.right) if opposite else _Not(self)

    def holds(self, scope: Scope) -> bool:
        return _OPERATORS[self.operator](self.left.read(scope), self.right.read(scope))

    def cel(self, types: Types) -> str:
        return f"{self.left.cel(types)} {self.operator} {self.right.cel(types)}"


@dataclass(frozen=True)
class _Every(Predicate):
    parts: tuple[Predicate, ...]

    def __and__(self, other: Predicate) -> Predicate:
        return _Every((*self.parts, other))

    def holds(self, scope: Scope) -> bool:
        return all(part.holds(scope) for part in self.parts)

    def cel(self, types: Types) -> str:
        return " && ".join(f"({part.cel(types)})" if isinstance(part, _Either) else part.cel(types) for part in self.parts)


@dataclass(frozen=True)
class _Either(Predicate):
    parts: tuple[Predicate, ...]

    def __or__(self, other: Predicate) -> Predicate:
        return _Either((*self.parts, other))

    def holds(self, scope: Scope) -> bool:
        return any(part.holds(scope) for part in self.parts)

    def cel(self, types: Types) -> str:
        return " || ".join(f"({part.cel(types)})" if isinstance(part, _Every) else part.cel(types) for part in self.parts)


@dataclass(frozen=True)
class _Not(Predicate):
    part: Predicate

    def __invert__(self) -> Predicate:
        return self.part

    def holds(self, scope: Scope) -> bool:
        return not self.part.holds(scope)

    def cel(self, types: Types) -> str:
        bare = isinstance(self.part, _Test) and self.part.bare
        return f"!{self.part.cel(types)}" if bare else f"!({self.part.cel(types)})"


def _computed(path: str, of: str, convert: Callable[[Any], Any], in_cel: Callable[[str], str]) -> Term:
    """Return what `convert` makes of a field's value."""
    return Term(
        lambda scope: convert(value_at(scope[of], path)),
        lambda types: place_of(types[of], of, path).value(in_cel, lambda default: constant(convert(default))),
    )


def _term(value: Term | str | float) -> Term:
    return value if isinstance(value, Term) else Term(lambda _: value, lambda _: constant(value))
