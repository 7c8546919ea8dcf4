"""Extraction of packed booleans from the layers of a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from os import PathLike
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from torch import nn

from ndg.activations.batches import Batch, check_loader, compute_batches, fixed, no_examples
from ndg.activations.binarize import AUTO, BINARIZERS, choose
from ndg.activations.digest import source_of, weights_digest
from ndg.activations.sampling import Numbers, chosen, count, draw, examples_of, only, shuffled
from ndg.bits.matrix import BitMatrix, Sample
from ndg.capture.reader import Capture, Piece, capture, fit, with_thresholds
from ndg.capture.sink import Sink, reopen, rest
from ndg.errors import ConfigError, DataError, LayerError, ShapeError, check_kind
from ndg.mining.pairs import Pairs, pairs_of
from ndg.nodes import NodeSpace, check_layers
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.paths import path_of
from ndg.progress import bar, log
from ndg.run_study import placed, run_study
from ndg.units.readings import DEFAULTS, choose_readings
from ndg.units.resolve import find_layers, resolve_layer

FIT_EXAMPLES = 16_384
FIT_BYTES = 1 << 30
"""Memory for the sample that thresholds are fitted to; layers beyond it take another pass."""
MIDDLE = "middle"
"""`auto` for gates: thresholds in the middle of each gate's range."""


Around = Callable[[Batch], AbstractContextManager[None]]


@runtime_checkable
class Binarised(Protocol):
    """Bits or a graph: anything with nodes and thresholds."""

    @property
    def nodes(self) -> NodeSpace: ...
    @property
    def thresholds(self) -> Float64[np.ndarray, " neuron"]: ...
    @property
    def binarizer(self) -> str: ...


@dataclass(frozen=True)
class ReadingSettings:
    """Settings that turn outputs into booleans.

    labels        whether the predicted label is a node; False for encoders and language models, which have no logits
                  `[example, class]`
    channels      of `[example, channel, position...]`: "max", "mean" or "any" over the positions of a channel
    tokens        of `[example, token, unit]`: "first", "mean" or "every"; with "every" each token is an example, with
                  the label that is predicted of its sequence
    readings      readings of these and other kinds by name, such as `{"heads": "norm", "gates": "mean"}`; with "each"
                  every position of a unit is a neuron of its own, see `ndg.units.readings`
    binarizer     "auto" (above 0.5 after a sigmoid and for sigmoid gates, above 0 elsewhere), "positive", "half",
                  "median" or "quantile"; the last two need a second pass, over at most 16,384 examples drawn by seed
    quantile      quantile of the binarizer of that name
    max_examples  examples of the loader that are read, drawn by the seed; None: all

    Raises ConfigError for a quantile outside (0, 1).

    >>> settings = ndg.ReadingSettings(binarizer="median", max_examples=100)
    >>> ndg.extract(net, data, layers=["1"], settings=settings).examples
    100
    """

    labels: bool = True
    channels: str = "max"
    tokens: str = "first"
    readings: Mapping[str, str] | None = None
    binarizer: str = AUTO
    quantile: float = 0.5
    max_examples: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        rule = "readings is a dictionary from kinds to readings"
        check_kind(self.readings, (Mapping, type(None)), rule, 'such as {"heads": "norm"}')
        if not 0 < self.quantile < 1:
            raise ConfigError(f"a quantile must lie inside (0, 1); got {self.quantile}")


@old_keywords(settings=ReadingSettings, options=RunOptions)
def extract(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
    like: Binarised | None = None,
    file: str | PathLike[str] | None = None,
    around: Around | None = None,
) -> BitMatrix:
    """Packed booleans of predicted labels and neurons for every example.

    `layers` are module paths, `X.heads` of an attention module, `X.gates` of a recurrent layer, or regular expressions
    that match whole paths; the default is the network's own `latent_layer`. Outputs of three axes are tokens, except
    after a one-dimensional convolution, norm or pool. Tokens masked by `attention_mask` do not count, and all batches
    are padded to one length. With true labels, correct predictions are counted.

    `like` takes layers, readings and thresholds from other bits or a graph; use it for held-out examples. With `file`,
    the bits are written there, and an interrupted extraction continues. `around(batch)` is a context for the forward
    pass of each compute batch, in this process alone. The bits carry a digest of the network's weights, so that a graph
    of them is not tried on another network by mistake.

    Raises LayerError for an unknown layer, an output of another shape, or NaN; DataError without examples, or if the
    first or last examples of a file differ from the loader's; BitsError for a file of another network.

    >>> bits = ndg.extract(net, data, layers=["1"])
    >>> bits.examples, len(bits.nodes), bits.correct
    (300, 11, 300)
    """
    where = None if file is None else path_of(file, "the file of the bits")
    if around is not None:
        rule = "around= is a function of a batch that gives a context"
        check_kind(around, object if callable(around) else FunctionType, rule, "pass one")
    if shuffled(loader):
        if where or settings.max_examples is not None:
            raise DataError(
                "file= and max_examples need examples in a fixed order; this DataLoader shuffles them; make it with "
                "shuffle=False"
            )
        log.warning("the DataLoader shuffles: rows of the bits are in its order, so concepts cannot be added to them")
    model = placed(model, replace(options, executor="serial"))
    plan = _plan(model, layers, settings, like, options.threads)
    if plan.fitted or settings.max_examples is not None:
        check_repeatable(loader)
    seed, size = options.seed, options.batch
    numbers, sample = None, None
    if settings.max_examples is not None:
        examples = count(loader)
        numbers = chosen(seed, examples, settings.max_examples)
        sample = None if numbers is None else Sample(seed, examples)
    network = weights_digest(model)
    facts = plan.facts | {"batch": size, "seed": seed, "max": settings.max_examples}
    name = source_of(network, facts) if where else ""
    expected = len(numbers) if numbers is not None else examples_of(loader)
    part = reopen(where, name) if where else None
    with fixed(model, options.threads), Sink(plan.binarizer, where, name, expected or 0, part, network) as sink:
        study = plan.study
        if part is not None:
            study = with_thresholds(study, part.nodes, part.thresholds)
        elif plan.fitted:
            study = _fit(plan, loader, numbers, settings.quantile, options)
        batches: Iterable[Batch] = compute_batches(loader if numbers is None else only(loader, numbers), size)
        if part is not None:
            batches = rest(study, batches, part)
        total = None if expected is None else -(-expected // size)
        run_study(CaptureStudy(study, around), batches, "extract", options, count=total, start=sink)
        return sink.finish(sample)


@dataclass(frozen=True, eq=False)
class CaptureStudy:
    """Study that reads compute batches, locally inside `around`."""

    capture: Capture
    around: Around | None = None

    @property
    def model(self) -> nn.Module:
        return self.capture.model

    @property
    def layers(self) -> tuple[str, ...]:
        return self.capture.layers

    def with_model(self, model: nn.Module) -> CaptureStudy:
        return CaptureStudy(replace(self.capture, model=model))

    def run(self, batch: Batch) -> Piece:
        """Booleans of one compute batch."""
        with nullcontext() if self.around is None else self.around(batch):
            return capture(self.capture, batch)

    def __reduce__(self) -> tuple[type[CaptureStudy], tuple[Capture]]:
        return CaptureStudy, (self.capture,)


def latent_layer(model: nn.Module) -> str:
    """The default layer of a network, its `latent_layer`."""
    path = getattr(model, "latent_layer", None)
    if not isinstance(path, str):
        raise LayerError(
            f"{type(model).__name__} has no `latent_layer`; pass layers=[...], paths from model.named_modules()"
        )
    return path


@dataclass(frozen=True)
class CaptureEstimate:
    """Estimated size and time of an extraction, None if unknown.

    `examples` counts tokens if each token is an example. `seconds` is the time of one compute batch times `forwards`.
    """

    examples: int | None
    forwards: int | None
    nodes: int
    pairs: int
    bytes: int | None
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@old_keywords(settings=ReadingSettings, options=RunOptions)
def estimate(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
    like: Binarised | None = None,
    pairs: Pairs = "all",
    packs: bool = True,
) -> CaptureEstimate:
    """Estimate of `extract` from one timed compute batch, for `pairs` of layers.

    Without `packs` booleans are not packed, whose kernels take part of a second to load.
    """
    plan, batch = _plan(model, layers, settings, like, options.threads), options.batch
    study = plan.study if packs else replace(plan.study, packs=False)
    check_repeatable(loader)
    first = next(iter(compute_batches(loader, batch)), None)
    if first is None:
        raise no_examples()
    for _ in range(2):  # the first run is slower than the others
        started = time.perf_counter()
        piece = capture(study, first)
        seconds = time.perf_counter() - started
    nodes, examples = len(piece.bits.nodes), examples_of(loader)
    facts = {"nodes": nodes, "pairs": pairs_of(piece.bits.nodes, pairs)}
    if examples is None:
        return CaptureEstimate(examples=None, forwards=None, bytes=None, seconds=None, **facts)
    examples = min(examples, settings.max_examples or examples)
    fitting = -(-min(examples, FIT_EXAMPLES) // batch) if plan.fitted else 0
    forwards = -(-examples // batch) + fitting
    rows = round(examples * piece.bits.examples / piece.examples)
    size = 8 * nodes * -(-rows // 64)
    return CaptureEstimate(examples=rows, forwards=forwards, bytes=size, seconds=forwards * seconds, **facts)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Readings and binarizers; `fitted` ones have no thresholds yet."""

    study: Capture
    fitted: dict[str, str]
    binarizer: str
    facts: dict[str, Any]


def like_study(model: nn.Module, like: Binarised, threads: int) -> Capture:
    """The study that reads the nodes of bits or a graph, with their thresholds."""
    return _plan(model, None, ReadingSettings(labels=like.nodes.labels > 0), like, threads).study


def _plan(
    model: nn.Module, layers: Iterable[str] | None, settings: ReadingSettings, like: Binarised | None, threads: int
) -> _Plan:
    kinds = {"channels": settings.channels, "tokens": settings.tokens, **(settings.readings or {})}
    readings, labels = choose_readings(kinds), settings.labels
    if like is not None:
        if layers is not None:
            raise ShapeError("layers come from `like`; pass layers or like, not both")
        nodes = like.nodes.without_concepts
        paths = [layer.name for layer in nodes.layers]
        if np.isnan(like.thresholds).any():
            raise ShapeError(
                "`like` needs a threshold for each neuron; its thresholds are NaN, because it was made of plain "
                "booleans or by NDG.from_networkx without bits; pass bits= there, or extract with layers= instead"
            )
        if not paths:
            raise LayerError("an extraction needs at least one layer; got none")
        for path in paths:
            resolve_layer(model, path)
        nodes = nodes if labels else NodeSpace(0, nodes.layers)
        study = Capture(model, tuple(paths), readings, {}, {}, None, threads, nodes.labels > 0)
        study = with_thresholds(study, nodes, like.thresholds)
        known = {"nodes": nodes.to_dict(), "thresholds": like.thresholds.tolist(), "threads": threads}
        return _Plan(study, {}, like.binarizer, known)
    paths = find_layers(model, [latent_layer(model)] if layers is None else layers)
    check_layers(paths)
    resolved = [resolve_layer(model, path) for path in paths]
    names: dict[str, str] = {}
    levels: dict[str, Any] = {}
    for layer in resolved:
        if settings.binarizer == AUTO and layer.levels is not None:
            names[layer.path], levels[layer.path] = MIDDLE, np.array(layer.levels)
            continue
        module = nn.Identity() if layer.virtual else model.get_submodule(layer.path)
        names[layer.path] = choose(settings.binarizer, module)
        levels[layer.path] = BINARIZERS[names[layer.path]].threshold or 0.0
    fitted = {path: name for path, name in names.items() if name != MIDDLE and BINARIZERS[name].fit}
    words = f"quantile {settings.quantile:g}"
    spelled = {path: words if name == "quantile" else name for path, name in names.items()}
    spelt = ", ".join(f"{path}: {name}" for path, name in spelled.items())
    if len(set(spelled.values())) == 1:
        spelt = next(iter(spelled.values()))
    named = {kind: name for kind, name in readings.items() if kind not in ("heads", "gates") or name != DEFAULTS[kind]}
    facts: dict[str, Any] = {"layers": paths, "readings": named, "binarizer": spelt, "threads": threads}
    facts |= {} if labels else {"labels": False}
    return _Plan(Capture(model, tuple(paths), readings, {}, levels, None, threads, labels), fitted, spelt, facts)


def _fit(plan: _Plan, loader: Iterable[Any], numbers: Numbers | None, quantile: float, options: RunOptions) -> Capture:
    """The study with thresholds fitted to sampled examples."""
    examples = count(loader) if numbers is None else len(numbers)
    if not examples:
        raise no_examples()
    if examples > FIT_EXAMPLES:
        some = draw(options.seed, "reservoir", examples, FIT_EXAMPLES)
        numbers = some if numbers is None else numbers[some]
    left, levels = list(plan.fitted), dict(plan.study.levels)
    while left:
        sampled = loader if numbers is None else only(loader, numbers)
        batches = bar(compute_batches(sampled, options.batch), "fit thresholds")
        samples, left = fit(plan.study, batches, left, FIT_EXAMPLES, options.seed, FIT_BYTES)
        for path, sample in samples.items():
            rule = BINARIZERS[plan.fitted[path]].fit
            if rule is not None:
                levels[path] = rule(sample, quantile)
    return replace(plan.study, levels=levels)


def check_repeatable(loader: Iterable[Any]) -> None:
    """Raise DataError for a loader that can be read only once."""
    check_loader(loader)
    if iter(loader) is loader:
        raise DataError(
            "the loader is read more than once, but an iterator can be read once; pass a list, a DataLoader, or any "
            "object that can be iterated again"
        )
