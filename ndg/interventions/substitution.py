"""Which activation is written for a boolean.

- `boolean`: 0 for off and 1 for on, as in Hu & Tian 2022: for layers whose outputs lie between these;
- `mean`: the unit's mean activation over the fitting examples in which it has that boolean;
- `resample`: the unit's activation in a fitting example that is drawn, for each example and unit, among those in which
  it has that boolean (resampling ablation, Chan et al. 2022, one unit at a time).

Means and examples keep the positions of a unit: of a channel, of the tokens of a layer that is read as their mean, of
a head, of the time steps of a gate. What is written reads back as its boolean, see `calibration`. Where no fitting
example has the boolean, the activation stays as it is. A new way is one line in `WRITINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch, compute_batches, padded
from ndg.activations.binarize import of_sigmoids
from ndg.activations.sampling import count, draw, only, shuffled
from ndg.errors import ConfigError, DataError, nearest
from ndg.graph.ndg import NDG
from ndg.interventions.calibration import calibrated
from ndg.interventions.engine import Write
from ndg.interventions.passes import BaselinePass, Passes, PassesStudy
from ndg.options import RunOptions, old_keywords
from ndg.run_study import run_study
from ndg.units.neurons import Neurons
from ndg.units.readings import Mask, Output

AUTO = "auto"
FIT_EXAMPLES = 16_384
"""Examples, drawn by the seed, over which conditional means are taken."""

POOL = 512
"""Examples, drawn by the seed, from which activations are resampled."""

Bits = Bool[np.ndarray, "row unit"]
Numbers = Int64[np.ndarray, " row"]
Maybe = Mask | None


@runtime_checkable
class Writing(Protocol):
    """Activations for booleans, from `examples` fitting examples."""

    @property
    def name(self) -> str: ...
    @property
    def examples(self) -> int: ...

    def values(self, neurons: Neurons, booleans: Bits, numbers: Numbers, output: Output, mask: Maybe = None) -> Output:
        """The output of a layer whose units have these booleans.

        `numbers` are those of the examples. There may be fewer booleans than rows of the output; the last ones are
        repeated. `mask`, a row for each of the output, says which tokens are no padding.
        """

    def known(self, neurons: Neurons, booleans: Bits) -> Bits | None:
        """Units that can be written, since a fitting example has the boolean.

        None for all.
        """


@dataclass(frozen=True)
class Boolean:
    """0 and 1, wherever a unit lies."""

    name = "boolean"
    examples = 0

    def values(self, neurons: Neurons, booleans: Bits, numbers: Numbers, output: Output, mask: Maybe = None) -> Output:
        return neurons.shaped(rows_of(booleans, output), output).to(output.dtype).expand(output.shape)

    def known(self, neurons: Neurons, booleans: Bits) -> Bits | None:
        return None


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A writing that counts the examples of each boolean."""

    seen: dict[str, Int64[np.ndarray, "boolean unit"]]
    examples: int

    def known(self, neurons: Neurons, booleans: Bits) -> Bits | None:
        seen = self.seen[neurons.layer]
        return None if seen.all() else seen[booleans.astype(np.int64), np.arange(neurons.units)] > 0

    def as_read(self, neurons: Neurons, booleans: Bits, values: Tensor, output: Output, mask: Maybe) -> Output:
        """Values that read back; the output itself without a fitting example."""
        values = values.expand(output.shape)
        if neurons.reading in ("mean", "norm"):
            values = calibrated(neurons, values, rows_of(booleans, output), mask)
        known = self.known(neurons, booleans)
        return values if known is None else torch.where(neurons.shaped(rows_of(known, output), output), values, output)


@dataclass(frozen=True, eq=False)
class Mean(_Fitted):
    """Means of each unit off and on, `[boolean, ...]`."""

    means: dict[str, Tensor]
    name = "mean"

    def values(self, neurons: Neurons, booleans: Bits, numbers: Numbers, output: Output, mask: Maybe = None) -> Output:
        on = neurons.shaped(rows_of(booleans, output), output)
        off_mean, on_mean = (_fitted(self.means[neurons.layer][k], output) for k in (0, 1))
        return self.as_read(neurons, booleans, torch.where(on, on_mean, off_mean), output, mask)


@dataclass(frozen=True, eq=False)
class Resample(_Fitted):
    """Outputs of the pool; `places` sorts it by unit, off first."""

    pool: dict[str, Tensor]
    places: dict[str, Int64[np.ndarray, "place unit"]]
    seed: int
    name = "resample"

    def values(self, neurons: Neurons, booleans: Bits, numbers: Numbers, output: Output, mask: Maybe = None) -> Output:
        seen, units = self.seen[neurons.layer], np.arange(neurons.units)
        words = seeds.words(self.seed, "resample", neurons.layer, examples=numbers, draws=neurons.units)
        which = booleans.astype(np.int64)
        many = np.maximum(seen[which, units], 1)
        at = np.where(booleans, seen[0], 0) + (words % many.astype(np.uint64)).astype(np.int64)
        chosen = self.places[neurons.layer][np.minimum(at, self.examples - 1), units]
        pool = self.pool[neurons.layer].to(output.device)
        pool = _tokens(pool, output) if neurons.layout.tokens and output.ndim == 3 else pool
        values = torch.take_along_dim(pool, neurons.shaped(rows_of(chosen, output), output), dim=0)
        return self.as_read(neurons, booleans, values.to(output.dtype), output, mask)


@dataclass(frozen=True)
class ByLayer:
    """0 and 1 in layers of sigmoids, means in others."""

    writings: dict[str, Writing]
    name = "boolean and mean"

    @property
    def examples(self) -> int:
        return max(writing.examples for writing in self.writings.values())

    def values(self, neurons: Neurons, booleans: Bits, numbers: Numbers, output: Output, mask: Maybe = None) -> Output:
        return self.writings[neurons.layer].values(neurons, booleans, numbers, output, mask)

    def known(self, neurons: Neurons, booleans: Bits) -> Bits | None:
        return self.writings[neurons.layer].known(neurons, booleans)


def choose(name: str, graph: NDG, layers: Iterable[str]) -> str:
    """The name of a way to write in some layers.

    `auto` is `boolean` where all are layers of sigmoids, `mean` where none is, and stays `auto` where some are.
    """
    if name == AUTO:
        kinds = {"boolean" if of_sigmoids(graph.binarizer, layer) else "mean" for layer in layers}
        return kinds.pop() if len(kinds) == 1 else AUTO
    return known(name)


def by_layer(passes: Passes, binarizer: str, loader: Iterable[Any] | None, options: RunOptions) -> Writing:
    """What `auto` writes in changed layers, by the binarizer of their bits."""
    sigmoids = [layer for layer in passes.changed if of_sigmoids(binarizer, layer)]
    others = tuple(layer for layer in passes.changed if layer not in sigmoids)
    if not others:
        return Boolean()
    means: Writing = WRITINGS["mean"](replace(passes, changed=others), loader, options)
    return ByLayer({**dict.fromkeys(sigmoids, Boolean()), **dict.fromkeys(others, means)}) if sigmoids else means


def known(name: str) -> str:
    """The name of a way to write.

    ConfigError for an unknown one.
    """
    if name not in WRITINGS:
        raise ConfigError(
            f"values are written as {', '.join(WRITINGS)}; got {name!r}; {nearest(name, [AUTO, *WRITINGS])}"
        )
    return name


@old_keywords(options=RunOptions)
def fit(
    name: str,
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any] | None,
    layers: Iterable[str],
    *,
    options: RunOptions = RunOptions(),
    any_network: bool = False,
) -> Writing:
    """The named way to write, fitted to the examples of `loader`.

    `loader` gives the examples that the graph was mined from, never those that it is tried on. Raises ConfigError for
    an unknown name, without the loader that `mean` and `resample` need, or for `boolean` unless 0 reads as off and 1 as
    on; DataError for an empty or shuffling loader; GraphError for other weights unless `any_network`.
    """
    layers = list(layers)
    name = choose(name, graph, layers)
    if name != "boolean" and loader is None:
        raise ConfigError(
            f"values written as {name!r} are taken from fitting examples; got none; pass fit=LOADER with the examples "
            "that the graph was mined from, or write 'boolean'"
        )
    if loader is not None and shuffled(loader):
        raise DataError(
            "values are taken from fitting examples by their numbers; this DataLoader shuffles them anew each time; "
            "make it with shuffle=False"
        )
    passes = Passes.of(model, graph, layers, options.threads, any_network=any_network)
    if name == "boolean":
        _check_boolean(passes)
    elif not count([] if loader is None else loader):
        raise DataError(
            f"values written as {name!r} are taken from at least one fitting example; the loader of fit= gave none; "
            "check the split"
        )
    if name == AUTO:
        return by_layer(passes, graph.binarizer, loader, options)
    return WRITINGS[name](passes, loader, options)


def _check_boolean(passes: Passes) -> None:
    """Raise ConfigError unless 0 reads as off and 1 as on."""
    for layer in passes.changed:
        level = passes.thresholds[layer]
        wrong = np.flatnonzero((level < 0) | (level >= 1))
        if len(wrong):
            raise ConfigError(
                f"0 and 1 are written where they read as off and on, thresholds in [0, 1); {len(wrong)} of "
                f"{len(level)} units of {layer!r} have others, unit {wrong[0]} {level[wrong[0]]:.4g}; write "
                "values='mean' (or 'resample') with fit=LOADER of the examples that the graph was mined from"
            )


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of outputs where units are off and on."""

    neurons: dict[str, Neurons]
    like: dict[str, Output]
    sums: dict[str, Float64[Tensor, "2 ..."]]
    seen: dict[str, Int64[np.ndarray, "boolean unit"]]
    examples: int

    def __add__(self, other: _Sums) -> _Sums:
        sums = {layer: own + other.sums[layer] for layer, own in self.sums.items()}
        seen = {layer: own + other.seen[layer] for layer, own in self.seen.items()}
        return replace(other, sums=sums, seen=seen, examples=self.examples + other.examples)

    def means(self, layer: str) -> Float64[Tensor, "2 ..."]:
        neurons, like, sums = self.neurons[layer], self.like[layer], self.sums[layer]
        counts = torch.from_numpy(np.maximum(self.seen[layer], 1)).to(sums.device)
        mean = sums / neurons.shaped(counts, like)
        off_on = torch.tensor([[False], [True]], device=mean.device).expand(2, neurons.units)
        return calibrated(neurons, mean.to(like.dtype), off_on, None).double()


@dataclass(frozen=True, eq=False)
class _Summing(PassesStudy):
    """Study that sums the outputs of fitting examples."""

    def run(self, batch: Batch) -> _Sums:
        baseline, like, sums, seen = self.passes.baseline(batch), {}, {}, {}
        for layer in self.passes.changed:
            output, bits = _read_part(baseline, layer), baseline.bits[layer]
            exact = output.double()
            on = baseline.neurons[layer].shaped(torch.from_numpy(bits).to(output.device), output)
            sums[layer] = torch.stack([(exact * ~on).sum(dim=0), (exact * on).sum(dim=0)])
            seen[layer] = np.stack([(~bits).sum(axis=0), bits.sum(axis=0)])
            like[layer] = baseline.outputs[layer][:1].clone()
        return _Sums(baseline.neurons, like, sums, seen, batch.count)


def _mean(passes: Passes, loader: Iterable[Any], options: RunOptions) -> Mean:
    batches, count = _batches(loader, FIT_EXAMPLES, options)
    options = replace(options, journal=None)
    total = run_study(_Summing(passes), batches, "fit values", options, count=count).total
    return Mean(total.seen, total.examples, {layer: total.means(layer) for layer in passes.changed})


def _resample(passes: Passes, loader: Iterable[Any], options: RunOptions) -> Resample:
    held: dict[str, list[Tensor]] = {layer: [] for layer in passes.changed}
    bits: dict[str, list[np.ndarray]] = {layer: [] for layer in passes.changed}
    examples = 0
    batches, _ = _batches(loader, POOL, options)
    for baseline in map(passes.baseline, batches):
        examples += baseline.batch.count
        for layer in passes.changed:
            held[layer].append(_read_part(baseline, layer).cpu())
            bits[layer].append(baseline.bits[layer])
    whole = {layer: np.concatenate(parts) for layer, parts in bits.items()}
    seen = {layer: np.stack([(~rows).sum(axis=0), rows.sum(axis=0)]) for layer, rows in whole.items()}
    pool = {layer: torch.cat(parts) for layer, parts in held.items()}
    places = {layer: np.argsort(rows, axis=0, kind="stable") for layer, rows in whole.items()}
    return Resample(seen, examples, pool, places, options.seed)


WRITINGS: dict[str, Callable[..., Writing]] = {"boolean": lambda *_: Boolean(), "mean": _mean, "resample": _resample}


def _read_part(baseline: BaselinePass, layer: str) -> Output:
    """Outputs without padding rows, of the first token if read there."""
    neurons, output, count = baseline.neurons[layer], baseline.outputs[layer], baseline.batch.count
    if neurons.at_first_token:
        return neurons.read(output, baseline.masks[layer])[:count, None]
    return output[:count]


def _batches(loader: Iterable[Any], most: int, options: RunOptions) -> tuple[Iterator[Batch], int]:
    """Compute batches of at most so many examples, and their number."""
    examples = count(loader)
    chosen = loader if examples <= most else only(loader, draw(options.seed, "writing", examples, most))
    return compute_batches(chosen, options.batch), -(-min(examples, most) // options.batch)


def rows_of(values: np.ndarray, output: Tensor) -> Tensor:
    """Values as a tensor with the rows of an output, last repeated."""
    rows = torch.from_numpy(np.ascontiguousarray(values)).to(output.device)
    return padded(rows, len(output))


def _tokens(fitted: Tensor, output: Tensor) -> Tensor:
    """Fitted values cut, or continued, to the tokens of an output."""
    wanted, there = output.shape[1], fitted.shape[-2]
    if wanted <= there:
        return fitted[..., :wanted, :]
    return torch.cat([fitted, fitted[..., -1:, :].expand(*fitted.shape[:-2], wanted - there, -1)], dim=-2)


def _fitted(mean: Float64[Tensor, "..."], output: Tensor) -> Tensor:
    mean = mean.to(output.device, output.dtype)
    return _tokens(mean, output) if output.ndim == 3 and mean.shape != output.shape[1:] else mean


@dataclass(frozen=True, eq=False)
class Substitution:
    """Writes booleans to `chosen` units of a layer, in `rows`."""

    writing: Writing
    baseline: BaselinePass
    layer: str
    booleans: Bits
    chosen: Bits | None = None
    rows: Numbers | None = None

    @cached_property
    def write(self) -> Write:
        """The values and their places, made in the pass."""
        baseline, layer, chosen = self.baseline, self.layer, self.chosen
        neurons, output, mask = baseline.neurons[layer], baseline.outputs[layer], baseline.masks[layer]
        numbers = baseline.numbers if self.rows is None else baseline.numbers[self.rows]
        if mask is not None and self.rows is not None:
            mask = mask.index_select(0, baseline.rows(self.rows).to(mask.device))
        values = self.writing.values(neurons, self.booleans, numbers, output, mask)
        known = self.writing.known(neurons, self.booleans)
        if known is not None:
            chosen = known if chosen is None else chosen & known
        everywhere = torch.ones((len(output), neurons.units), dtype=torch.bool)
        units = everywhere if chosen is None else rows_of(chosen, output)
        return Write(neurons.places(units, output, mask), values)

    def __call__(self, output: Output) -> Output:
        return self.write(output)

    def at(self, step: int) -> Write:
        return self.write.at(step)
