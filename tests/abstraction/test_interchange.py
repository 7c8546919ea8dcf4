"""Interchange on networks built by hand and against a slow transcription."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg import seeds
from ndg.abstraction.interchange import InterchangeResult, interchange, shuffled
from ndg.abstraction.interchange.run import InterchangeSettings
from ndg.abstraction.interchange.study import AMONG, FIELDS, GRAPH, RANDOM_SET, SHUFFLED
from ndg.activations.sampling import draw
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references import interchange as slow
from tests.references.graph_cases import edges_of, implications

CLASSES, COPIES, ROWS, SEED = 4, 3, 48, 5


class Planted(nn.Module):
    """Each class has three saturated latents that are on for it alone; a vote of them is the prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.latent = nn.Linear(CLASSES, CLASSES * COPIES), nn.Sigmoid()
        self.decoder = nn.Linear(CLASSES * COPIES, CLASSES)
        votes = torch.eye(CLASSES).repeat_interleave(COPIES, dim=1)
        with torch.no_grad():
            self.encoder.weight.copy_(40 * votes.T)
            self.encoder.bias.fill_(-20)
            self.decoder.weight.copy_(votes)
            self.decoder.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.latent(self.encoder(x)))


def planted() -> tuple[Planted, NDG, list[Tensor]]:
    """The network, the graph of what holds in it (each latent is its class, and no other), and inputs."""
    nodes = NodeSpace(CLASSES, (LayerUnits("latent", CLASSES * COPIES),))
    true = np.arange(ROWS) % CLASSES
    labels = np.eye(CLASSES, dtype=np.bool_)[true]
    bits = np.concatenate([labels, labels.repeat(COPIES, axis=1)], axis=1)
    edges = []
    for label in range(CLASSES):
        units = [2 * (CLASSES + COPIES * label + copy) + 1 for copy in range(COPIES)]
        edges += [(p, q) for p in (*units, 2 * label + 1) for q in (*units, 2 * label + 1) if p != q]
        edges += [(p, 2 * (CLASSES + COPIES * other)) for p in units for other in range(CLASSES) if other != label]
    graph = NDG(replace(implications(bits, nodes, edges), thresholds=np.full(nodes.neurons, 0.5)))
    return Planted(), graph, [torch.from_numpy(labels).float()]


def counted(result: InterchangeResult) -> dict[str, list]:
    return result.counts.to_dict()


class Features(nn.Module):
    """Three saturated latents are the first input, three the second; most of the first three are the prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = nn.Linear(2, 2 * COPIES), nn.Sigmoid(), nn.Linear(2 * COPIES, 2)
        with torch.no_grad():
            self.encoder.weight.copy_(40 * torch.eye(2).repeat_interleave(COPIES, dim=0))
            self.encoder.bias.fill_(-20)
            self.decoder.weight.copy_(torch.tensor([[0.0] * 2 * COPIES, [1.0] * COPIES + [0.0] * COPIES]))
            self.decoder.bias.copy_(torch.tensor([0.0, -COPIES / 2]))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.latent(self.encoder(x)))


def features() -> tuple[Features, NDG, list[Tensor]]:
    """The network, its two equivalence classes, the first with both labels, and all inputs equally often."""
    inputs = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(ROWS // 4, 1)
    on = inputs.numpy() > 0.5
    bits = np.concatenate([~on[:, :1], on[:, :1], on.repeat(COPIES, axis=1)], axis=1)
    nodes = NodeSpace(2, (LayerUnits("latent", 2 * COPIES),))
    first, second = [0, *(2 * node + 1 for node in range(1, 2 + COPIES))], [2 * (2 + COPIES + k) + 1 for k in range(3)]
    edges = [(p, q) for part in (first, second) for p in part for q in part if p != q and max(p, q) > 3]
    return Features(), NDG(replace(implications(bits, nodes, edges), thresholds=np.full(2 * COPIES, 0.5))), [inputs]


def test_a_network_built_by_hand_reaches_an_iia_of_one():
    """Swapping the first class moves the label, swapping the second does not: neither constant predictor knows."""
    model, graph, loader = features()
    result = interchange(model, graph, loader, options=RunOptions(seed=SEED, executor="serial", batch=32))
    for family in ("equivalence", "ancestors", "layer"):
        for among in AMONG:
            row = result.row(family, among=among)
            assert row["coverage"] == row["iia"] == 1.0, family
            assert row["pairs"] == row["decided"] > 10
    differ = result.row("equivalence")
    assert 0.2 < differ["base_label"] < 0.8
    assert differ["base_label"] + differ["source_label"] == 1.0
    assert differ["over_better_low"] > 0
    assert "better than saying the" in result.words().splitlines()[0]
    assert result.row("layer")["source_label"] == result.row("ancestors")["source_label"] == 1.0
    assert "no better than saying the source label" in result.words().splitlines()[1]
    parted = result.row("equivalence", RANDOM_SET)
    assert parted["units"] == COPIES
    assert parted["iia"] < 1.0, "parts of the first class are outvoted"
    assert result.without_ancestors == ()


def test_an_implication_that_holds_and_does_not_cause_is_found_out():
    """One class on implies the others off, but writing it on leaves the others on: the vote is a tie."""
    model, graph, loader = planted()
    result = interchange(model, graph, loader, options=RunOptions(seed=SEED, executor="serial"))
    assert result.row("layer")["iia"] == result.row("ancestors")["iia"] == 1.0
    assert 0 < result.row("equivalence")["iia"] < 1


def test_sets_of_ones_own_are_counted_as_the_transcription_does():
    model, graph, loader = planted()
    own = {"one copy of class 0": ["latent:0"], "nothing": []}
    result = interchange(
        model,
        graph,
        loader,
        settings=InterchangeSettings(sets=(), units=own),
        options=RunOptions(seed=SEED, executor="serial"),
    )
    assert result.families == tuple(own)
    row = result.row("one copy of class 0")
    assert row["units"] == 1
    slow_rows(model, graph, loader, result, {name: [graph.nodes.index(unit) for unit in own[name]] for name in own})


def slow_rows(model, graph, loader, result, sets) -> None:
    """Every count of sets that are the same for all pairs, pair by pair."""
    inputs = torch.cat(loader)
    nodes, edges = graph.nodes, edges_of(graph)
    labels = nodes.labels
    with torch.no_grad():
        latent = model.latent(model.encoder(inputs))
        label = model(inputs).argmax(dim=1).tolist()
    values = [[own == c for c in range(labels)] + (row > 0.5).tolist() for own, row in zip(label, latent, strict=True)]
    words = seeds.words(result.seed, "source", examples=np.arange(len(inputs)), draws=1)[:, 0]
    for name, units in sets.items():
        expected = np.zeros((3, len(FIELDS)), np.int64)
        for base in range(len(inputs)):
            source = int(words[base] % np.uint64(len(inputs)))
            mixed = latent[base].clone()
            for node in units:
                mixed[node - labels] = latent[source, node - labels]
            with torch.no_grad():
                after = int(model.decoder(mixed).argmax())
            says = slow.predicted(2 * len(nodes), labels, edges, set(units), values[source], values[base])
            decided, right = says >= 0, says == after
            is_base, is_source = label[base] == after, label[source] == after
            facts = {
                "pairs": 1,
                "decided": decided,
                "right": right,
                "differ": label[base] != label[source],
                "differ_decided": decided and label[base] != label[source],
                "base_right": is_base,
                "base_right_decided": is_base and decided,
                "source_right": is_source,
                "source_right_decided": is_source and decided,
                "only_graph_not_base": right and not is_base,
                "only_base_not_graph": decided and is_base and not right,
                "only_graph_not_source": right and not is_source,
                "only_source_not_graph": decided and is_source and not right,
                "units": len(units),
                "units_changed": sum(values[base][node] != values[source][node] for node in units),
            }
            for among in (0 if facts["differ"] else 1, 2):
                for fact, value in facts.items():
                    expected[among, FIELDS.index(fact)] += int(value)
        found = result.counts[f"{name}|{GRAPH}"]
        why = [FIELDS.index(field) for field in ("no_label", "several_labels", "contradictory")]
        for field in FIELDS:
            if FIELDS.index(field) not in why:
                at = FIELDS.index(field)
                assert found[:, at].tolist() == expected[:, at].tolist(), (name, field)
        assert np.array_equal(found[:, why].sum(axis=1), found[:, 0] - found[:, 1])


class Net(nn.Module):
    """Four inputs, five latents, labels."""

    def __init__(self, labels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder, self.latent, self.decoder = nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, labels)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.latent(self.encoder(x)))


def random_graph(labels: int, edges: int, seed: int) -> NDG:
    rng = np.random.default_rng(seed)
    nodes = NodeSpace(labels, (LayerUnits("latent", 5),))
    drawn = rng.integers(0, 2 * len(nodes), (edges, 2))
    bits = rng.random((30, len(nodes))) < 0.5
    pairs = [(int(p), int(q)) for p, q in drawn if p >> 1 != q >> 1]
    return NDG(replace(implications(bits, nodes, pairs), thresholds=np.full(5, 0.5)))


@pytest.mark.parametrize(("labels", "edges"), [(2, 3), (2, 8), (3, 4), (3, 7), (4, 6)])
def test_predictions_equal_the_transcription_on_random_graphs(labels, edges):
    decided = 0
    for seed in range(2):
        graph, model = random_graph(labels, edges, 100 * edges + seed), Net(labels, seed)
        inputs = [torch.randn(18, 4, generator=torch.Generator().manual_seed(seed))]
        rng = np.random.default_rng(seed)
        sets = {
            f"set {size}": [f"latent:{unit}" for unit in rng.permutation(5)[:size].tolist()] for size in (0, 1, 3, 5)
        }
        result = interchange(
            model,
            graph,
            inputs,
            settings=InterchangeSettings(sets=(), units=sets),
            options=RunOptions(seed=seed, executor="serial", batch=16),
        )
        slow_rows(model, graph, inputs, result, {n: [graph.nodes.index(u) for u in own] for n, own in sets.items()})
        decided += sum(result.count(name, "decided", among="all") for name in sets)
    assert decided, "the cases must reach decided pairs"


def test_nothing_swapped_leaves_the_network_and_the_base_label_as_they_were():
    model, graph, loader = planted()
    result = interchange(
        model,
        graph,
        loader,
        settings=InterchangeSettings(sets=(), units={"nothing": []}),
        options=RunOptions(seed=SEED, executor="serial"),
    )
    for among in AMONG:
        row = result.row("nothing", among=among)
        assert row["base_label_all"] == 1.0
        assert row["units"] == row["units_changed"] == 0
        assert row["iia"] == row["base_label"] == row["coverage"] == 1.0


@pytest.mark.parametrize("seed", range(2))
def test_a_shuffled_graph_is_as_good_as_a_constant_predictor_or_decides_nothing(seed):
    model, graph, loader = planted()
    result = interchange(model, graph, loader, options=RunOptions(seed=seed, executor="serial"))
    for family in result.families:
        for among in AMONG:
            row = result.row(family, SHUFFLED, among)
            if row["coverage"] > 0:
                name = row["better"].replace(" ", "_")
                assert row[f"{name}_low"] <= row["iia"] <= row[f"{name}_high"]
        assert result.row(family)["iia"] is not None, "the graph itself decides"


def test_shuffling_moves_the_units_within_their_layers_and_nothing_else():
    _, graph, _ = planted()
    mixed = shuffled(graph, 1)
    assert mixed == shuffled(graph, 1) != shuffled(graph, 2)
    assert (len(mixed), mixed.nodes, len(mixed.classes)) == (len(graph), graph.nodes, len(graph.classes))
    assert np.array_equal(mixed.thresholds, graph.thresholds)
    place = {}
    for node in range(CLASSES, len(graph.nodes)):
        own = mixed.implications.with_label[:, node]
        place.setdefault(own.tobytes(), []).append(node)
    assert edges_of(mixed) != edges_of(graph)
    assert {sorted(map(len, place.values()))[0]} == {COPIES}
    assert np.array_equal(mixed.implications.on[:CLASSES], graph.implications.on[:CLASSES])
    precisions = [sorted(g.edges_frame()["precision"].tolist()) for g in (graph, mixed)]
    assert precisions[0] == precisions[1], "figures go with the units"


def test_pairs_that_are_given_are_taken_in_their_order():
    model, graph, loader = planted()
    other = [loader[0].flip(0)]
    sets = {"first class": [f"latent:{unit}" for unit in range(COPIES)]}
    result = interchange(
        model,
        graph,
        base=loader,
        source=other,
        settings=InterchangeSettings(units=sets),
        options=RunOptions(seed=1, executor="serial", batch=32),
    )
    label, source = loader[0].argmax(dim=1), other[0].argmax(dim=1)
    assert result.paired
    assert result.sources == ROWS
    assert result.count("layer", "differ", among="all") == int((label != source).sum())
    assert result.count("layer", "source_right", among="all") == ROWS
    halves = [loader[0][:50], loader[0][50:]], [other[0][:7], other[0][7:]]
    again = interchange(
        model,
        graph,
        base=halves[0],
        source=iter(halves[1]),
        settings=InterchangeSettings(units=sets),
        options=RunOptions(seed=1, executor="serial"),
    )
    assert counted(again) == counted(result)


def test_the_pool_is_drawn_from_the_loader():
    model, graph, loader = planted()
    result = interchange(
        model, graph, loader, settings=InterchangeSettings(pool=1), options=RunOptions(seed=SEED, executor="serial")
    )
    (only,) = draw(SEED, "pool", ROWS, 1)
    label = loader[0].argmax(dim=1)
    assert result.sources == 1
    assert result.count("layer", "differ", among="all") == int((label != label[only]).sum())
