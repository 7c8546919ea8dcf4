"""The trial of edges, edge by edge and example by example, each with a forward pass of its own. Slow by intent."""

from __future__ import annotations

from math import comb

import numpy as np
import torch
from torch import Tensor, nn

from ndg import seeds
from ndg.mining.implications import Implications
from ndg.nodes import LABEL
from tests.references.graph import Edges, closure

Units = dict[int, bool]
COUNTS = ["n", "before", "after", "gained", "lost", "changed", "sets"]


@torch.no_grad()
def states(model: nn.Module, found: Implications, x: Tensor, forced: dict[str, dict[int, float]]) -> tuple[list, dict]:
    """Whether each node is on, and the outputs of the layers, for one example, units `forced` to activations."""
    outputs: dict[str, Tensor] = {}
    handles = []
    for layer in found.nodes.layers:

        def hook(module: nn.Module, arguments: object, output: Tensor, name: str = layer.name) -> Tensor:
            output = output.clone()
            for unit, value in forced.get(name, {}).items():
                output[0, unit] = value
            outputs[name] = output[0]
            return output

        handles.append(model.get_submodule(layer.name).register_forward_hook(hook))
    logits = model(x[None])[0]
    for handle in handles:
        handle.remove()
    label = int(logits.argmax())
    on = [label == c for c in range(found.nodes.labels)]
    for layer in found.nodes.layers:
        where = found.nodes.slice(layer.name)
        own = found.thresholds[where.start - found.nodes.labels : where.stop - found.nodes.labels]
        on += [float(a) > float(t) for a, t in zip(outputs[layer.name], own, strict=True)]
    return on, outputs


def holds(on: list[bool], literal: int) -> bool:
    return on[literal // 2] == bool(literal % 2)


def forced_units(found: Implications, layer: str, antecedent: int, how: str) -> Units:
    where = found.nodes.slice(layer)
    units: Units = {}
    if how != "alone":
        edges: Edges = set(zip(found.antecedents.tolist(), found.consequents.tolist(), strict=True))
        follows = closure(2 * len(found.nodes), edges, {antecedent})
        for unit, node in enumerate(range(where.start, where.stop)):
            if (2 * node in follows) != (2 * node + 1 in follows):
                units[unit] = 2 * node + 1 in follows
    units[antecedent // 2 - where.start] = bool(antecedent % 2)
    if how == "rest":
        del units[antecedent // 2 - where.start]
    return units


def written(
    values: str,
    layer: str,
    unit: int,
    on: bool,
    example: int,
    seen: list[tuple[list, dict]],
    found: Implications,
    seed: int,
) -> float | None:
    """What is written; None where no fitting example has the boolean."""
    if values == "boolean":
        return float(on)
    node = found.nodes.slice(layer).start + unit
    fitting = [float(outputs[layer][unit]) for bits, outputs in seen if bits[node] == on]
    if not fitting:
        return None
    if values == "mean":
        return float(np.float32(sum(fitting) / len(fitting)))
    units = found.nodes.slice(layer).stop - found.nodes.slice(layer).start
    word = seeds.words(seed, "resample", layer, examples=np.array([example]), draws=units)[0, unit]
    return fitting[int(word) % len(fitting)]


def trial(
    model: nn.Module,
    found: Implications,
    order: list[str],
    inputs: Tensor,
    fit: Tensor,
    values: str,
    how: str,
    seed: int,
) -> dict[tuple[int, int], dict[str, int]]:
    """Counts of each edge that leads from a layer of `order` to a later one, labels last."""
    seen = [states(model, found, x, {}) for x in fit]
    plain = [states(model, found, x, {})[0] for x in inputs]
    depth = {name: place for place, name in enumerate([*order, LABEL])}
    counts = {}
    for p, q in zip(found.antecedents.tolist(), found.consequents.tolist(), strict=True):
        layer, later = found.nodes.layer(p // 2), found.nodes.layer(q // 2)
        if layer not in depth or later not in depth or depth[layer] >= depth[later]:
            continue
        units = forced_units(found, layer, p, how)
        total = dict.fromkeys(COUNTS, 0)
        total["sets"] = len(units)
        for example, (x, on) in enumerate(zip(inputs, plain, strict=True)):
            if holds(on, p):
                continue
            given = {
                unit: value
                for unit, boolean in units.items()
                if (value := written(values, layer, unit, boolean, example, seen, found, seed)) is not None
            }
            after, _ = states(model, found, x, {layer: given})
            was, then = holds(on, q), holds(after, q)
            total["n"] += 1
            total["before"] += was
            total["after"] += then
            total["gained"] += then and not was
            total["lost"] += was and not then
            start = found.nodes.slice(layer).start
            total["changed"] += sum(on[start + unit] != boolean for unit, boolean in units.items())
        counts[p, q] = total
    return counts


def observed(found: Implications, plain: list[list[bool]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Of each edge, how often the antecedent holds, and both."""
    return {
        (p, q): (
            sum(holds(on, p) for on in plain),
            sum(holds(on, p) and holds(on, q) for on in plain),
        )
        for p, q in zip(found.antecedents.tolist(), found.consequents.tolist(), strict=True)
    }


def mcnemar(gained: int, lost: int) -> float:
    """P(X >= gained), X of Binomial(gained + lost, 1/2)."""
    total = gained + lost
    return sum(comb(total, k) for k in range(gained, total + 1)) / 2**total


def rejected(p_values: list[float], q: float) -> list[bool]:
    """Benjamini & Hochberg: all up to the largest p with p <= rank q / m."""
    ranked = sorted(p_values)
    bound = max((p for rank, p in enumerate(ranked, start=1) if p <= rank * q / len(ranked)), default=-1.0)
    return [p <= bound for p in p_values]
