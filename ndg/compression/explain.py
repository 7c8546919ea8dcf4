"""Why units could go: off, constant, equivalent to another unit, or a linear combination of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ndg.activations.batches import compute_batches, fixed, output_of
from ndg.bits.matrix import BitMatrix
from ndg.compression.examples import Examples
from ndg.compression.graph_labels import GraphLabels, labels_of
from ndg.compression.groups import Group
from ndg.compression.statistics import inputs_of
from ndg.compression.surgery import Kept
from ndg.discovery import mine
from ndg.errors import NDGError
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from ndg.results import Row

SHOWN = 5
"""Units of a linear combination that are named."""

ALPHA = 100
"""Of the graph that finds equivalent units (Hu & Tian 2022)."""

STILL = 1e-6
"""Range of activations that counts as constant."""

MOST = 20_000
"""Rows of activations of a layer."""


@dataclass(frozen=True)
class Explained:
    """Why one unit could go.

    `label` is "off", "constant", "equivalent", "negated equivalent" or "redundant". `firings` counts validation
    examples on which a unit that is off or constant on all calibration examples (by a graph: its boolean, on all
    examples of the graph) is not. `others` are units that stay
    (of an equivalent one: its class), with the coefficients of the linear combination; `r2` is its R^2.
    """

    layer: str
    unit: int
    label: str
    firings: int | None = None
    others: tuple[int, ...] = ()
    coefficients: tuple[float, ...] = ()
    r2: float | None = None

    def row(self) -> Row:
        """Plain JSON types."""
        return {
            "layer": self.layer,
            "unit": self.unit,
            "label": self.label,
            "firings": self.firings,
            "others": list(self.others),
            "coefficients": list(self.coefficients),
            "r2": self.r2,
        }


@dataclass(frozen=True, eq=False)
class Observed:
    """Activations of a layer's units as its first reader gets them: some rows, and extremes per example."""

    rows: np.ndarray
    low: np.ndarray
    high: np.ndarray


def explain(
    model: nn.Module,
    groups: Mapping[str, Group],
    kept: Kept,
    examples: Examples,
    options: RunOptions,
    labels: Mapping[str, GraphLabels] = MappingProxyType({}),
) -> Iterator[Explained]:
    """Reasons of removed units, from a graph and least squares.

    `labels` are those of a graph that is at hand, by group; of the other layers a graph is mined.
    """
    changed = {name: group for name, group in groups.items() if len(kept[name]) < group.units}
    if not changed:
        return
    seen = observe(model, examples.calibration, changed, options)
    later = observe(model, examples.validation, changed, options) if examples.validation else {}
    for name, group in changed.items():
        own = labels.get(name) or _measured(name, seen[name], later.get(name))
        yield from _layer(name, group, kept[name], seen[name], own)


def _layer(name: str, group: Group, kept: np.ndarray, seen: Observed, labels: GraphLabels) -> Iterator[Explained]:
    still = seen.high.max(0) - seen.low.min(0) <= STILL
    means, spread = seen.rows.mean(0), seen.rows.std(0)
    stay = kept[~still[kept]]
    inputs = seen.rows[:, stay] - means[stay]
    gram = inputs.T @ inputs / len(inputs)
    gram[np.diag_indices(len(gram))] += 1e-6 * max(np.trace(gram) / max(len(gram), 1), 1e-12)
    for unit in np.setdiff1d(np.arange(group.units), kept).tolist():
        if unit in labels.constant:
            label = "constant" if labels.constant[unit] else "off"
            yield Explained(name, unit, label, labels.firings.get(unit))
            continue
        target = seen.rows[:, unit] - means[unit]
        weights = np.linalg.solve(gram, inputs.T @ target / len(target)) if len(stay) else np.zeros(0)
        left = target - inputs @ weights
        r2 = float(1 - left.var() / target.var()) if target.var() > 0 else None
        sign, members = labels.classes.get(unit, (1, ()))
        members = tuple(member for member in members if member in kept)
        if members:
            yield Explained(name, unit, "equivalent" if sign > 0 else "negated equivalent", None, members, (), r2)
            continue
        top = np.argsort(-np.abs(weights) * spread[stay], kind="stable")[:SHOWN]
        others, sizes = tuple(stay[top].tolist()), tuple(float(weight) for weight in weights[top])
        yield Explained(name, unit, "redundant", None, others, sizes, r2)


def _measured(name: str, seen: Observed, later: Observed | None) -> GraphLabels:
    """Labels of a layer without a graph: constant activations, and the classes of a graph of its booleans."""
    low, high = seen.low.min(0), seen.high.max(0)
    still = np.flatnonzero(high - low <= STILL).tolist()
    constant = {unit: bool(max(abs(low[unit]), abs(high[unit])) > STILL) for unit in still}
    firings = {}
    if later is not None:
        moved = (later.low < low - STILL) | (later.high > high + STILL)
        firings = {unit: int(moved[:, unit].sum()) for unit in still}
    rows = seen.rows
    thresholds = np.where(rows.min(0) == 0, 0.0, np.where(rows.min(0) < 0, 0.0, np.median(rows, axis=0)))
    nodes = NodeSpace(0, (LayerUnits(name, rows.shape[1]),))
    try:
        bits = BitMatrix.from_bool(rows > thresholds, nodes)
        graph = mine(bits, "paper", alpha=ALPHA, options=RunOptions(executor="serial"))
    except NDGError:
        return GraphLabels(constant, {}, firings)
    return GraphLabels(constant, labels_of(graph, name).classes, firings)


def observe(
    model: nn.Module, loader: Iterable[Any], groups: Mapping[str, Group], options: RunOptions
) -> dict[str, Observed]:
    """Activations of the units of each group, as the first layer that reads them gets them."""
    parts = {name: group.readers[0] for name, group in groups.items()}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in groups}
    extremes: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in groups}
    batches = list(compute_batches(loader, options.batch, short=True))
    with fixed(model, options.threads):
        for batch in batches:
            with inputs_of(model, [(part.path, False) for part in parts.values()]) as seen:
                output_of(model, batch.inputs)
            for name, part in parts.items():
                values = _values(model.get_submodule(part.path), part.index, seen[part.path, False][: batch.count])
                values = (values.float() if values.dtype in (torch.float16, torch.bfloat16) else values).cpu()
                extremes[name].append((values.amin((1, 3)).numpy(), values.amax((1, 3)).numpy()))
                flat = values.mean(3).flatten(0, 1)
                most = max(MOST // len(batches), 1)
                rows[name].append(flat[:: -(-len(flat) // most)].double().numpy())
    return {
        name: Observed(
            np.concatenate(rows[name]),
            np.concatenate([low for low, _ in extremes[name]]),
            np.concatenate([high for _, high in extremes[name]]),
        )
        for name in groups
    }


def _values(module: nn.Module, index: np.ndarray, value: Tensor) -> Tensor:
    """Activations `[example, position, unit, entry]`.

    A flattened channel has its positions as positions.
    """
    numbers = torch.from_numpy(index.flatten())
    if not isinstance(module, (nn.Linear, nn.RNNBase)):
        value = value.movedim(1, -1)
    chosen = value[..., numbers].unflatten(-1, tuple(index.shape))
    return chosen.flatten(1, -3) if chosen.ndim > 3 else chosen[:, None]
