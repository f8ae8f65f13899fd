"""The type of a rule: its subject, its condition, its messages, and the same in CEL for the API server."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tunewright.api.problems import Problem
from tunewright.api.rules.predicates import SELF, Predicate, any_of
from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.data import Dataset
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright_contract.stages import STAGES

S = TypeVar("S")


@dataclass(frozen=True)
class Subject(Generic[S]):
    """What a rule looks at: the places of it in a specification, and the schema nodes that describe it."""

    model: type[Spec]
    nodes: tuple[str, ...]
    places: Callable[[FineTuneJobSpec], Iterable[tuple[str, S]]]  # (path, value)


JOB = Subject(model=FineTuneJobSpec, nodes=("spec",), places=lambda spec: [("spec", spec)])
DATASET = Subject(
    model=Dataset,
    nodes=("spec.data.train[*]", "spec.data.validation[*]", "spec.data.test[*]"),
    places=lambda spec: [
        (f"spec.data.{split}[{index}]", dataset)
        for split, datasets in (("train", spec.data.train), ("validation", spec.data.validation), ("test", spec.data.test))
        for index, dataset in enumerate(datasets)
    ],
)
POD_SETTINGS = Subject(
    model=PodSettings,
    nodes=tuple(f"spec.{stage.settings}" for stage in STAGES),
    places=lambda spec: [
        (f"spec.{stage.settings}", settings) for stage in STAGES if (settings := spec.written_settings(stage)) is not None
    ],
)


@dataclass(frozen=True, kw_only=True)
class Rule(Generic[S]):
    """A rule. `path` is relative to the subject; `says` is called only if the rule is broken."""

    code: str
    subject: Subject[S]
    path: str
    broken: Callable[[S], bool]  # a `Predicate` where CEL can express it
    says: Callable[[S], str]  # names the values and the reason
    refuses: str  # the same without values, for the API server and for documentation
    way_out: str
    also: Callable[[S], bool] | None = None  # what CEL cannot express of a rule whose `broken` is a Predicate: broken here, too
    at_start: bool = False  # it is about the number of ranks at a gang's start; later the plan decides

    @property
    def cel(self) -> str | None:
        """Return CEL that is true where the rule holds; `self` is the subject. None: CEL cannot express the rule."""
        return (~self.broken).cel({SELF: self.subject.model}) if isinstance(self.broken, Predicate) else None

    def find(self, spec: FineTuneJobSpec) -> Iterator[Problem]:
        """Yield a violation for every place where the rule is broken."""
        for place, value in self.subject.places(spec):
            if self.broken(value) or (self.also is not None and self.also(value)):
                yield Problem(code=self.code, path=f"{place}.{self.path}", message=self.says(value), way_out=self.way_out)


@dataclass(frozen=True)
class Faults(Generic[S]):
    """What can be wrong: each condition with its text. A rule is broken where one of them holds."""

    rows: tuple[tuple[Predicate, str], ...]

    @property
    def any(self) -> Predicate:
        """Return the condition that something is wrong."""
        return any_of(*(condition for condition, _ in self.rows))

    def texts(self, subject: S, **values: Any) -> list[str]:
        """Return the text of each fault, with `values` in place of its `{}` fields."""
        return [text.format(**values) for condition, text in self.rows if condition(subject)]


def job_rule(
    *,
    code: str,
    path: str,
    broken: Callable[[FineTuneJobSpec], bool],
    says: Callable[[FineTuneJobSpec], str],
    refuses: str,
    way_out: str,
    also: Callable[[FineTuneJobSpec], bool] | None = None,
    at_start: bool = False,
) -> Rule[FineTuneJobSpec]:
    """Return a rule on the whole specification."""
    return Rule(code=code, subject=JOB, path=path, broken=broken, says=says, refuses=refuses, way_out=way_out, also=also, at_start=at_start)


def pod_rule(
    *,
    code: str,
    path: str,
    faults: Callable[[PodSettings], Sequence[str]],
    refuses: str,
    way_out: str,
    says: str = "{}",
    broken: Predicate | None = None,
) -> Rule[PodSettings]:
    """Return a rule on the pod settings of each stage that is broken where `faults` names any; they stand in `says` in place of `{}`.

    `broken` is what CEL can express of it.
    """
    return Rule(
        code=code,
        subject=POD_SETTINGS,
        path=path,
        broken=broken or (lambda settings: bool(faults(settings))),
        says=lambda settings: says.format("; ".join(faults(settings))),
        refuses=refuses,
        way_out=way_out,
        also=(lambda settings: bool(faults(settings))) if broken else None,
    )


def fault_rule(
    *,
    code: str,
    path: str,
    faults: Callable[[FineTuneJobSpec], Sequence[str]],
    says: str,
    refuses: str,
    way_out: str,
    broken: Predicate | None = None,
    at_start: bool = False,
) -> Rule[FineTuneJobSpec]:
    """Return a rule on the whole specification that is broken where `faults` names any; they stand in `says` in place of `{}`.

    `broken` is the same condition as a predicate, where CEL can express it.
    """
    return job_rule(
        code=code,
        path=path,
        broken=broken or (lambda spec: bool(faults(spec))),
        says=lambda spec: says.format("; ".join(faults(spec))),
        refuses=refuses,
        way_out=way_out,
        at_start=at_start,
    )
