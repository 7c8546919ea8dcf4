"""Booleans of a network on hybrids: examples whose units come from other examples (recombination).

A hybrid is an example, the base, in which units of one layer have the activations that they have on other examples.
Common causes of the units are broken, so that what still goes together behind the layer does so because one causes the
other.

- `mix`: one other example, the source, gives a uniformly drawn number of units, 1 to all but one;
- `independent`: each unit has its activation from an example of its own.

Activations are real ones of the network, never 0 and 1. Hybrid `i` is the same for every batch size and executor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch
from ndg.activations.digest import weights_digest
from ndg.activations.sampling import Subset, count, draw
from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import Words, place, zeros
from ndg.causal.later import later_layers
from ndg.errors import BitsError, ConfigError, DataError, LayerError, check_kind
from ndg.extraction import Binarised, ReadingSettings, extract
from ndg.graph.ndg import NDG
from ndg.interventions.cache import BUDGET, Cache
from ndg.interventions.engine import Write
from ndg.interventions.passes import BaselinePass, Passes, PassesStudy, argmax, node_values
from ndg.interventions.pool import Pool, gather
from ndg.interventions.reach import check_network
from ndg.interventions.subsets import subsets
from ndg.interventions.substitution import Substitution, Writing, by_layer
from ndg.nodes import LABEL
from ndg.options import RunOptions, old_keywords
from ndg.run_study import check_model, check_order, placed, run_batches
from ndg.units.neurons import check_reading

MIX, INDEPENDENT = "mix", "independent"
MODES = (MIX, INDEPENDENT)
HYBRIDS = 20_000
MOST = 100_000_000
"""Hybrids of one call; their booleans are held in memory."""
POOL = 16_384
"""Examples from which units are taken, drawn by the seed."""

Numbers = Int64[np.ndarray, " hybrid"]


@dataclass(frozen=True, eq=False)
class Pieces:
    """Packed booleans of runs of hybrids, by the number of the first one.

    They add up in any order.
    """

    parts: Mapping[int, tuple[int, Words]] = field(default_factory=dict)

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces({**self.parts, **other.parts})

    def to_dict(self) -> dict[str, Any]:
        return {str(start): [rows, words.tolist()] for start, (rows, words) in self.parts.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Pieces:
        return cls({int(start): (rows, np.array(words, np.uint64)) for start, (rows, words) in plain.items()})

    def words(self, nodes: int, hybrids: int) -> Words:
        """The booleans of all hybrids, in their order."""
        words = zeros(nodes, -(-hybrids // 64))
        for start, (_, part) in sorted(self.parts.items()):  # in order: the end of a word is written with its start
            place(part, words, start)
        return words


@dataclass(frozen=True, eq=False)
class Hybrids:
    """Booleans of hybrids, with labels of base and source.

    The labels are those that the network predicts; the number of each base is kept too.

    Independent hybrids have no single source: theirs is -1.
    """

    bits: BitMatrix
    base: Numbers
    source: Numbers
    number: Numbers

    @property
    def label(self) -> Numbers:
        """The label that the network gives each hybrid."""
        return self.bits.to_bool(LABEL).argmax(axis=1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Recombination(PassesStudy):
    """Study that runs the rest of the network on the hybrids of each base.

    Base number `b` of `bases` is that of the hybrids `b`, `b + bases`, and so on, up to `hybrids`. With a `writing`,
    the rest runs on the booleans of the layer instead of its activations.
    """

    bases: Int64[np.ndarray, " base"]
    pool: Pool
    mode: str
    hybrids: int
    seed: int
    writing: Writing | None = None

    decode = staticmethod(Pieces.from_dict)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that tell it from other studies of the same network."""
        plain = {"bases": self.bases.tolist(), "pool": len(self.pool), "mode": self.mode, "hybrids": self.hybrids}
        thresholds = {layer: values.tolist() for layer, values in self.passes.thresholds.items()}
        return plain | {"seed": self.seed, "layer": self.layer, "thresholds": thresholds}

    @property
    def layer(self) -> str:
        """The layer whose units are recombined."""
        return self.passes.changed[0]

    def run(self, batch: Batch) -> Pieces:
        """Booleans of all hybrids of one compute batch of bases."""
        known = self.passes.baseline(batch)
        rank = batch.start + np.arange(batch.count)  # the loader gives the bases in their order
        parts: dict[int, tuple[int, Words]] = {}
        for start in range(0, self.hybrids, len(self.bases)):
            numbers = (start + rank)[start + rank < self.hybrids]
            if len(numbers):
                bits = BitMatrix.from_bool(self._booleans(known, numbers), self.passes.nodes)
                parts[int(numbers[0])] = len(numbers), bits.words
        return Pieces(parts)

    def _booleans(self, known: BaselinePass, numbers: Numbers) -> Bool[np.ndarray, "hybrid node"]:
        layers, rows = tuple(self.passes.thresholds), len(numbers)
        change: Any = self._change(known, numbers)
        if self.writing is not None:
            booleans = self.passes.run(known, {self.layer: change}, [self.layer])[1][self.layer][:rows]
            change = Substitution(self.writing, known, self.layer, booleans, None, np.arange(rows)).write
        logits, bits = self.passes.run(known, {self.layer: change}, layers)
        bits = {layer: values[:rows] for layer, values in bits.items()}
        return node_values(self.passes.nodes, argmax(logits[:rows]), bits)

    def _change(self, known: BaselinePass, numbers: Numbers) -> Write:
        """Activations of other examples, for the units that they give."""
        neurons, output, mask = known.neurons[self.layer], known.outputs[self.layer], known.masks[self.layer]
        padded = np.concatenate([numbers, np.full(known.batch.rows - len(numbers), numbers[-1], np.int64)])
        chosen = np.ones((len(padded), neurons.units), np.bool_)
        if self.mode == MIX:
            chosen = mixed(self.seed, padded, neurons.units)
            values = self.pool.rows(self.layer, givers(self.seed, padded, len(self.pool), 1)[:, 0], len(padded))
        else:
            sources = torch.from_numpy(givers(self.seed, padded, len(self.pool), neurons.units))
            view = self._view(known)
            taken = view.gather(0, sources[:, :, None].expand(-1, -1, view.shape[2]))
            values = neurons.layout.broadcast(taken, self._pooled)
        return Write(neurons.places(torch.from_numpy(chosen), output, mask), values)

    def _view(self, known: BaselinePass) -> Tensor:
        """Activations of the pool, `[source, unit, position]`."""
        return known.neurons[self.layer].layout.view(self._pooled)

    @cached_property
    def _pooled(self) -> Tensor:
        return self.pool.outputs[self.layer].tensor


def givers(seed: int, hybrids: Numbers, pool: int, draws: int) -> Int64[np.ndarray, "hybrid draw"]:
    """Places in the pool from which each hybrid takes activations."""
    words = seeds.words(seed, "recombined from", examples=hybrids, draws=draws)
    return (words % np.uint64(pool)).astype(np.int64)


def mixed(seed: int, hybrids: Numbers, units: int) -> Bool[np.ndarray, "hybrid unit"]:
    """Units that the source of a mix gives: 1 to all but one, or a lone unit."""
    word = seeds.words(seed, "number of units", examples=hybrids, draws=1)[:, 0]
    sizes = 1 + (word % np.uint64(max(units - 1, 1))).astype(np.int64)
    return subsets(seed, "units of a mix", hybrids, sizes, units)


@old_keywords(settings=ReadingSettings, options=RunOptions)
def recombine(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    mode: str = MIX,
    n: int = HYBRIDS,
    *,
    like: BitMatrix | NDG | None = None,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
) -> BitMatrix:
    """Packed booleans of a layer, of later layers and of the predicted label on `n` hybrids.

    The network up to the layer runs once for each base, the rest once for each hybrid, whatever the number of units.
    Bases are the examples of `loader` in turn, or `n` of them drawn by the seed; units are taken from at most 16,384
    of them. `like` gives layers, readings and thresholds, from bits or a graph of this network; without it they are
    extracted first, with `settings`, from the layer and from all later linear and convolutional modules but the last.
    Mine the bits with `ndg.mine`.

    Raises ConfigError for an unknown mode or `n` below 1; DataError for fewer than two examples; BitsError or
    GraphError for `like` of other weights; LayerError for a layer that is unknown, not before the logits, or not among
    those of `like`, and for one whose tokens are examples.

    >>> hybrids = ndg.recombine(net, data, "1", n=200)
    >>> hybrids.examples, hybrids.nodes == bits.nodes
    (200, True)
    """
    check_model(model)
    rule = "like= is a BitMatrix or an NDG of this network, or None"
    check_kind(like, (BitMatrix, NDG, type(None)), rule, "leave it out to extract the bits", BitsError)
    check_kind(layer, str, "a recombined layer is named by its module path", "pass one name", LayerError)
    if isinstance(like, NDG):
        check_network(model, like)
    elif like is not None and like.network not in ("", weights_digest(model)):
        raise BitsError(
            f"hybrids are of the network that gave `like`, of digest {like.network}; got one of digest "
            f"{weights_digest(model)}; extract bits of this network"
        )
    return _recombined(model, loader, layer, mode, n, like, settings, options)[0]


def hybrids(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    mode: str = MIX,
    n: int = HYBRIDS,
    *,
    like: BitMatrix | NDG | None = None,
    options: RunOptions = RunOptions(),
    written: Iterable[Any] | None = None,
) -> Hybrids:
    """The hybrids of `recombine` with the labels of their bases and sources.

    With `written`, examples of the training split, the rest of the network runs on the booleans of the layer, written
    as means of these examples (0 and 1 for sigmoids): the most that anything that reads the booleans can know.
    """
    bits, study = _recombined(model, loader, layer, mode, n, like, ReadingSettings(), options, written)
    numbers, pool = np.arange(bits.examples, dtype=np.int64), study.pool
    chosen = loader if len(study.bases) == count(loader) else Subset(loader, study.bases)
    plain = extract(study.model, chosen, like=bits, options=replace(options, journal=None))
    before = plain.to_bool(LABEL).argmax(axis=1).astype(np.int64)
    source = np.full(bits.examples, -1, np.int64)
    if mode == MIX:
        source = pool.predicted[givers(options.seed, numbers, len(pool), 1)[:, 0]]
    place = numbers % len(study.bases)
    return Hybrids(bits, before[place], source, study.bases[place])


def _recombined(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str,
    mode: str,
    n: int,
    like: BitMatrix | NDG | None,
    settings: ReadingSettings,
    options: RunOptions,
    written: Iterable[Any] | None = None,
) -> tuple[BitMatrix, Recombination]:
    """Booleans of hybrids, and the study that gave them."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ConfigError(f"a mode of recombination is {' or '.join(MODES)}; got {mode!r}; leave it out for {MIX}")
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ConfigError(
            f"the number of hybrids is a whole number of at least 1; got n={n!r}; leave it out for {HYBRIDS}"
        )
    if n > MOST:
        raise ConfigError(f"the number of hybrids is at most {MOST:,}; got n={n}; take fewer")
    check_order(loader)
    examples = count(loader)
    if examples < 2:
        raise DataError(f"a hybrid takes units of another example; the loader gave {examples}; give at least 2")
    model = placed(model, options)
    plain = replace(options, journal=None)
    if like is None:
        layers = [layer, *later_layers(model, loader, layer)]
        like = extract(model, loader, layers, settings=settings, options=plain)
    if layer not in [known.name for known in like.nodes.layers]:
        names = ", ".join(known.name for known in like.nodes.layers)
        raise LayerError(f"the recombined layer is one of `like`, {names}; got {layer!r}; extract it too")
    passes = passes_like(model, like, layer, options.threads)
    bases = np.arange(examples) if n >= examples else draw(options.seed, "bases", examples, int(n))
    pool = gather(passes, loader, POOL, seed=options.seed, batch=options.batch, budget=BUDGET)
    writing = None if written is None else by_layer(passes, like.binarizer, written, plain)
    study = Recombination(passes, bases, pool, mode, int(n), options.seed, writing)
    chosen = loader if len(bases) == examples else Subset(loader, bases)
    if len(bases) < examples or examples > POOL:  # other batches than those of the pool
        study = replace(study, passes=replace(passes, cache=None))
    total: Pieces = run_batches(study, chosen, f"recombine ({mode})", options).total
    words = total.words(len(passes.nodes), int(n))
    network = weights_digest(model)
    bits = BitMatrix(passes.nodes, words, int(n), like.thresholds, binarizer=like.binarizer, network=network)
    return bits, study


def passes_like(model: nn.Module, like: Binarised, layer: str, threads: int = 1) -> Passes:
    """Passes that change a layer, with the layers and thresholds of bits or a graph."""
    nodes = like.nodes.without_concepts
    thresholds, start = {}, 0
    for known in nodes.layers:
        thresholds[known.name] = np.array(like.thresholds[start : start + known.units])
        start += known.units
        check_reading(nodes, known.name)
    missing = [name for name, values in thresholds.items() if np.isnan(values).any()]
    if missing:
        raise LayerError(f"booleans need a threshold for each neuron; those of {missing[0]!r} are NaN; use ndg.extract")
    return Passes(model, nodes, thresholds, (layer,), threads, Cache())
