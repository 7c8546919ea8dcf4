"""A network trained until a vote graph says truly what it does, beside controls.

The graph is mined from the network, the network is trained towards it (`ndg.causal.towards`), and the graph is mined
again. Controls are trained as long: on real examples only, towards the votes of other units, and with the latents
frozen. High interchange accuracy at a lower accuracy on real examples would be cheap: both stand in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from ndg import discovery
from ndg.activations.batches import compute_batches, fixed, forward
from ndg.activations.digest import weights_digest
from ndg.activations.labels import true_labels
from ndg.activations.sampling import count, subset
from ndg.bits.matrix import BitMatrix
from ndg.causal import control_votes
from ndg.causal.accuracy import AccuracyRow, AccuracySettings, Bootstrap, fitted_on_hybrids, held_pairs
from ndg.causal.certificates import PROVED, Certificates, CertifySettings, smallest
from ndg.causal.towards import Examples, FaithfulSettings, Way, trained_towards
from ndg.errors import ConfigError, DataError, GraphError, LayerError, check_kind
from ndg.extraction import extract
from ndg.graph.ndg import NDG
from ndg.graph.votes import Votes
from ndg.options import RunOptions
from ndg.progress import log
from ndg.results import Result, Row, named
from ndg.run_study import check_model, check_order, placed

ORIGINAL, REAL_ONLY = "original network", "real examples only"
FAITHFUL, FROZEN = "towards the votes", "towards the votes, latents frozen"
SHUFFLED, SHUFFLED_FROZEN = "towards shuffled votes", "towards shuffled votes, latents frozen"
CONTROLS = (REAL_ONLY, FROZEN, SHUFFLED, SHUFFLED_FROZEN)


@dataclass(frozen=True)
class FaithfulRow:
    """One network: accuracy, and interchange accuracy by two sets of votes.

    These are the votes of its training, and votes mined again.

    `graph` and `again` are rates on held-out pairs; `accuracy` is (right, test examples).
    """

    name: str
    graph: AccuracyRow
    again: AccuracyRow
    edges: int
    accuracy: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Faithful(Result):
    """The network trained towards the votes of `graph`, votes mined again, and a table with controls.

    `certificates` are those of the trained network in the order of the votes mined again; None where its rest cannot be
    certified.
    """

    network: nn.Module
    graph: Votes
    votes: Votes
    table: tuple[FaithfulRow, ...]
    certificates: Certificates | None

    def __getitem__(self, name: str) -> FaithfulRow:
        return named(self.table, name)

    def rows(self) -> list[Row]:
        return [
            {
                "network": row.name,
                **_rates("iia", row.graph),
                **_rates("again", row.again),
                "edges": row.edges,
                "neither": row.again.neither[0] / row.again.neither[1] if row.again.neither[1] else None,
                "accuracy": row.accuracy[0] / row.accuracy[1],
                "n_pairs": row.again.right[1],
                "n_test": row.accuracy[1],
            }
            for row in self.table
        ]

    def context(self) -> Row:
        return {"layer": self.graph.layer, "edges": self.graph.edges, "certified_size": self.certified_size}

    @property
    def accuracy_loss(self) -> float:
        """Accuracy lost against training as long on real examples only."""
        (own, n), (real, _) = self[FAITHFUL].accuracy, self[REAL_ONLY].accuracy
        return (real - own) / n

    @property
    def certified_size(self) -> float | None:
        """Mean size of the sets that are proved to decide a label.

        None without any.
        """
        proofs = () if self.certificates is None else self.certificates.certificates
        sizes = [len(proof.members) for proof in proofs if proof.status == PROVED]
        return float(np.mean(sizes)) if sizes else None

    def words(self) -> str:
        own, before, real = self[FAITHFUL], self[ORIGINAL], self[REAL_ONLY]
        low, high = own.again.interval
        text = (
            f"After training towards {self.graph.edges} votes of {self.graph.layer}, {own.edges} votes mined again "
            f"predict the network's label in {_share(own.again):.3f} of {own.again.right[1]:,} interchanges (95 % "
            f"interval {low:.3f} to {high:.3f}), {_share(before.again):.3f} before and {_share(real.again):.3f} after "
            f"training as long on real examples only; accuracy {own.accuracy[0] / own.accuracy[1]:.4f} against "
            f"{real.accuracy[0] / real.accuracy[1]:.4f} (n = {own.accuracy[1]:,})."
        )
        if self.certificates is not None:
            text += f" {self.certificates.words()}"
        return text


def train_faithful(
    model: nn.Module,
    graph: Votes,
    fit: Iterable[Any],
    test: Iterable[Any],
    *,
    like: BitMatrix | NDG | None = None,
    settings: FaithfulSettings = FaithfulSettings(),
    controls: Sequence[str] = CONTROLS,
    options: RunOptions = RunOptions(),
) -> Faithful:
    """A copy of a network trained towards votes, judged on pairs of `test` beside controls.

    The parameters after the votes' layer and, unless `frozen`, those of the last module with parameters up to it are
    trained, on `fit` with its true labels and on hybrids with the labels of the votes; the units of the layer become
    off or on. Nothing is chosen on `test`. `like` gives thresholds, as in `recombine`; `controls` are those that are
    trained too, besides the one on real examples only.

    Raises ConfigError for an unknown control; GraphError for votes of another network; LayerError for a layer that is
    unknown, not before the logits or not (example, unit); DataError for fewer than two examples, without true labels,
    or for a label without examples.
    """
    check_model(model)
    check_kind(graph, Votes, "a network is trained towards votes", "pass the value of ndg.votes", GraphError)
    check_order(fit)
    if count(fit) < 2:
        raise DataError(f"a hybrid takes units of another example; `fit` gave {count(fit)}; give at least 2")
    model, layer = placed(model, options), graph.layer
    if graph.network not in ("", weights_digest(model)):
        raise GraphError(
            f"a network is trained towards votes of its own, of digest {graph.network}; got a network of digest "
            f"{weights_digest(model)}; mine votes of this network"
        )
    some = subset(fit, settings.examples, options.seed)
    plain = extract(model, some, [layer], options=options) if like is None else extract(model, some, like=like)
    units = plain.nodes.slice(layer)
    shape = plain.nodes.labels, units.stop - units.start
    if graph.weights.shape != shape:
        raise GraphError(
            f"votes of {layer!r} are of this network's {shape[0]} labels and {shape[1]} units; got "
            f"{graph.weights.shape[0]} and {graph.weights.shape[1]}; mine votes of this network"
        )
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown:
        raise ConfigError(f"controls are {', '.join(CONTROLS)}; got {unknown[0]!r}; leave them out for all")
    shuffled = control_votes.shuffled(graph, options.seed)
    ways = {
        FAITHFUL: Way(graph, settings.frozen, binary=True),
        REAL_ONLY: Way(None, frozen=False, binary=False),
        FROZEN: Way(graph, frozen=True, binary=True),
        SHUFFLED: Way(shuffled, frozen=False, binary=True),
        SHUFFLED_FROZEN: Way(shuffled, frozen=True, binary=True),
    }
    ways = {name: way for name, way in ways.items() if name in (FAITHFUL, REAL_ONLY, *controls)}
    examples = Examples.of(model, fit, layer, plain, options)
    judge = _Judge(some, subset(test, settings.examples, options.seed), test, plain, layer, settings, options)
    row, _ = judge.row(ORIGINAL, model, graph)
    table, networks, mined = [row], {}, {}
    for name, way in ways.items():
        log.info(f"training: {name}")
        networks[name] = trained_towards(model, examples, way, settings, options)
        row, mined[name] = judge.row(name, networks[name], graph if way.votes is None else way.votes)
        table.append(row)
    network, votes = networks[FAITHFUL], mined[FAITHFUL]
    certificates = judge.certificates(network, votes)
    return Faithful(network, graph, votes, tuple(table), certificates)


@dataclass(frozen=True, eq=False)
class _Judge:
    """Examples and settings by which every network of the table is judged."""

    fit: Iterable[Any]
    pairs: Iterable[Any]
    test: Iterable[Any]
    plain: BitMatrix
    layer: str
    settings: FaithfulSettings
    options: RunOptions

    def row(self, name: str, network: nn.Module, graph: Votes) -> tuple[FaithfulRow, Votes]:
        """The row of a network, and the votes mined from it."""
        settings, layer, options = self.settings, self.layer, self.options
        accuracy = AccuracySettings(fit=settings.fit, pairs=settings.pairs, per_label=settings.per_label)
        bits = self._bits(network)
        votes = fitted_on_hybrids(network, self.fit, bits, layer, accuracy, options)
        held = held_pairs(network, self.pairs, bits, layer, accuracy, options)
        if not (held.base != held.source).any():
            raise DataError("an interchange needs two different labels; no pair of `test` has; give more examples")
        boot = Bootstrap(held, options.seed)
        graph_row, again = (boot.row(name, each.predict(held.bits) == held.label, None) for each in (graph, votes))
        right = _right(network, self.test, bits.nodes.labels, options)
        return FaithfulRow(name, graph_row, again, votes.edges, right), votes

    def certificates(self, network: nn.Module, votes: Votes) -> Certificates | None:
        """The smallest certified sets of each label, in the order of its votes."""
        graph = discovery.mine(self._bits(network), "paper", alpha=2)
        orders = {label: votes.order(label) for label in range(len(votes.bias))}
        try:
            return smallest(
                network, graph, self.fit, self.layer, orders, settings=CertifySettings(), options=self.options
            )
        except LayerError as error:
            log.info(f"no certificates: {error}")
            return None

    def _bits(self, network: nn.Module) -> BitMatrix:
        return extract(network, self.fit, like=self.plain, options=replace(self.options, journal=None))


def _right(network: nn.Module, loader: Iterable[Any], labels: int, options: RunOptions) -> tuple[int, int]:
    """Examples that a network classifies correctly, of how many."""
    right = total = 0
    with fixed(network, options.threads):
        for batch in compute_batches(loader, options.batch):
            if batch.labels is None:
                raise DataError("accuracy needs the true labels; pass a loader of (inputs, labels)")
            true = true_labels(batch.labels, batch.count, labels)
            label = forward(network, batch.inputs)[: batch.count].argmax(dim=1).cpu()
            right, total = right + int((label == true).sum()), total + batch.count
    return right, total


def _rates(name: str, row: AccuracyRow) -> Row:
    return {name: _share(row), f"{name}_low": row.interval[0], f"{name}_high": row.interval[1]}


def _share(row: AccuracyRow) -> float:
    return row.right[0] / row.right[1]
