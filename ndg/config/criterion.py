"""The config section `criterion`."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from ndg.mining.criteria import Criterion as Rule


@dataclass(frozen=True)
class Criterion:
    """The criterion of implication.

    The section of a criterion with other parameters is a subclass with these as further fields (`section_of`).

    name: criterion
    alpha: of `paper` and `ratio`: at most one exception for every alpha expected; several are mined from one count
    confidence: of `confidence` and `fisher`: least share of the examples with p that have q, and of those
      without q that lack p
    support: of `confidence` and `fisher`: fewest examples with p, and fewest without q
    bound: of `wilson`: least lower end of the 95 % intervals of both shares
    q: of `fisher`: false discovery rate
    """

    name: str = "paper"
    alpha: list[float] = field(default_factory=lambda: [20.0])
    confidence: float = 0.95
    support: int = 10
    bound: float = 0.95
    q: float = 0.05

    @property
    def alphas(self) -> list[float]:
        """The alphas to mine at, one where the criterion has none."""
        from ndg.mining.criteria import settings

        return self.alpha if "alpha" in settings(self.name) else self.alpha[:1]

    def rule(self, alpha: float | None = None) -> Rule:
        """The criterion at an alpha, by default the first. Raises ConfigError."""
        from ndg.mining.criteria import criterion

        return criterion(**{**asdict(self), "alpha": self.alpha[0] if alpha is None else alpha})

    def __reduce__(self) -> tuple[Callable[..., Criterion], tuple[dict[str, Any]]]:
        return _of, (asdict(self),)  # a class that section_of makes cannot be found by its name


def section_of(name: str) -> type[Criterion]:
    """The section's class for a criterion. Raises ConfigError."""
    from ndg.mining.criteria import CRITERIA, settings

    known = {each.name for each in fields(Criterion)}
    own = tuple(key for key in settings(name) if key not in known)
    return _with_fields(CRITERIA[name], own)  # type: ignore[arg-type]  # mypy takes a class for not hashable


@cache
def _with_fields(criterion: type[Any], names: tuple[str, ...]) -> type[Criterion]:
    """`Criterion` with further fields; the same class at every call."""
    if not names:
        return Criterion
    types, own = get_type_hints(criterion), {each.name: each for each in fields(criterion)}
    added = [(key, types[key], copy(own[key])) for key in names]
    return make_dataclass(f"{criterion.__name__}Criterion", added, bases=(Criterion,), frozen=True)


def _of(values: dict[str, Any]) -> Criterion:
    return section_of(values["name"])(**values)
