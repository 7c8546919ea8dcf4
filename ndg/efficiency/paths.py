"""The strongest paths of units from the inputs to the logits, each tried by ablation.

The strength of a path is the product of the importance of its edges. An edge is all weights between two units: of a
convolution all positions of the kernel, of a dense layer that reads channels all positions of the channel. A path is
verified if its class's logit changes more without its edges than without those of any of `CONTROLS` random paths to the
same class.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch, compute_batches, fixed, forward, no_examples
from ndg.activations.sampling import subset
from ndg.efficiency.importance import OBSERVED, check_kinds, of_part
from ndg.efficiency.observe import Observations, observe
from ndg.efficiency.parts import CONVOLUTIONS, Part, parts_of
from ndg.errors import ConfigError, LayerError
from ndg.options import RunOptions
from ndg.probe import probe_loader
from ndg.results import Result, Row
from ndg.run_study import placed

CONTROLS = 19
"""Random paths per class: a path stronger than all of them is so by chance in 1 of 20 cases."""
EXAMPLES = 256
INPUT = "input"

Edges = Float64[np.ndarray, "_ _"]
Path = Int64[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Pathways(Result):
    """Strongest paths, one unit per layer, from an input to a class.

    `strengths` are relative to the strongest path. `effects` are mean changes of the class's logit without the path,
    `controls` those of random paths to the same class, one row per path.
    """

    layers: tuple[str, ...]
    paths: Int64[np.ndarray, "path layer"]
    strengths: Float64[np.ndarray, " path"]
    effects: Float64[np.ndarray, " path"]
    controls: Float64[np.ndarray, "path control"]
    examples: int

    @property
    def verified(self) -> list[bool]:
        """Whether each path has more effect than all of its controls."""
        return [bool(value) for value in self.effects > self.controls.max(axis=1)]

    def rows(self) -> list[Row]:
        """One row per path."""
        return [
            {
                "path": " -> ".join(f"{layer}:{unit}" for layer, unit in zip(self.layers, units, strict=True)),
                "units": [int(unit) for unit in units],
                "strength": float(self.strengths[place]),
                "effect": float(self.effects[place]),
                "control": float(self.controls[place].mean()),
                "control_largest": float(self.controls[place].max()),
                "verified": self.verified[place],
            }
            for place, units in enumerate(self.paths)
        ]

    def words(self) -> str:
        """How many paths are verified, with their effect and that of the controls."""
        return (
            f"{sum(self.verified)} of the {len(self.paths)} strongest paths change their class's logit more than each "
            f"of {self.controls.shape[1]} random paths to the same class: by {self.effects.mean():.3g} on average, "
            f"random paths by {self.controls.mean():.3g}, on {self.examples} examples."
        )

    def context(self) -> Row:
        return {"layers": list(self.layers), "examples": self.examples}


def pathways(
    net: nn.Module,
    data: Iterable[Any],
    k: int = 10,
    options: RunOptions = RunOptions(),
    *,
    importance: str = "activation",
) -> Pathways:
    """The k strongest paths, verified on at most `EXAMPLES` examples.

    Raises LayerError for a network whose layers are no chain in which each reads the one before (a residual network, a
    transformer), ConfigError for fewer than 1 path or an importance that needs the loss.
    """
    (kind,) = check_kinds([importance])
    if kind not in ("magnitude", *OBSERVED) or k < 1:
        raise ConfigError(f"paths are at least 1, by magnitude, activation or wanda; got k={k}, {importance!r}")
    net = placed(net, options)
    parts = parts_of(net)
    data = probe_loader(net, data, [], options.threads)
    some = list(compute_batches(subset(data, EXAMPLES, options.seed), options.batch, short=True))
    if not some:
        raise no_examples()
    seen = observe(net, data, parts, options)
    links = chain(parts, seen)
    edges = _edges(links, seen, kind)
    paths, strengths = strongest(edges, k)
    before = _logits(net, some, options)
    random = seeds.generator(options.seed, "paths")
    controls: dict[int, list[float]] = {}
    for target in dict.fromkeys(int(path[-1]) for path in paths):
        drawn = [np.array([*(random.integers(each.shape[1]) for each in edges), target]) for _ in range(CONTROLS)]
        controls[target] = [_effect(net, links, edges, path, some, before, options) for path in drawn]
    effects = [_effect(net, links, edges, path, some, before, options) for path in paths]
    return Pathways(
        (INPUT, *(part.name for part in links)),
        paths,
        strengths / strengths[0] if strengths[0] > 0 else strengths,
        np.array(effects),
        np.array([controls[int(path[-1])] for path in paths]),
        len(before),
    )


def chain(parts: Sequence[Part], seen: Observations) -> list[Part]:
    """Parts from the input to the logits, each read by the next alone.

    LayerError where that breaks.
    """
    by_name = {part.name: part for part in parts}
    read = {seen[part.name].reader for part in parts}
    link = next(part for part in parts if part.name not in read)
    links = [link]
    while reader := seen[link.name].reader:
        link = by_name[reader]
        links.append(link)
    if seen[link.name].other != "nothing" or len(links) < len(parts):
        raise LayerError(
            "pathways follow a chain of layers, each read by the next alone; the units of "
            f"{link.name!r} are read by {seen[link.name].other!r}; take the report of single layers"
        )
    return links


def strongest(edges: Sequence[Edges], k: int) -> tuple[Int64[np.ndarray, "path _"], Float64[np.ndarray, " path"]]:
    """The k paths of the largest products, and the products.

    They are found layer by layer, from the k best paths to each unit.
    """
    best = np.ones((edges[0].shape[1], 1))
    paths = np.arange(edges[0].shape[1])[:, None, None]
    for weights in edges:
        scale = weights.max()
        products = (weights / scale if scale > 0 else weights)[:, :, None] * best[None]  # [unit, input, rank]
        flat = products.reshape(len(products), -1)
        most = min(k, flat.shape[1])
        top = np.argsort(-flat, axis=1, kind="stable")[:, :most]
        source, rank = np.unravel_index(top, products.shape[1:])
        best = np.take_along_axis(flat, top, axis=1)
        own = np.broadcast_to(np.arange(len(products))[:, None, None], (*source.shape, 1))
        paths = np.concatenate([paths[source, rank], own], axis=2)
    order = np.argsort(-best.reshape(-1), kind="stable")[:k]
    return paths.reshape(-1, paths.shape[2])[order], best.reshape(-1)[order]


def _edges(links: Sequence[Part], seen: Observations, kind: str) -> list[Edges]:
    """Importance between the units of each layer and of the layer before."""
    edges = []
    for number, part in enumerate(links):
        values = of_part(part, kind, seen)
        if isinstance(part.module, CONVOLUTIONS):
            if part.module.groups > 1:
                raise LayerError(f"pathways need convolutions of one group; {part.name!r} has {part.module.groups}")
            before = part.module.in_channels
        else:
            before = values.shape[1] if not number else seen[links[number - 1].name].units
        edges.append(values.reshape(len(values), before, -1).sum(axis=2))
    return edges


def _effect(
    net: nn.Module,
    links: Sequence[Part],
    edges: Sequence[Edges],
    path: Path,
    batches: Sequence[Batch],
    before: Tensor,
    options: RunOptions,
) -> float:
    """Mean change of the class's logit without the edges of a path."""
    changed = copy.deepcopy(net)
    with torch.no_grad():
        for part, each, (source, unit) in zip(links, edges, pairwise(path), strict=True):
            weight: Any = changed.get_submodule(part.layer).weight
            weight.view(len(weight), each.shape[1], -1)[unit, source] = 0
    after = _logits(changed, batches, options)
    return float((after - before)[:, int(path[-1])].abs().mean())


def _logits(net: nn.Module, batches: Sequence[Batch], options: RunOptions) -> Tensor:
    with fixed(net, options.threads):
        return torch.cat([forward(net, batch.inputs)[: batch.count].double().cpu() for batch in batches])
