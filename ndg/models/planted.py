"""Small networks with known implications: input thresholds, then AND and OR gates.

The weights are set by hand (in the spirit of Gupta et al. 2024, "InterpBench"). A first-layer unit is on iff its input
is above its threshold, so a higher threshold implies a lower one. A second-layer unit is the AND or the OR of
first-layer units, some negated. The label is that of the last second-layer unit that names a class and is on. Each
input lies in one of finitely many cells between its thresholds, so the truth is counted cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor, nn

from ndg import seeds
from ndg.errors import ConfigError, DataError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from ndg.planted.truth import Truth, different_nodes

GAP = 0.01
CELLS = 100_000
TRIES = 1000
STEEP_INPUT, STEEP_GATE = 2000.0, 60.0


@dataclass(frozen=True)
class Gate:
    """AND (`every`) or OR of first-layer units: `units[k]` is on iff `values[k]`."""

    every: bool
    units: tuple[int, ...]
    values: tuple[bool, ...]


@dataclass(frozen=True)
class Circuit:
    """Circuit of thresholds and gates; units are numbered input by input.

    `thresholds[i]` are those of the units that read input i, ascending. Class c > 0 is predicted iff gate `heads[c -
    1]` is on and no later one of `heads` is; else class 0.
    """

    thresholds: tuple[tuple[float, ...], ...]
    gates: tuple[Gate, ...]
    heads: tuple[int, ...]

    def __post_init__(self) -> None:
        cells = int(np.prod([len(input_thresholds) + 1.0 for input_thresholds in self.thresholds]))
        if cells > CELLS:
            raise ConfigError(
                f"a planted circuit must have at most {CELLS:,} cells, the product of (thresholds + 1) over its "
                f"inputs; got {cells:,}; use fewer inputs or thresholds"
            )
        for input_thresholds in self.thresholds:
            ends = np.array([0.0, *input_thresholds, 1.0])
            if not input_thresholds or (np.diff(ends) <= 2 * GAP).any():
                raise ConfigError(
                    f"thresholds of an input must ascend inside (0, 1), more than {2 * GAP:g} apart; got "
                    f"{input_thresholds}"
                )
        units, used = self.nodes.layers[0].units, [unit for gate in self.gates for unit in gate.units]
        if not all(gate.units and len(gate.units) == len(gate.values) for gate in self.gates):
            raise ConfigError("a gate must have at least one unit, and one value for each of its units")
        if not self.gates or min(used) < 0 or max(used) >= units:
            raise ConfigError(f"gates must read first-layer units, 0 to {units - 1}; got {sorted(set(used))}")
        if not self.heads or min(self.heads) < 0 or max(self.heads) >= len(self.gates):
            raise ConfigError(f"heads must be gates, 0 to {len(self.gates) - 1}; got {self.heads}")

    @property
    def nodes(self) -> NodeSpace:
        """Labels, then the units of the layers `first` and `second`."""
        units = sum(map(len, self.thresholds))
        return NodeSpace(len(self.heads) + 1, (LayerUnits("first", units), LayerUnits("second", len(self.gates))))

    @cached_property
    def wiring(self) -> list[tuple[int, float]]:
        """Input and threshold of each first-layer unit."""
        return [(i, threshold) for i, input_thresholds in enumerate(self.thresholds) for threshold in input_thresholds]

    def values(self, inputs: Float[np.ndarray, "example input"]) -> Bool[np.ndarray, "example node"]:
        """Node values by the logic of the gates, without a network."""
        if inputs.ndim != 2 or inputs.shape[1] != len(self.thresholds):
            raise ShapeError(f"a planted circuit needs {len(self.thresholds)} inputs; got shape {inputs.shape}")
        first = np.stack([inputs[:, i] > threshold for i, threshold in self.wiring], axis=1)
        second = []
        for gate in self.gates:
            members = first[:, list(gate.units)] == np.array(gate.values)
            second.append(members.all(axis=1) if gate.every else members.any(axis=1))
        label = np.zeros(len(inputs), np.int64)
        for number, head in enumerate(self.heads, start=1):
            label[second[head]] = number
        labels = label[:, None] == np.arange(len(self.heads) + 1)
        return np.concatenate([labels, first, np.stack(second, axis=1)], axis=1)

    def inputs(self, examples: int, seed: int = 0) -> Float32[np.ndarray, "example input"]:
        """Uniform inputs in (0, 1), at least 0.01 from each threshold."""
        if examples < 1:
            raise ConfigError(f"planted inputs need at least 1 example; got {examples}")
        inputs = seeds.uniform(seed, "planted", "inputs", examples=examples, draws=len(self.thresholds))
        for i, threshold in self.wiring:
            away = inputs[:, i] - threshold
            inside = np.abs(away) < GAP
            inputs[inside, i] = threshold + np.where(away[inside] > 0, GAP, -GAP)
        return inputs.astype(np.float32)

    @cached_property
    def _cells(self) -> tuple[Bool[np.ndarray, "cell node"], Float64[np.ndarray, " cell"]]:
        """Node values in every cell of the inputs, and the cell's probability."""
        ends = [np.array([0.0, *input_thresholds, 1.0]) for input_thresholds in self.thresholds]
        middles = np.meshgrid(*[(end[1:] + end[:-1]) / 2 for end in ends], indexing="ij")
        widths = np.meshgrid(*[np.diff(end) for end in ends], indexing="ij")
        values = self.values(np.stack([middle.ravel() for middle in middles], axis=1))
        return values, np.prod([width.ravel() for width in widths], axis=0)

    @property
    def rates(self) -> Float64[np.ndarray, " node"]:
        """Probability that each node is on."""
        values, probability = self._cells
        return probability @ values

    def truth(self) -> Truth:
        """Truth by all cells, and near pairs by exact probabilities."""
        values, probability = self._cells
        literals = np.stack([~values, values], axis=2).reshape(len(values), -1).astype(np.float64)
        common, joint = literals.T @ literals, (literals * probability[:, None]).T @ literals
        negated = np.arange(literals.shape[1]) ^ 1
        follows = (common[:, negated] == 0) & different_nodes(len(self.nodes))
        return Truth.of(self.nodes, follows, (joint + joint.T) / 2)


class PlantedNet(nn.Module):
    """Network of a circuit: sigmoid layers `first` and `second`, then `head`.

    Units are on above 0.5. At `noise` 0 it computes the circuit exactly. `noise` is the standard deviation of the noise
    on every weight and bias before a layer is made steep; an AND gate has weights 1 and a bias of half a unit.
    """

    latent_layer = "second"

    def __init__(self, circuit: Circuit, noise: float | int = 0.0, seed: int = 0) -> None:
        super().__init__()
        if not noise >= 0:
            raise ConfigError(f"noise, a standard deviation, must be at least 0; got {noise}")
        rng = seeds.generator(seed, "planted", "weights")
        first = np.array([threshold for _, threshold in circuit.wiring])
        compare = np.zeros((circuit.nodes.layers[0].units, len(circuit.thresholds)))
        for unit, (i, _) in enumerate(circuit.wiring):
            compare[unit, i] = 1.0
        combine, least = np.zeros((len(circuit.gates), len(compare))), np.zeros(len(circuit.gates))
        for number, gate in enumerate(circuit.gates):
            for unit, value in zip(gate.units, gate.values, strict=True):
                combine[number, unit] += 1.0 if value else -1.0
            least[number] = (len(gate.units) if gate.every else 1) - 0.5 - gate.values.count(False)
        name = np.zeros((len(circuit.heads) + 1, len(circuit.gates)))
        for label, head in enumerate(circuit.heads, start=1):
            name[label, head] = label
        bias = np.zeros(len(name))
        bias[0] = 0.5
        self.compare = _linear(compare, -first, STEEP_INPUT, noise, rng)
        self.first = nn.Sigmoid()
        self.combine = _linear(combine, -least, STEEP_GATE, noise, rng)
        self.second = nn.Sigmoid()
        self.head = _linear(name, bias, 1.0, noise, rng)

    def forward(self, inputs: Float[Tensor, "example input"]) -> Float[Tensor, "example label"]:
        return self.head(self.second(self.combine(self.first(self.compare(inputs)))))


def draw(
    inputs: int = 5, thresholds: int = 3, gates: int = 12, labels: int = 3, *, rare: float | int = 0.05, seed: int = 0
) -> Circuit:
    """Random circuit; gates and labels are on, and off, with probability at least `rare`."""
    if inputs < 3 or thresholds < 1 or gates < 1 or not 2 <= labels <= gates + 1 or not 0 <= rare < 0.5:
        raise ConfigError(
            "a planted circuit needs at least 3 inputs, 1 threshold on each, 1 gate, 2 labels but at most one more "
            f"than gates, and `rare` in [0, 0.5); got {inputs}, {thresholds}, {gates}, {labels} and {rare}"
        )
    rng = seeds.generator(seed, "planted", "circuit")
    apart_by = (np.arange(thresholds) + rng.uniform(0.75, 1.25, (inputs, thresholds))) / (thresholds + 1)
    places = tuple(tuple(row) for row in apart_by.tolist())

    def common(circuit: Circuit, nodes: slice) -> bool:
        rates = circuit.rates[nodes]
        return bool(min(rates.min(), 1 - rates.max()) >= rare)

    chosen: list[Gate] = []
    for _ in range(TRIES * gates):
        if len(chosen) == gates:
            break
        size = int(rng.integers(2, 4))
        units = rng.permutation(inputs)[:size] * thresholds + rng.integers(thresholds, size=size)
        gate = Gate(bool(rng.integers(2)), tuple(units.tolist()), tuple((rng.integers(2, size=size) == 1).tolist()))
        if common(Circuit(places, (gate,), (0,)), slice(-1, None)):
            chosen.append(gate)
    for _ in range(TRIES if len(chosen) == gates else 0):
        circuit = Circuit(places, tuple(chosen), tuple(rng.permutation(gates)[: labels - 1].tolist()))
        if common(circuit, circuit.nodes.slice("label")):
            return circuit
    raise DataError(
        f"every gate and label must be on, and off, for at least {rare:g} of the inputs; no such circuit was found "
        f"with {gates} gates and {labels} labels; allow rarer gates, or use fewer labels or more gates"
    )


def _linear(
    weight: Float64[np.ndarray, "out in"],
    bias: Float64[np.ndarray, " out"],
    steep: float,
    noise: float | int,
    rng: np.random.Generator,
) -> nn.Linear:
    """Dense layer of these weights plus noise, times `steep`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        for parameter, value in ((layer.weight, weight), (layer.bias, bias)):
            parameter.copy_(torch.from_numpy(steep * (value + noise * rng.standard_normal(value.shape))))
    return layer
