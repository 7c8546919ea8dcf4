"""Smaller networks with the same predictions: sizes by error, repair by least squares, surgery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ndg.activations.digest import digest_of, network_digest
from ndg.compression.curves import first_inputs, ridge_of
from ndg.compression.distill import distilled
from ndg.compression.examples import Examples, agreement, enough, explained, logits
from ndg.compression.explain import explain
from ndg.compression.flops import flops_without, module_flops
from ndg.compression.graph_labels import graph_labels, layers_of
from ndg.compression.groups import Group, couple
from ndg.compression.methods import Curves, Evidence, Method, known
from ndg.compression.obs import Reader, Removals
from ndg.compression.plain import with_plain_layers
from ndg.compression.repair import Goal, LeastSquares, goals, repair
from ndg.compression.result import Compression, Figures, LayerSizes
from ndg.compression.sizes import Gone, for_agreement, for_flops, for_units
from ndg.compression.statistics import ROWS, readers
from ndg.compression.surgery import smaller
from ndg.errors import ConfigError
from ndg.executors.journal import Book, Journal, Noted, noted, opened
from ndg.graph.ndg import NDG
from ndg.options import RunOptions, names_of, old_keywords, plain_number, plain_numbers
from ndg.run_study import check_model, placed

Shares = float | int | Mapping[str | tuple[str, ...], float | int]


@dataclass(frozen=True)
class CompressSettings:
    """How a network is compressed.

    layers       names of the layers whose units may go; None: all whose units can be removed exactly
    repair       whether the layers that read fewer units are fitted to the original by least squares
    distill      label-free distillation steps after the repair
    calibration  examples for covariances and repair
    validation   other examples of the training split, for an agreement budget and the figures of the result
    rows         rows of activations of one convolution, or of tokens
    ridge        share of the mean variance added in the least squares; None: by the number of examples
    graph        NDG of the network, which labels the units of its layers; None: a graph is mined of each layer

    >>> settings = ndg.CompressSettings(layers=("1",), calibration=100)
    >>> settings.repair
    True
    """

    layers: tuple[str, ...] | None = None
    repair: bool = True
    distill: int = 0
    calibration: int = 1000
    validation: int = 5000
    rows: int = ROWS
    ridge: float | None = None
    graph: NDG | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.layers is not None:
            names = names_of(self.layers, "layers must be names of layers")
            if not names:
                raise ConfigError("layers must name at least one layer; got none; leave them out to compress all")
            object.__setattr__(self, "layers", tuple(names))
        least = {"distill": 0, "calibration": 2, "validation": 1, "rows": 2}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name} must be at least {smallest}; got {getattr(self, name)}")
        if self.ridge is not None and self.ridge <= 0:
            raise ConfigError(f"ridge must be above 0; got {self.ridge}; leave it out to choose by the examples")


@old_keywords(settings=CompressSettings, options=RunOptions)
def compress(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    units: Shares | None = None,
    flops: float | int | None = None,
    agreement: float | int | None = None,
    method: str = "obs",
    settings: CompressSettings = CompressSettings(),
    options: RunOptions = RunOptions(),
) -> Compression:
    """A smaller network whose predictions stay as near to the original's as they can.

    `loader` has examples of the training split; labels are not read. One budget says how small: `units`, the share of
    units that goes (or shares by layer, or by layers that are ranked together); `flops`, the share of FLOPs that stays
    at most; `agreement`, the least share of equal predictions on validation examples, for the smallest such network.
    `method` is a key of `METHODS` or `OPTIONAL`. Units are removed exactly: without repair the result computes what the
    original computes with these units masked. The original is left as it was. With `options.journal` a compression that
    was killed goes on after the last finished layer, or size of an agreement budget, to the same result.

    Raises BudgetError for a budget that cannot be met, LayerError for a layer whose units cannot be removed (residual
    width under a norm, shared or quantised weights, ...), GraphError for a graph of another network or of other layers,
    DataError for too few examples, ConfigError for settings.

    >>> smaller = ndg.compress(net, data, units=0.5)
    >>> [layer.units for layer in smaller.layers]
    [8]
    """
    budgets = {"units": units, "flops": flops, "agreement": agreement}
    chosen = {name: plain_number(value) for name, value in budgets.items() if value is not None}
    _check_budget(chosen)
    known(method)
    check_model(model)
    shrinker = Shrinker.of(placed(model, options), loader, settings, options)
    plan = known(method)
    with opened(shrinker.journal(method)) as book:
        curves = shrinker.curves(plan, book)
        if agreement is not None:

            def judged(gone: Gone) -> float:
                task = len(curves) + sum(gone.values())
                return float(noted(book, task, lambda: {"agreement": shrinker.agreement(curves, gone)})["agreement"])

            gone = for_agreement(plan.steps(curves), curves, float(agreement), judged)
        elif flops is not None:
            priced = plan.priced(curves, shrinker.prices())
            gone = for_flops(priced, curves, float(flops), shrinker.flops)
        else:
            gone = shrinker.by_shares(plan.steps, curves, units)  # type: ignore[arg-type]
    return shrinker.result(method, chosen, curves, gone)


def _check_budget(chosen: Mapping[str, Any]) -> None:
    if len(chosen) != 1:
        raise ConfigError(
            "one budget says how small the network becomes: units, flops or agreement; got "
            f"{', '.join(chosen) or 'none'}; pass one, such as units=0.5"
        )
    [(name, value)] = chosen.items()
    pools = name == "units" and isinstance(value, Mapping)
    if pools:
        _check_pools(value)
    for share in value.values() if pools else [value]:
        share = plain_number(share)
        number = isinstance(share, float | int) and not isinstance(share, bool)
        if not number or not 0 < share <= 1 or (name != "agreement" and share == 1):
            raise ConfigError(
                f"{name} must be a share above 0, and {'at most' if name == 'agreement' else 'below'} 1; got {share!r}"
            )


def _check_pools(pools: Mapping[Any, Any]) -> None:
    """Raise ConfigError for shares of anything but layers, each named once."""
    names: list[str] = []
    for layers in pools:
        own = names_of(layers, "shares of units are of a layer, or of a tuple of layers")
        repeated = next((name for name in own if name in names or own.count(name) > 1), None)
        if not own or repeated is not None:
            raise ConfigError(
                "shares of units name each layer once, and at least one layer each; got "
                f"{'no layer' if repeated is None else f'{repeated!r} twice'} in {list(pools)}; name others"
            )
        names += own
    if not names:
        raise ConfigError("shares of units name at least one layer; got none; pass one for all, such as units=0.5")


def _plain(budget: Any) -> Any:
    """A budget in plain JSON types."""
    if not isinstance(budget, Mapping):
        return budget
    pools = [([name] if isinstance(name, str) else list(name), share) for name, share in budget.items()]
    return [{"layers": names, "share": share} for names, share in pools]


@dataclass(eq=False)
class Shrinker:
    """A network, its groups, and what is measured of them once for any number of sizes."""

    model: nn.Module
    groups: dict[str, Group]
    refused: dict[str, str]
    readers: dict[str, list[Reader]]
    examples: Examples
    settings: CompressSettings
    options: RunOptions
    original: nn.Module
    homes: dict[str, str]
    kept_in: Journal | Path | str | None
    _goals: list[Goal] | None = field(default=None)

    @classmethod
    def of(cls, model: nn.Module, loader: Iterable[Any], settings: CompressSettings, options: RunOptions) -> Shrinker:
        """Trace a network and measure its groups on calibration examples."""
        original, model = model, with_plain_layers(model)
        kept_in, options = options.journal, replace(options, journal=None)
        examples = Examples.of(loader, settings.calibration, settings.validation, options.seed)
        coupled = couple(model, first_inputs(examples.calibration))
        groups = coupled.select(settings.layers)
        if not groups:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(coupled.refused.items())[:3])
            raise ConfigError(
                "a network that is compressed has units that can go; this one has none "
                f"({reasons or 'it has no dense, convolutional or recurrent layer with weights of its own'})"
            )
        homes: dict[str, str] = {}
        if settings.graph is not None:
            homes = layers_of(settings.graph, original, groups, examples.calibration, options)
        measured, rows = readers(model, examples.calibration, groups, options, settings.rows)
        enough(groups, rows)
        return cls(model, groups, coupled.refused, measured, examples, settings, options, original, homes, kept_in)

    @property
    def evidence(self) -> Evidence:
        count = sum(len(next(iter(batch.values()))) for batch in self.examples.calibration)
        return Evidence(self.model, self.groups, self.readers, count, self.options.seed, self.examples.calibration)

    def journal(self, method: str) -> Journal | None:
        """The journal of finished layers and sizes, None without one in the options."""
        if self.kept_in is None:
            return None
        if isinstance(self.kept_in, Journal):
            return replace(self.kept_in, decode=Noted)
        examples, settings = (self.examples.calibration, self.examples.validation), replace(self.settings, graph=None)
        facts = [network_digest(self.original), method, settings, self.options.seed, self.options.batch, examples]
        return Journal(Path(self.kept_in), digest_of(facts), Noted)

    def curves(self, plan: Method, book: Book) -> Curves:
        """Removals of all groups, those from a journal that were finished before."""
        if self.kept_in is None:
            return plan.curves(self.evidence)
        result = {}
        for task, name in enumerate(self.groups):
            own = replace(self.evidence, groups={name: self.groups[name]}, readers={name: self.readers[name]})
            document = noted(book, task, lambda own=own, name=name: plan.curves(own)[name].to_dict())  # type: ignore[misc]
            result[name] = Removals.from_dict(document)
        return result

    def by_shares(self, steps: Any, curves: Curves, units: Shares) -> Gone:
        """Sizes of one pool of all layers, or of several pools."""
        pools = units if isinstance(units, Mapping) else {tuple(self.groups): units}
        gone = dict.fromkeys(self.groups, 0)
        for layers, share in pools.items():
            names = (layers,) if isinstance(layers, str) else layers
            unknown = [name for name in names if name not in curves]
            if unknown:
                raise ConfigError(
                    f"units names layers that are compressed; got {unknown[0]!r}; there is: {', '.join(curves)}"
                )
            pool = {name: curves[name] for name in names}
            gone |= for_units(steps(pool), pool, float(share))
        return gone

    def kept(self, curves: Curves, gone: Gone) -> dict[str, np.ndarray]:
        """Units that stay, in ascending order."""
        return {name: np.sort(curves[name].order[count:]) for name, count in gone.items()}

    def network(self, curves: Curves, gone: Gone, repaired: bool | None = None) -> nn.Module:
        """The smaller network of some sizes, repaired if the settings say so."""
        kept = self.kept(curves, gone)
        network = smaller(self.model, self.groups, kept, first_inputs(self.examples.calibration))
        if self.settings.repair if repaired is None else repaired:
            changed = {name: group for name, group in self.groups.items() if gone[name]}
            if self._goals is None:
                self._goals = goals(
                    self.model, self.examples.calibration, self.groups, self.options, self.settings.rows
                )
            found = [reader for name in changed for reader in self.readers[name]]
            ridge = self.settings.ridge or ridge_of(found, self.evidence.examples)
            targets = [goal for goal in self._goals if goal.slot.group in changed]
            fit = LeastSquares(ridge, self.settings.rows, self.options)
            repair(network, self.model, self.examples.calibration, self.groups, kept, targets, fit)
        return network

    def agreement(self, curves: Curves, gone: Gone) -> float:
        """Share of equal predictions on the validation examples."""
        validation = self.examples.validation or self.examples.calibration
        return agreement(self._original(), logits(self.network(curves, gone), validation, self.options))

    def _original(self) -> Any:
        if not hasattr(self, "_logits"):
            self._logits = logits(self.model, self.examples.validation or self.examples.calibration, self.options)
        return self._logits

    def flops(self, gone: Gone) -> float:
        """FLOPs of one example with some sizes."""
        if not hasattr(self, "_own"):
            self._own = module_flops(self.model, first_inputs(self.examples.calibration))
        return flops_without(self.model, self._own, self.groups, gone)

    def prices(self) -> dict[str, float]:
        """FLOPs of one unit of each layer in the whole network."""
        none = dict.fromkeys(self.groups, 0)
        whole = self.flops(none)
        return {name: whole - self.flops({**none, name: 1}) for name in self.groups}

    def figures(self, network: nn.Module, gone: Gone) -> Figures:
        """Agreement and R^2 on the validation examples."""
        new = logits(network, self.examples.validation or self.examples.calibration, self.options)
        original = self._original()
        return Figures(
            parameters=sum(weight.numel() for weight in network.parameters()),
            flops=self.flops(gone),
            agreement=agreement(original, new),
            r2=explained(original, new),
        )

    def result(self, method: str, budget: Mapping[str, Any], curves: Curves, gone: Gone) -> Compression:
        """The network of some sizes, with its figures and explanations."""
        network = self.network(curves, gone)
        none = dict.fromkeys(self.groups, 0)
        stages = {"original": self.figures(self.model, none)}
        if self.settings.repair:
            stages["without repair"] = self.figures(self.network(curves, gone, repaired=False), gone)
        stages["compressed"] = self.figures(network, gone)
        if self.settings.distill:
            every = [*self.examples.calibration, *self.examples.validation]
            network = distilled(network, self.model, every, self.settings.distill, self.options)
            stages["distilled"] = self.figures(network, gone)
        kept = self.kept(curves, gone)
        layers = tuple(
            LayerSizes(
                layer=name,
                kind=group.kind,
                units=group.units,
                kept=tuple(kept[name].tolist()),
                removed=tuple(curves[name].order[: gone[name]].tolist()),
                error=float(curves[name].relative[gone[name] - 1]) if gone[name] else 0.0,
            )
            for name, group in self.groups.items()
        )
        labels, graph = {}, None
        if self.settings.graph is not None:
            known, validation = self.settings.graph, self.examples.validation
            labels = graph_labels(known, self.original, self.homes, validation, self.options)
            graph = {"digest": known.digest, "run": known.provenance.get("run"), "layers": list(self.homes)}
        return Compression(
            network=network.train(self.model.training),
            method=method,
            budget={name: _plain(value) for name, value in budget.items()},
            layers=layers,
            stages=stages,
            removed=tuple(explain(self.model, self.groups, kept, self.examples, self.options, labels)),
            refused=dict(self.refused),
            validation=sum(len(next(iter(batch.values()))) for batch in self.examples.validation),
            inputs=first_inputs(self.examples.calibration),
            graph=graph,
        )
