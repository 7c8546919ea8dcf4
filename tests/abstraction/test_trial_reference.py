"""The trial equals a slow transcription of its definitions, integer for integer, on random graphs and networks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg.abstraction.controls import CONTROLS, GRAPH, PROTOTYPES
from ndg.abstraction.result import TrialResult
from ndg.abstraction.trial import TrialSettings, trials
from ndg.activations.batches import fixed
from ndg.graph.ndg import NDG
from ndg.interventions.intervention_sets import INTERVENTIONS
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references import trial as slow

UNITS = 5


class Net(nn.Module):
    """Four inputs, a layer of three, five sigmoid latents, a decoder."""

    def __init__(self, labels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.before = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
        self.encoder = nn.Sequential(nn.Linear(3, UNITS), nn.Sigmoid())
        self.decoder = nn.Sequential(nn.Linear(UNITS, 8), nn.Tanh(), nn.Linear(8, labels))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(self.before(x)))


def random_graph(labels: int, edges: int, seed: int) -> NDG:
    """Any implications with their contrapositives, over labels, a layer `before` and the layer `encoder`."""
    rng = np.random.default_rng(seed)
    nodes = NodeSpace(labels, (LayerUnits("before", 3), LayerUnits("encoder", UNITS)))
    drawn = rng.integers(0, 2 * len(nodes), (edges, 2))
    drawn = drawn[drawn[:, 0] >> 1 != drawn[:, 1] >> 1]
    pairs = np.unique(np.concatenate([drawn, drawn[:, ::-1] ^ 1]), axis=0).astype(np.int32)
    bits = rng.random((30, len(nodes))) < 0.5
    bits[:, :labels] = np.eye(labels, dtype=bool)[rng.integers(0, labels - (seed % 3 == 0), 30)]
    both = bits[:, :labels].T.astype(np.int64) @ bits.astype(np.int64)
    truth = np.stack([~bits, bits], axis=2).reshape(len(bits), -1)
    return NDG(
        Implications(
            nodes=nodes,
            antecedents=pairs[:, 0].copy(),
            consequents=pairs[:, 1].copy(),
            exceptions=(truth[:, pairs[:, 0]] & ~truth[:, pairs[:, 1]]).sum(axis=0),
            on=bits.sum(axis=0),
            with_label=both,
            examples=30,
            constants=(),
            criterion={"name": "given"},
            thresholds=np.full(nodes.neurons, 0.5),
            binarizer="half",
            bits_digest="",
        )
    )


@dataclass(frozen=True)
class Case:
    """A network, a graph of any implications, inputs and true classes, a quarter of them wrong."""

    net: Net
    graph: NDG
    inputs: Tensor
    true: Tensor

    @property
    def loader(self) -> list[tuple[Tensor, Tensor]]:
        return [(self.inputs, self.true)]

    @torch.no_grad()
    def front(self, x: np.ndarray) -> np.ndarray:
        return self.net.encoder(self.net.before(torch.from_numpy(x)[None]))[0].numpy()

    @torch.no_grad()
    def back(self, h: np.ndarray) -> np.ndarray:
        return self.net.decoder(torch.from_numpy(h)[None])[0].numpy()

    def slow(self, name: str, **settings: Any) -> slow.Trial:
        return slow.Trial(self.graph.implications, "encoder", self.front, self.back, name, **settings)

    def fast(self, seed: int, fit: Any = None, **settings: Any) -> dict[str, TrialResult]:
        options = RunOptions(batch=16, executor="serial", seed=seed)
        chosen = TrialSettings("encoder", **settings)
        return trials(self.net, self.graph, self.loader, list(INTERVENTIONS), fit=fit, settings=chosen, options=options)

    @property
    def asked(self) -> tuple[np.ndarray, list[int]]:
        return self.inputs.numpy(), self.true.tolist()


def case(labels: int, edges: int, seed: int, examples: int = 40) -> Case:
    net = Net(labels, seed % 97).eval()
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 4, generator=generator)
    with fixed(net):
        true = net(inputs).argmax(dim=1)
    wrong = torch.rand(examples, generator=generator) < 0.25
    true = torch.where(wrong, torch.randint(labels, (examples,), generator=generator), true)
    return Case(net, random_graph(labels, edges, seed), inputs, true)


def compare(of: Case, seed: int, slow_settings: dict[str, Any] | None = None, **settings: Any) -> Counter[str]:
    """Assert that both agree in every count of every control, class and draw, and say what occurred."""
    labels, empty = of.graph.nodes.labels, dict.fromkeys(slow.COUNTS, 0)
    occurred: Counter[str] = Counter()
    graphs = {name: graph.implications for name, graph in settings.get("graphs", {}).items()}
    for name, result in of.fast(seed, **settings).items():
        reference = of.slow(name, **(slow_settings or {}))
        expected = reference.tallies(*of.asked, seed, graphs)
        assert {control: tally.to_dict() for control, tally in result.controls.items()} == {
            control: expected[(control,)] for control in (GRAPH, *CONTROLS, *graphs)
        }
        for role, tallies in (("true", result.by_class), ("alternative", result.by_alternative)):
            assert [tally.to_dict() for tally in tallies] == [
                expected.get((GRAPH, role, label), empty) for label in range(labels)
            ]
        for further, drawn in enumerate(result.drawn, start=1):
            again = reference.tallies(*of.asked, seed + further)
            assert {control: tally.to_dict() for control, tally in drawn.items()} == {
                control: again[(control,)] for control in (GRAPH, *PROTOTYPES)
            }
        for tally in result.controls.values():
            occurred.update(tally.to_dict())
    return occurred


@pytest.mark.parametrize(("labels", "edges"), [(2, 6), (3, 0), (3, 11), (5, 16)])
def test_every_count_equals_the_transcription(labels, edges):
    for seed in range(2):
        compare(case(labels, edges, 10 * edges + seed), seed)


def test_the_random_cases_reach_every_count():
    total: Counter[str] = Counter()
    for seed in range(8):
        total += compare(case(3, 7, seed), 1)
    assert all(total[count] for count in slow.COUNTS), total


@pytest.mark.parametrize("beta", [0.6, 0.4])
def test_walking_backwards_equals_the_transcription(beta):
    differs = False
    for seed in range(2):
        of = case(3, 5, seed)
        compare(of, seed, {"beta": beta}, beta=beta)
        forward, backward = of.fast(seed), of.fast(seed, beta=beta)
        assert {result.beta for result in backward.values()} == {beta}
        assert {result.graph for result in backward.values()} == {of.graph.digest}
        differs |= any(forward[name].tally != backward[name].tally for name in INTERVENTIONS)
    assert differs


def test_written_means_equal_the_transcription():
    for seed in range(2):
        of = case(3, 7, seed)
        with fixed(of.net):
            activations = of.net.encoder(of.net.before(of.inputs)).numpy()
        written = slow.means(activations, activations > 0.5)
        compare(of, seed, {"written": written}, values="mean", fit=of.loader)


def test_control_graphs_and_further_draws_equal_the_transcription():
    graphs = {"reinitialised": random_graph(3, 9, 50), "none": random_graph(3, 0, 60)}
    compare(case(3, 7, 1), 1, graphs=graphs, draws=3)


def test_curves_equal_the_transcription():
    order = [3, 1, 4, 0, 2]
    for seed in range(2):
        of = case(3, 9, seed)
        for name, result in of.fast(seed, curve=True, orders={"scores": np.array(order)}).items():
            curve = result.curve
            assert curve.sizes == (0, 1, 2, 3, 4, 5)
            expected = of.slow(name).curve(*of.asked, seed, list(curve.sizes), {"scores": order})
            found = {
                order: [(row["neurons_set"], row["neurons_changed"], row["aligned"]) for row in curve.points(order)]
                for order in curve.names
            }
            assert found == expected
            assert curve.n == result.tally.correct
            last = curve.points(GRAPH)[-1]
            assert (last["neurons_set"], last["aligned"]) == (result.tally.neurons_set, result.tally.aligned)
