"""Proofs that a set of literals decides the label.

They hold whatever boolean the other units of the layer have.

Branch and bound over the booleans of the free units: bounds of the label's lead by linear relaxation
(`ndg.causal.bounds`), and from the other side settings that might break it, which are run. A certificate is a statement
about the rest of the network in exact arithmetic, with the values that are written for on and off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from ndg.abstraction.validate import check_graph
from ndg.activations.batches import compute_batches, fixed
from ndg.causal.bounds import RELU, SIGMOID, Step, lower, run
from ndg.causal.later import ran_after
from ndg.errors import ConfigError, GraphError, LayerError, check_kind
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.passes import Passes
from ndg.options import RunOptions, names_of, old_keywords, plain_numbers
from ndg.results import Result, Row
from ndg.run_study import placed

PROVED, REFUTED, OPEN = "proved", "refuted", "open"
AT_ONCE = 64
"""Boxes that are bounded together."""

SAFE = 1e-6
"""Lead, over the largest logit met, below which a proof is left open: rounding could undo it."""

PASSED_ON = (nn.Identity, nn.Dropout, nn.AlphaDropout)
ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: RELU, nn.Sigmoid: SIGMOID}


@dataclass(frozen=True)
class CertifySettings:
    """How long a proof may take, and what is written.

    nodes   boxes that are bounded before the question stays open
    values  what is written for on and off: "boolean", "mean" or "auto" (see `ndg.interventions.substitution`)

    Raises ConfigError for fewer than one node, or values that differ between examples.
    """

    nodes: int = 4096
    values: str = "auto"

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.nodes < 1:
            raise ConfigError(f"a proof bounds at least 1 box; got nodes={self.nodes}")
        if self.values == "resample":
            raise ConfigError("a certificate is of one value for on and one for off; got 'resample'; take 'mean'")


@dataclass(frozen=True)
class Certificate:
    """Whether `members` decide `label`: `proved`, `refuted` by a counterexample, or `open` after so many nodes.

    A counterexample gives the boolean of every unit of the layer and the label that the network gives it.
    """

    label: int
    members: tuple[str, ...]
    status: str
    nodes: int
    counterexample: tuple[bool, ...] | None = None
    gives: int | None = None


@dataclass(frozen=True, eq=False)
class Certificates(Result):
    """Certificates of one layer."""

    layer: str
    certificates: tuple[Certificate, ...]

    def rows(self) -> list[Row]:
        return [
            {
                "label": each.label,
                "size": len(each.members),
                "status": each.status,
                "nodes": each.nodes,
                "gives": each.gives,
                "members": " ".join(each.members),
                "counterexample": None if each.counterexample is None else _text(each.counterexample),
            }
            for each in self.certificates
        ]

    def context(self) -> Row:
        return {"layer": self.layer}

    def words(self) -> str:
        proved = [each for each in self.certificates if each.status == PROVED]
        size = f", of {np.mean([len(each.members) for each in proved]):.1f} literals on average" if proved else ""
        return (
            f"{len(proved)} of {len(self.certificates)} sets are proved to decide their label whatever boolean the "
            f"other units of {self.layer} have{size}."
        )


@dataclass(frozen=True, eq=False)
class Rest:
    """Steps of the network behind a layer, and its units' two values."""

    steps: tuple[Step, ...]
    off: Float64[np.ndarray, " unit"]
    on: Float64[np.ndarray, " unit"]

    @property
    def labels(self) -> int:
        return len(next(step[1] for step in reversed(self.steps) if not isinstance(step, str)))

    def logits(self, booleans: Bool[np.ndarray, "row unit"]) -> Float64[np.ndarray, "row label"]:
        """Logits of settings of all units."""
        return run(self.steps, np.where(booleans, self.on, self.off))


@old_keywords(settings=CertifySettings, options=RunOptions)
def certify(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    layer: str,
    members: Iterable[str],
    label: int,
    *,
    settings: CertifySettings = CertifySettings(),
    options: RunOptions = RunOptions(),
) -> Certificate:
    """Whether these literals of a layer decide a label, whatever boolean the other units have.

    `loader` gives the examples from which written values are taken. Raises LayerError for a rest of the network that is
    not a chain of linear layers, ReLU and sigmoids; GraphError for a literal that is none of the layer, or an unknown
    label.

    >>> ndg.certify(net, graph, data, "1", ["1:0", "~1:2"], 1).status
    'refuted'
    """
    check_graph(graph)
    check_kind(layer, str, "a certified layer is named by its module path", "pass one name", LayerError)
    members = names_of(members, f"members are literals of {layer!r}, such as ~{layer}:3", GraphError)
    rest = rest_of(model, graph, loader, layer, settings, options)
    return prove(rest, layer, parse(graph, layer, members), _label(label, rest), settings.nodes)


def smallest(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    layer: str,
    orders: Mapping[int, Sequence[str]],
    *,
    settings: CertifySettings = CertifySettings(),
    options: RunOptions = RunOptions(),
) -> Certificates:
    """Shortest proved set of literals for each label.

    It begins that label's order of literals; members that are not needed are left out.

    `orders` maps labels to literals, the first to be set first. A label whose whole order is not proved keeps it, with
    the status that was reached. Raises what `certify` does.
    """
    rest = rest_of(model, graph, loader, layer, settings, options)
    results = []
    for label, order in orders.items():
        literals, number = parse(graph, layer, order), _label(label, rest)

        def tried(units: dict[int, bool], number: int = number) -> Certificate:
            return prove(rest, layer, units, number, settings.nodes)

        results.append(_shortest(literals, tried))
    return Certificates(layer, tuple(results))


def _shortest(literals: dict[int, bool], tried: Any) -> Certificate:
    items = list(literals.items())
    low, high, best = 0, len(items), tried(literals)
    if best.status != PROVED:
        return best
    while low < high:  # settings of a longer beginning are settings of a shorter one: proofs go on to hold
        middle = (low + high) // 2
        attempt = tried(dict(items[:middle]))
        low, high, best = (low, middle, attempt) if attempt.status == PROVED else (middle + 1, high, best)
    kept = dict(items[:high])
    for unit in reversed(list(kept)):
        attempt = tried({other: value for other, value in kept.items() if other != unit})
        if attempt.status == PROVED:
            del kept[unit]
            best = attempt
    return best


def prove(rest: Rest, layer: str, literals: dict[int, bool], label: int, most: int) -> Certificate:
    """Branch and bound, boxes with the least bound first."""
    units = len(rest.off)
    members = tuple(f"{'' if value else '~'}{layer}:{unit}" for unit, value in literals.items())
    low, high = np.minimum(rest.off, rest.on), np.maximum(rest.off, rest.on)
    free = np.ones(units, np.bool_)
    for unit, value in literals.items():
        low[unit] = high[unit] = (rest.on if value else rest.off)[unit]
        free[unit] = False
    others = [other for other in range(rest.labels) if other != label]
    directions = np.zeros((len(others), rest.labels))
    directions[np.arange(len(others)), others], directions[:, label] = -1.0, 1.0
    boxes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [(low, high, free)]
    nodes = 0
    while boxes:
        taken, boxes = boxes[-AT_ONCE:], boxes[:-AT_ONCE]
        if nodes + len(taken) > most:
            return Certificate(label, members, OPEN, nodes)
        nodes += len(taken)
        lows, highs = (np.stack([box[part] for box in taken]) for part in (0, 1))
        bounds, slopes = lower(rest.steps, lows, highs, directions)
        worst = bounds.argmin(axis=1)
        rows = np.arange(len(taken))
        slope = slopes[rows, worst]
        corners = np.where(slope > 0, lows, highs)
        logits = run(rest.steps, corners)
        scale = SAFE * max(float(np.abs(logits).max()), 1e-300)
        leads = logits[:, label] - np.where(np.arange(rest.labels) == label, -np.inf, logits).max(axis=1)
        broken = np.flatnonzero(leads < -scale)
        if len(broken):
            corner = corners[broken[0]]
            booleans = tuple(bool(value) for value in np.abs(corner - rest.on) < np.abs(corner - rest.off))
            return Certificate(label, members, REFUTED, nodes, booleans, int(logits[broken[0]].argmax()))
        for row, (box_low, box_high, box_free) in enumerate(taken):
            if bounds[row, worst[row]] > scale:
                continue
            if not box_free.any():
                if leads[row] > scale:
                    continue
                return Certificate(label, members, OPEN, nodes)  # a tie but for rounding
            gain = np.where(box_free, np.abs(slope[row]) * (box_high - box_low), -1.0)
            unit = int(gain.argmax())
            for value in (rest.off[unit], rest.on[unit]):
                child = box_low.copy(), box_high.copy(), box_free.copy()
                child[0][unit] = child[1][unit] = value
                child[2][unit] = False
                boxes.append(child)
    return Certificate(label, members, PROVED, nodes)


def rest_of(
    model: nn.Module, graph: NDG, loader: Iterable[Any], layer: str, settings: CertifySettings, options: RunOptions
) -> Rest:
    """The rest of the network as steps, checked against the network itself.

    Raises LayerError unless the layer gives `[example, unit]` and the rest is a chain of linear layers, ReLU and
    sigmoids.
    """
    model = placed(model, replace(options, device="cpu"))
    writing = substitution.fit(settings.values, model, graph, loader, [layer], options=options)
    passes = Passes.of(model, graph, [layer], options.threads)
    batch = next(compute_batches(loader, options.batch))
    known = passes.baseline(batch)
    output = known.outputs[layer]
    if output.ndim != 2:
        raise LayerError(
            f"a certificate is of a layer that gives (example, unit); {layer!r} gives {tuple(output.shape)}; choose a "
            "dense layer"
        )
    with fixed(model, options.threads):
        after, logits = ran_after(model, batch.inputs, layer)
    modules = dict(model.named_modules())
    steps: list[Step] = []
    for path, _ in after:
        module = modules[path]
        if isinstance(module, nn.Linear):
            bias = torch.zeros(module.out_features) if module.bias is None else module.bias
            steps.append((_exact(module.weight), _exact(bias)))
        elif type(module) in ACTIVATIONS:
            steps.append(ACTIVATIONS[type(module)])
        elif not isinstance(module, PASSED_ON):
            raise _no_chain(layer, f"{path!r} is a {type(module).__name__}")
    if not steps or all(isinstance(step, str) for step in steps) or (isinstance(steps[0], str) and len(steps) == 1):
        raise _no_chain(layer, "nothing with weights runs after it")
    try:
        again = run(steps, _exact(output))
    except ValueError as error:
        raise _no_chain(layer, "the layers after it do not follow one another") from error
    expected = _exact(logits)
    if again.shape != expected.shape or np.abs(again - expected).max() > 1e-3 * max(np.abs(expected).max(), 1e-6):
        raise _no_chain(layer, "its steps one after the other give other logits (functions or shortcuts between them)")
    units = known.neurons[layer].units
    both = np.repeat(np.array([[False], [True]]), units, axis=1)
    values = writing.values(known.neurons[layer], both, known.numbers[:2], output[:2])
    off, on = _exact(values)
    return Rest(tuple(steps), off, on)


def parse(graph: NDG, layer: str, members: Iterable[str]) -> dict[int, bool]:
    """Unit and boolean of each literal.

    Raises GraphError for one that is none of the layer, or two of one unit.
    """
    where = graph.nodes.slice(layer)
    literals: dict[int, bool] = {}
    for member in members:
        name = member.lstrip("~¬")
        owner, _, unit = name.rpartition(":")
        number = int(unit) if unit.isdigit() and len(unit) < 10 else -1
        if owner != layer or not 0 <= number < where.stop - where.start:
            raise GraphError(
                f"a member is a literal of {layer!r}, such as ~{layer}:3; got {member!r}; name units of it"
            )
        if literals.get(number, name == member) != (name == member):
            raise GraphError(f"a unit has one boolean; got both of {layer}:{number}; leave one out")
        literals[number] = name == member
    return literals


def _text(booleans: Sequence[bool]) -> str:
    """Booleans of all units as 0 and 1."""
    return "".join("01"[value] for value in booleans)


def _label(label: int, rest: Rest) -> int:
    if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < rest.labels:
        raise GraphError(f"a label is a whole number from 0 to {rest.labels - 1}; got {label!r}; count from 0")
    return int(label)


def _exact(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


def _no_chain(layer: str, reason: str) -> LayerError:
    return LayerError(
        "a certificate needs a rest of the network that is a chain of linear layers, ReLU and sigmoids as modules; "
        f"after {layer!r}, {reason}; choose a later layer"
    )
