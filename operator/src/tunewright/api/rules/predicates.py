"""A small language of conditions. Each evaluates on a parsed specification, and prints the same condition as CEL for the API server.

Paths are written as in YAML, and relative to the rule's subject (`self` in CEL). As in CEL, `has` must guard each read of a field that is
optional: `has("method.dpo") & size("method.dpo.lossWeights").above(0)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import eq, gt, le, lt, ne
from re import fullmatch
from typing import Any

from pydantic import BaseModel

from tunewright_contract.quantities import amount

Scope = Mapping[str, Any]  # `self` and the variables of `all` and `exists` -> value
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
    def cel(self) -> str:
        """Return the condition as CEL."""


@dataclass(frozen=True)
class Term:
    """A value: a field, or a value computed from one. `read` is for Python, `text` the same for CEL."""

    read: Callable[[Scope], Any]
    text: str

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
            else _Test(lambda scope: self.read(scope) in names, f"{self.text} in {_cel(names)}", bare=False)
        )

    def starts_with(self, beginning: str) -> Predicate:
        return _Test(lambda scope: self.read(scope).startswith(beginning), f"{self.text}.startsWith({_cel(beginning)})")

    def ends_with(self, end: str) -> Predicate:
        return _Test(lambda scope: self.read(scope).endswith(end), f"{self.text}.endsWith({_cel(end)})")

    def matches(self, pattern: str) -> Predicate:
        """Match a whole text. `pattern` begins with ^ and ends with $, and both RE2 and Python read it."""
        return _Test(lambda scope: fullmatch(pattern, self.read(scope)) is not None, f"{self.text}.matches({_cel(pattern)})")

    def exists(self, variable: str, condition: Predicate) -> Predicate:
        """Return the condition that an item of this list meets `condition`, in which it is `variable`."""
        return _Test(
            lambda scope: any(condition.holds({**scope, variable: item}) for item in self.read(scope)),
            f"{self.text}.exists({variable}, {condition.cel()})",
        )


def field(path: str, of: str = SELF) -> Term:
    """Return a field's value. `of` is a variable of `exists` where the field is one of an item."""
    return Term(lambda scope: _at(scope[of], path), f"{of}.{path}")


def variable(name: str) -> Term:
    """Return the value of a variable of `exists`, where items are plain values."""
    return Term(lambda scope: scope[name], name)


def text(path: str) -> Term:
    """Return a field's value as text: of a field that holds a number or a word."""
    return Term(lambda scope: str(_at(scope[SELF], path)), f"string({SELF}.{path})")


def size(path: str) -> Term:
    """Return the number of items of a list."""
    return Term(lambda scope: len(_at(scope[SELF], path)), f"size({SELF}.{path})")


def number_given(paths: Sequence[str]) -> Term:
    """Return how many of these fields are given."""
    given = [has(path) for path in paths]
    listed = ", ".join(condition.cel() for condition in given)
    return Term(lambda scope: sum(condition.holds(scope) for condition in given), f"[{listed}].filter(x, x).size()")


def has(path: str, of: str = SELF) -> Predicate:
    """Return the condition that a field is given, or has a default."""
    return _Test(lambda scope: _at(scope[of], path) is not None, f"has({of}.{path})")


def flag(path: str, of: str = SELF) -> Predicate:
    """Return the condition that a Boolean field is true."""
    return _Test(lambda scope: _at(scope[of], path) is True, f"{of}.{path}")


def any_above(amounts: str, limits: str) -> Predicate:
    """Return the condition that a Kubernetes quantity of one map is above that of the same name in the other."""

    def holds(scope: Scope) -> bool:
        most = _at(scope[SELF], limits)
        return any(name in most and amount(value) > amount(most[name]) for name, value in _at(scope[SELF], amounts).items())

    value, most = (f"quantity(string({SELF}.{path}[name]))" for path in (amounts, limits))
    return (
        has(amounts)
        & has(limits)
        & _Test(holds, f"{SELF}.{amounts}.exists(name, name in {SELF}.{limits} && {value}.isGreaterThan({most}))")
    )


def any_of(*conditions: Predicate) -> Predicate:
    """Return the condition that one of these is met."""
    return _Either(conditions)


@dataclass(frozen=True)
class _Test(Predicate):
    test: Callable[[Scope], bool]
    text: str
    bare: bool = True  # `!` can stand before it without parentheses

    def holds(self, scope: Scope) -> bool:
        return self.test(scope)

    def cel(self) -> str:
        return self.text


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

    def cel(self) -> str:
        return f"{self.left.text} {self.operator} {self.right.text}"


@dataclass(frozen=True)
class _Every(Predicate):
    parts: tuple[Predicate, ...]

    def __and__(self, other: Predicate) -> Predicate:
        return _Every((*self.parts, other))

    def holds(self, scope: Scope) -> bool:
        return all(part.holds(scope) for part in self.parts)

    def cel(self) -> str:
        return " && ".join(f"({part.cel()})" if isinstance(part, _Either) else part.cel() for part in self.parts)


@dataclass(frozen=True)
class _Either(Predicate):
    parts: tuple[Predicate, ...]

    def __or__(self, other: Predicate) -> Predicate:
        return _Either((*self.parts, other))

    def holds(self, scope: Scope) -> bool:
        return any(part.holds(scope) for part in self.parts)

    def cel(self) -> str:
        return " || ".join(f"({part.cel()})" if isinstance(part, _Every) else part.cel() for part in self.parts)


@dataclass(frozen=True)
class _Not(Predicate):
    part: Predicate

    def __invert__(self) -> Predicate:
        return self.part

    def holds(self, scope: Scope) -> bool:
        return not self.part.holds(scope)

    def cel(self) -> str:
        bare = isinstance(self.part, _Test) and self.part.bare
        return f"!{self.part.cel()}" if bare else f"!({self.part.cel()})"


def _term(value: Term | str | float) -> Term:
    return value if isinstance(value, Term) else Term(lambda _: value, _cel(value))


def _cel(value: str | float | Sequence[str]) -> str:
    """Write a constant in CEL."""
    if isinstance(value, str):
        return f"'{value}'"
    return str(value) if isinstance(value, int | float) else "[" + ", ".join(map(_cel, value)) + "]"


def _at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = getattr(value, _attribute(value.__class__, step))
    return value


@cache
def _attribute(kind: type[BaseModel], name: str) -> str:
    """Return the attribute of a field that is written `name` in YAML."""
    return next(attribute for attribute, field in kind.model_fields.items() if field.alias == name)
