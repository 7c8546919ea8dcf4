"""Results of an explanation: fields, JSON types, lines of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ndg.errors import check_list
from ndg.escape import printable
from ndg.graph.rules import class_text
from ndg.intervals import wilson
from ndg.results import Result, Row

SHOWN = 12
"""Literals of a kind that the text lists."""

Literals = tuple[str, ...]
Name = Callable[[int], str]


@dataclass(frozen=True)
class Forced:
    """Predictions of a class before and after a set is forced.

    `n` counts the reference examples in which not all literals of the set hold; `before` and `after` those predicted as
    the class. As controls, as many units are set: `random` units to random booleans, and the surest units of the
    `prototype` to its booleans. `n_false` of the examples are not predicted as the class before, and `turned`,
    `turned_random` and `turned_prototype` of these become it: rates that no frequent class inflates.
    """

    what: str
    literals: Literals
    n: int
    before: int
    after: int
    random: int
    prototype: int
    n_false: int = 0
    turned: int = 0
    turned_random: int = 0
    turned_prototype: int = 0

    def rate(self, outcome: str = "after") -> tuple[float, float, float] | None:
        """Rate of the class with 95 % Wilson interval; None without examples."""
        return _share(getattr(self, outcome), self.n_false if outcome.startswith("turned") else self.n)

    def to_dict(self) -> dict[str, Any]:
        names = ("before", "after", "random", "prototype", "turned", "turned_random", "turned_prototype")
        rates = {name: self.rate(name) for name in names}
        return asdict(self) | {"literals": list(self.literals), "rates": {k: v and list(v) for k, v in rates.items()}}


@dataclass(frozen=True)
class Flip:
    """The smallest sets of units of `layer` that flip the prediction.

    They are searched among the graph's literals and among all units; `exact` tells whether the latter is known to be
    smallest. `binarised` is the prediction with the layer written as its booleans; no set is searched if it differs
    from the network's. `after` is the prediction with the set written.
    """

    layer: str
    target: int
    binarised: int
    by_graph: Literals
    literals: Literals
    exact: bool
    after: int

    @property
    def found(self) -> bool:
        return bool(self.literals) and self.after == self.target


@dataclass(frozen=True)
class Explanation(Result):
    """Literals of one example, by their relation to a class.

    Literals imply `about` (the prediction, or the target), contradict it, do both, or leave it open. `sufficient` holds
    one literal at most; `ancestors` counts the literals that imply the label in any example; `necessary` are implied by
    the label.

    >>> explanation = ndg.explain(net, graph, x[:1], reference=data, fit=data)
    >>> explanation.layers
    ('1',)
    """

    prediction: int
    about: int
    layers: tuple[str, ...]
    implying: Literals
    contradicting: Literals
    both: Literals
    open: Literals
    sufficient: Literals
    ancestors: int
    necessary: Literals
    missing: Literals
    forced: tuple[Forced, ...]
    flip: Flip | None
    written: str
    fitted: int
    seed: int
    graph: str
    class_names: tuple[str, ...] = ()

    def rows(self) -> list[Row]:
        """One row per literal, by its relation to the class."""
        parts = {"implies": self.implying, "contradicts": self.contradicting, "both": self.both, "open": self.open}
        return [
            {"literal": literal, "class": self.about, "judged": part} for part, of in parts.items() for literal in of
        ]

    def words(self) -> str:
        """The explanation in plain lines."""
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        flip = None
        if self.flip is not None:
            flip = asdict(self.flip) | {"by_graph": list(self.flip.by_graph), "literals": list(self.flip.literals)}
            flip["found"] = self.flip.found
        return plain | {"forced": [forced.to_dict() for forced in self.forced], "flip": flip}

    def text(self, class_names: Sequence[str] | None = None) -> str:
        """The explanation in plain lines, for a terminal."""
        check_list(class_names, "class_names")
        name = partial(class_text, names=self.class_names if class_names is None else class_names)
        return printable("\n".join([*_logic(self, name), *_forcing(self, name), *_flipping(self, name)]))

    def __str__(self) -> str:
        return self.text()


def _logic(explanation: Explanation, name: Name) -> list[str]:
    label = name(explanation.about)
    own = len(explanation.implying) + len(explanation.contradicting) + len(explanation.both) + len(explanation.open)
    about = "" if explanation.about == explanation.prediction else f", asked about {label}"
    lines = [
        f"predicted {name(explanation.prediction)}{about}; {own} literals of {', '.join(explanation.layers)} hold",
        f"imply {label}: {_list(explanation.implying)}",
        f"contradict it: {_list(explanation.contradicting)}",
        *([f"imply and contradict it: {_list(explanation.both)}"] if explanation.both else []),
        f"leave it open: {_list(explanation.open)}",
    ]
    if explanation.sufficient:
        lines.append(f"smallest sufficient set: {_list(explanation.sufficient)}")
    elif explanation.ancestors:
        plural = "" if explanation.ancestors == 1 else "s"
        lines.append(f"no literal of this example implies {label}; {explanation.ancestors} other{plural} would")
    else:
        lines.append(f"no literal implies {label}, in any example: the graph has no sufficient set for it")
    implied = len(explanation.necessary)
    held = implied - len(explanation.missing)
    missing = f"; missing: {_list(explanation.missing)}" if explanation.missing else ""
    lines.append(
        f"{label} implies {implied} {'literal' if implied == 1 else 'literals'}, of which {held} "
        f"{'holds' if held == 1 else 'hold'}{missing}"
    )
    return lines


def _forcing(explanation: Explanation, name: Name) -> list[str]:
    lines = []
    for forced in explanation.forced:
        rate = {outcome: _rate(forced.rate(outcome)) for outcome in ("before", "after", "random", "prototype")}
        if not forced.n:
            lines.append(f"forcing {forced.what} ({len(forced.literals)}): it holds in all reference examples")
            continue
        lines.append(
            f"forcing {forced.what} ({len(forced.literals)}) in {forced.n} reference examples without it: predicted "
            f"{name(explanation.about)} {rate['after']}, before {rate['before']}; as many units set to random booleans "
            f"{rate['random']}, to the class prototype's surest {rate['prototype']}{_turned(forced)}"
        )
    return lines


def _turned(forced: Forced) -> str:
    """The rates on examples of another prediction, and their inflation."""
    after, turned = forced.rate("after"), forced.rate("turned")
    if after is None or turned is None:
        return "; none of them was predicted otherwise before"
    random, prototype = (_share(count, forced.n_false) for count in (forced.turned_random, forced.turned_prototype))
    return (
        f"; of the {forced.n_false} predicted otherwise before, {_rate(turned)} become it (random booleans "
        f"{_rate(random)}, prototype {_rate(prototype)}), so base rates inflate the rate on all by "
        f"{after[0] - turned[0]:+.3f}"
    )


def _share(count: int, n: int) -> tuple[float, float, float] | None:
    """Share with its 95 % Wilson interval; None without examples."""
    if not n:
        return None
    low, high = wilson(count, n)
    return count / n, float(low), float(high)


def _flipping(explanation: Explanation, name: Name) -> list[str]:
    flip = explanation.flip
    if flip is None:
        return []
    if flip.binarised != explanation.prediction:
        return [
            f"writing {flip.layer} as its booleans alone makes it {name(flip.binarised)}, so no set is sought that "
            f"makes it {name(flip.target)}"
        ]
    if not flip.found:
        why = "there is none" if flip.exact else "not all were tried"
        return [f"no set of units of {flip.layer} was found that makes it {name(flip.target)} ({why})"]
    known = "the smallest there is" if flip.exact else "smaller ones were not all tried"
    lines = [f"it becomes {name(flip.after)} with {_list(flip.literals)} ({known})"]
    if not flip.by_graph:
        lines.append("among the graph's literals alone no set was found")
    elif flip.by_graph != flip.literals:
        lines.append(f"among the graph's literals it takes {_list(flip.by_graph)}")
    return lines


def _list(literals: Literals) -> str:
    if not literals:
        return "none"
    more = f" and {len(literals) - SHOWN} more" if len(literals) > SHOWN else ""
    return f"{len(literals)}: {', '.join(literals[:SHOWN])}{more}"


def _rate(rate: tuple[float, float, float] | None) -> str:
    return "unknown" if rate is None else f"{rate[0]:.3f} [{rate[1]:.3f}, {rate[2]:.3f}]"
