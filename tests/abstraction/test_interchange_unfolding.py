"""The unfolded graph beside the intervened network, node by node."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndg import seeds
from ndg.abstraction.interchange import unfolding
from ndg.abstraction.interchange.run import InterchangeSettings
from ndg.abstraction.interchange.study import GRAPH
from ndg.abstraction.interchange.unfolding import FIELDS
from ndg.errors import ConfigError, GraphError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references import interchange as slow
from tests.references.graph_cases import edges_of, implications

ROWS, SEED = 40, 2


class Chain(nn.Module):
    """Two saturated latents; behind them their OR, their AND and the first negated; the prediction is the OR."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.first = nn.Linear(2, 2), nn.Sigmoid()
        self.gates, self.second, self.out = nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2)
        with torch.no_grad():
            self.encoder.weight.copy_(40 * torch.eye(2))
            self.encoder.bias.fill_(-20)
            self.gates.weight.copy_(40 * torch.tensor([[1.0, 1], [1, 1], [-1, 0]]))
            self.gates.bias.copy_(torch.tensor([-20.0, -60, 20]))
            self.out.weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
            self.out.bias.copy_(torch.tensor([0.5, 0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.second(self.gates(self.first(self.encoder(x)))))


TRUE = [
    ("first:0", "second:0"),
    ("first:1", "second:0"),
    ("second:1", "first:0"),
    ("second:1", "first:1"),
    ("first:0", "~second:2"),
    ("~first:0", "second:2"),
    ("second:0", "label:1"),
    ("~second:0", "label:0"),
    ("label:0", "~label:1"),
    ("~label:0", "label:1"),
]


def chain(texts: list[tuple[str, str]] = TRUE) -> tuple[Chain, NDG, list[Tensor]]:
    nodes = NodeSpace(2, (LayerUnits("first", 2), LayerUnits("second", 3)))
    inputs = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(ROWS // 4, 1)
    a, b = inputs.numpy().T > 0.5
    bits = np.stack([~(a | b), a | b, a, b, a | b, a & b, ~a], axis=1)
    edges = [(nodes.literal(p).code, nodes.literal(q).code) for p, q in texts]
    return Chain(), NDG(replace(implications(bits, nodes, edges), thresholds=np.full(5, 0.5))), [inputs]


OWN = {"one": ["first:0"], "both": ["first:0", "first:1"], "none": []}


def test_true_rules_agree_with_the_network_wherever_they_decide():
    model, graph, loader = chain()
    result = unfolding(
        model,
        graph,
        loader,
        "first",
        settings=InterchangeSettings(sets=["layer"], units=OWN),
        options=RunOptions(seed=SEED, executor="serial"),
    )
    for row in result.rows("layer"):
        if row["control"] == GRAPH:
            assert row["decided"] > 0
            assert row["agree"] == 1.0, row
    negated = result.row("both", "second:2")
    assert negated["coverage"] == 1.0
    assert 0.2 < negated["base"] < 0.8
    assert negated["moved"] == 1.0
    assert negated["n_moved"] == negated["n_moved_decided"] > 0
    conjunction = result.row("both", "second:1")  # off follows from one latent that is off, on from nothing
    assert 0 < conjunction["coverage"] < 1
    assert result.row("none", "label")["base_all"] == 1.0
    assert result.row("none", "second")["n_moved"] == 0


def test_rules_that_hold_and_do_not_cause_are_told_from_those_that_do():
    """The rule "the conjunction is the first latent" holds where the second is on; swapped apart, it does not."""
    model, graph, loader = chain([*TRUE, ("first:0", "second:1")])
    row = unfolding(
        model,
        graph,
        loader,
        "first",
        settings=InterchangeSettings(sets=(), units=OWN),
        options=RunOptions(seed=SEED, executor="serial"),
    ).row("one", "second:1")
    assert row["agree"] < 1.0
    assert row["agree_low"] < row["agree"] < row["agree_high"]


@pytest.mark.parametrize("case", range(4))
def test_counts_equal_the_transcription(case):
    rng = np.random.default_rng(case)
    nodes = chain()[1].nodes
    drawn = [(int(p), int(q)) for p, q in rng.integers(0, 14, (6, 2)) if p >> 1 != q >> 1]
    texts = [tuple(("" if code & 1 else "~") + nodes.name(code >> 1) for code in pair) for pair in drawn]
    model, graph, loader = chain([*TRUE[:3], *texts])
    result = unfolding(
        model,
        graph,
        loader,
        "first",
        settings=InterchangeSettings(sets=(), units=OWN),
        options=RunOptions(seed=case, executor="serial", batch=16),
    )
    inputs, edges = loader[0], edges_of(graph)
    words = seeds.words(case, "source", examples=np.arange(ROWS), draws=1)[:, 0]

    @torch.no_grad()
    def values(first: Tensor) -> list[bool]:
        second = model.second(model.gates(first))
        label = int(model.out(second).argmax())
        return [label == 0, label == 1, *(first > 0.5).tolist(), *(second > 0.5).tolist()]

    with torch.no_grad():
        first = model.first(model.encoder(inputs))
    for name, units in OWN.items():
        expected = np.zeros((len(FIELDS), 7), np.int64)
        own = [graph.nodes.index(unit) for unit in units]
        for base in range(ROWS):
            source = int(words[base] % np.uint64(ROWS))
            mixed = first[base].clone()
            for node in own:
                mixed[node - 2] = first[source, node - 2]
            before, after, given = values(first[base]), values(mixed), values(first[source])
            whole = slow.unfolded(
                14,
                edges,
                {2 * node + given[node] for node in own},
                {2 * node + on for node, on in enumerate(before)},
                {2, 3},
            )
            for node in (0, 1, 4, 5, 6):
                says = slow.value(node, whole)
                clear, agree, same = says >= 0, says == after[node], before[node] == after[node]
                facts = (1, clear, agree, same, same and clear, not same, not same and clear, not same and agree)
                expected[:, node] += np.array(facts, np.int64)
        assert np.array_equal(result.counts[f"{name}|{GRAPH}"], expected), name


def test_rows_by_node_add_up_to_those_by_layer():
    model, graph, loader = chain()
    result = unfolding(
        model,
        graph,
        loader,
        ["first"],
        settings=InterchangeSettings(split="test"),
        options=RunOptions(seed=SEED, executor="serial", batch=7),
    )
    by_node, by_layer = result.frame(), result.frame("layer")
    assert set(by_layer["node"]) == {"label", "second"}
    assert set(by_node["node"]) == {"label:0", "label:1", "second:0", "second:1", "second:2"}
    by_node["layer"] = by_node["node"].str.partition(":")[0]
    keys = ["set", "control", "layer"]
    summed = by_node.groupby(keys)[["all", "decided", "n_moved"]].sum()
    told = by_layer.rename(columns={"node": "layer"}).set_index(keys)[["all", "decided", "n_moved"]]
    assert summed.sort_index().equals(told.sort_index())
    assert len(result.words().splitlines()) == 2 * len(result.families)
    json.dumps([result.to_dict(), *result.rows()], allow_nan=False)
    loaders = ([loader[0][at : at + 1] for at in range(ROWS)], [loader[0][:9], loader[0][9:]])
    assert all(
        unfolding(
            model,
            graph,
            given,
            "first",
            settings=InterchangeSettings(split="test"),
            options=RunOptions(seed=SEED, executor="serial", batch=7),
        )
        == result
        for given in loaders
    )


def test_units_of_a_later_layer_are_compared_where_they_are_not_swapped():
    model, graph, loader = chain()
    own = {"two": ["first:0", "second:1"]}
    result = unfolding(
        model,
        graph,
        loader,
        ["first", "second"],
        settings=InterchangeSettings(sets=(), units=own),
        options=RunOptions(seed=SEED, executor="serial"),
    )
    assert [row["all"] for row in result.rows() if row["control"] == GRAPH] == [ROWS] * 4
    assert "second:1" not in {row["node"] for row in result.rows()}


def test_what_is_asked_for_must_exist():
    model, graph, loader = chain()
    result = unfolding(model, graph, loader, "first", options=RunOptions(seed=SEED, executor="serial"))
    with pytest.raises(ConfigError, match="told by node or by layer; got 'unit'"):
        result.rows("unit")
    with pytest.raises(ConfigError, match=r"did not count 'layer\|random set'; nearest"):
        result.row("layer", "label", "random set")
    with pytest.raises(GraphError, match="no layer 'third' in this graph"):
        unfolding(model, graph, loader, "third")
    with pytest.raises(GraphError, match="no layer 'other'"):
        result.row("layer", "other:1")
