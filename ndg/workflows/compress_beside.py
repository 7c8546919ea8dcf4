"""Rows of networks that stand beside a compression: the original, controls, rivals and an untrained network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from ndg.activations.digest import digest_of, network_digest
from ndg.comparison.sources import reinitialised
from ndg.compression.methods import METHODS, OPTIONAL, Curves, Method, known
from ndg.compression.result import Compression
from ndg.compression.sizes import Gone, first, for_flops
from ndg.compression.smaller import Shrinker
from ndg.errors import LayerError, MissingPackageError
from ndg.executors.journal import Book, Journal, Noted, noted, opened
from ndg.options import RunOptions
from ndg.results import Row
from ndg.workflows.smaller import Bench
from ndg.workflows.subject import Subject

CONTROLS = ("magnitude", "random")
"""Methods that remove as many units of the same layers, as controls."""

OWN_SIZES = ("interpolative",)
"""Rivals that choose how many units each layer loses."""

ORIGINAL, COMPRESSED, PLAIN, UNTRAINED = "original", "compressed", "without repair", "untrained"
ROWS = (
    *(ORIGINAL, COMPRESSED, PLAIN, UNTRAINED),
    *(name for method in (*METHODS, *OPTIONAL) for name in (method, f"{method} {PLAIN}")),
)
"""All rows that there can be; their numbers are those of the tasks in a journal."""


def beside(
    subject: Subject,
    result: Compression,
    how: Mapping[str, Any],
    rivals: Sequence[str] = (),
    journal: Path | None = None,
) -> tuple[list[Row], dict[str, str]]:
    """Rows of the original, the result and controls, and omitted ones with reasons.

    Controls lose as many units of the same layers: without repair, by other methods, and of a re-initialised network,
    which agrees with itself the more, the fewer classes it predicts. Named `rivals` stand with and without repair;
    interpolative decomposition chooses its own sizes, of as many units or FLOPs together. Rows in the journal were
    finished before.
    """
    plan = _Beside(subject, result, how, rivals)
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    with opened(None if journal is None else Journal(journal, plan.digest, Noted)) as book:
        for name, document in plan.documents(book):
            if "reason" in document:
                skipped[name] = document["reason"]
            else:
                rows.append({"network": name, **document})
    return rows, skipped


@dataclass(eq=False)
class _Beside:
    """A compression and what its rows need, each measured at most once and only if a row needs it."""

    subject: Subject
    result: Compression
    how: Mapping[str, Any]
    rivals: Sequence[str]

    @property
    def digest(self) -> str:
        """Digest of all that the rows depend on, except which rivals there are."""
        removed = [[layer.layer, *layer.removed] for layer in self.result.layers]
        settings = replace(self.how["settings"], graph=None)
        facts = [network_digest(self.subject.network), self.result.method, self.result.budget, removed, settings]
        return digest_of([*facts, self.options.seed, self.options.batch, self.subject.held_out, self.subject.facts])

    @property
    def options(self) -> RunOptions:
        options: RunOptions = self.how["options"]
        return options

    @cached_property
    def gone(self) -> Gone:
        """Units that each layer lost."""
        return {layer.layer: len(layer.removed) for layer in self.result.layers if layer.removed}

    @cached_property
    def bench(self) -> Bench:
        return Bench(self.subject.network, self.subject, self.options)

    @cached_property
    def shrinker(self) -> Shrinker:
        return self._shrinker(self.subject.network)

    def _shrinker(self, network: nn.Module) -> Shrinker:
        settings = replace(self.how["settings"], distill=0, graph=None, layers=tuple(self.gone))
        return Shrinker.of(network, self.subject.loaders["train"], settings, self.options)

    def documents(self, book: Book) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names of the rows, and their figures or the reason why there are none."""
        repaired = self.how["settings"].repair
        yield ORIGINAL, self._row(book, ORIGINAL, lambda: self.subject.network)
        yield COMPRESSED, self._row(book, COMPRESSED, lambda: self.result.network)
        if repaired:
            yield PLAIN, self._row(book, PLAIN, lambda: self._rival(self.result.method, False))
        for method in self.rivals or CONTROLS:
            if method == self.result.method:
                continue
            document = self._row(book, method, lambda method=method: self._rival(method))
            yield method, document
            if self.rivals and repaired and "reason" not in document:
                name = f"{method} {PLAIN}"
                yield name, self._row(book, name, lambda method=method: self._rival(method, False))
        yield UNTRAINED, noted(book, ROWS.index(UNTRAINED), self._untrained)

    def _row(self, book: Book, name: str, network: Any) -> dict[str, Any]:
        """Figures of a network, measured unless the journal has them."""

        def measure() -> dict[str, Any]:
            try:
                return self.bench.measure(network()).row()
            except (LayerError, MissingPackageError) as error:
                if name in (ORIGINAL, COMPRESSED, PLAIN):
                    raise
                return {"reason": str(error)}

        return noted(book, ROWS.index(name), measure)

    def _rival(self, method: str, repaired: bool | None = None) -> nn.Module:
        """The network of the same size that a method makes."""
        plan = known(method)
        curves = plan.curves(self.shrinker.evidence)
        sizes = self.gone
        if method in OWN_SIZES and method != self.result.method:
            sizes = own_sizes(self.shrinker, plan, curves, self.gone, self.result.budget)
        return self.shrinker.network(curves, sizes, repaired)

    def _untrained(self) -> dict[str, Any]:
        """Figures of a re-initialised network after the same compression."""
        fresh = reinitialised(self.subject.network, self.options.seed).model
        other = self._shrinker(fresh)
        network = other.network(known(self.result.method).curves(other.evidence), self.gone)
        return Bench(fresh, self.subject, self.options).measure(network).row()


def own_sizes(shrinker: Shrinker, plan: Method, curves: Curves, gone: Gone, budget: Mapping[str, Any]) -> Gone:
    """Sizes that a method chooses itself within a number of units or FLOPs."""
    if "flops" in budget:
        share = shrinker.flops(gone) / shrinker.flops(dict.fromkeys(gone, 0))
        return for_flops(plan.priced(curves, shrinker.prices()), curves, share, shrinker.flops)
    return first(plan.steps(curves), curves, sum(gone.values()))
