"""The trial equals a slow transcription of its definitions, integer for integer, on random graphs and networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ndg.abstraction.controls import CONTROLS, GRAPH
from ndg.abstraction.definitions import INTERVENTIONS
from ndg.abstraction.trial import trials
from ndg.graph.ndg import NDG
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace
from tests.references import trial as slow

UNITS = 5


class Net(nn.Module):
    """Four inputs, five sigmoid latents, a decoder."""

    def __init__(self, labels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Linear(4, UNITS), nn.Sigmoid())
        self.decoder = nn.Sequential(nn.Linear(UNITS, 8), nn.Tanh(), nn.Linear(8, labels))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))


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
    return NDG(
        Implications(
            nodes=nodes,
            antecedents=pairs[:, 0].copy(),
            consequents=pairs[:, 1].copy(),
            exceptions=np.zeros(len(pairs), np.int64),
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


def compare(graph: NDG, labels: int, seed: int, draws: int) -> dict[str, int]:
    """Assert that both agree, and say what occurred."""
    net = Net(labels, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(40, 4, generator=generator)
    with torch.no_grad():
        true = net(inputs).argmax(dim=1)
    wrong = torch.rand(40, generator=generator) < 0.25
    true = torch.where(wrong, torch.randint(labels, (40,), generator=generator), true)
    found = trials(
        net, graph, [(inputs, true)], list(INTERVENTIONS), layer="encoder", seed=draws, batch=16, executor="serial"
    )

    @torch.no_grad()
    def front(x: np.ndarray) -> np.ndarray:
        return net.encoder(torch.from_numpy(x)[None])[0].numpy()

    @torch.no_grad()
    def back(h: np.ndarray) -> np.ndarray:
        return net.decoder(torch.from_numpy(h)[None])[0].numpy()

    occurred: dict[str, int] = {}
    for name in INTERVENTIONS:
        expected = slow.trial(graph.implications, "encoder", front, back, inputs.numpy(), true.tolist(), name, draws)
        result = found[name]
        empty = dict.fromkeys(slow.COUNTS, 0)
        assert {control: tally.to_dict() for control, tally in result.controls.items()} == {
            control: expected[(control,)] for control in (GRAPH, *CONTROLS)
        }
        for role, tallies in (("true", result.by_class), ("alternative", result.by_alternative)):
            assert [tally.to_dict() for tally in tallies] == [
                expected.get((GRAPH, role, label), empty) for label in range(labels)
            ]
        for tally in result.controls.values():
            for count, value in tally.to_dict().items():
                occurred[count] = occurred.get(count, 0) + value
    return occurred


@pytest.mark.parametrize(("labels", "edges"), [(2, 4), (2, 9), (3, 0), (3, 6), (3, 11), (5, 8), (5, 16)])
def test_every_count_equals_the_transcription(labels, edges):
    for seed in range(3):
        compare(random_graph(labels, edges, 10 * edges + seed), labels, seed, draws=seed)


def test_the_random_cases_reach_every_count():
    total: dict[str, int] = {}
    for seed in range(12):
        for count, value in compare(random_graph(3, 7, seed), 3, seed, draws=1).items():
            total[count] = total.get(count, 0) + value
    assert all(total[count] for count in slow.COUNTS), total
