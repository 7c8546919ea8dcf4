"""Minimal interventions: equal to exhaustive search and to a slow transcription, the same however they are run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from ndg import executors
from ndg.abstraction.counts import Counts
from ndg.abstraction.minimal import minimal
from ndg.abstraction.minimal.result import ROWS
from ndg.abstraction.minimal.run import MinimalSettings, draw
from ndg.abstraction.minimal.search import Found, eliminate, exhaust, greedy, places, prefix
from ndg.errors import ConfigError, DataError, GraphError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references import minimal as slow

SERIAL = RunOptions(executor="serial")

UNITS = 10


def data(
    net: nn.Module, examples: int, seed: int, labels: int, wrong: float = 0.2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs, and the network's own predictions as labels but for some."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 4, generator=generator)
    with torch.no_grad():
        true = net(inputs).argmax(dim=1)
    changed = torch.rand(examples, generator=generator) < wrong
    return inputs, torch.where(changed, torch.randint(labels, (examples,), generator=generator), true)


def logits_of(net: nn.Module):
    """The logits of all sets of booleans, looked up."""
    every = list(product([False, True], repeat=UNITS))
    with torch.no_grad():
        table = dict(zip(every, net.decoder(torch.tensor(every, dtype=torch.float32)).numpy(), strict=True))
    return lambda bits: table[tuple(bits)]


CASES = [(0, "G.1"), (1, "G.1"), (2, "G.2"), (3, "Q")]


@cache
def case(seed: int, name: str):
    """A random network, graph and data, and what is found with a budget that admits all sets."""
    net, graph = slow.Net(3, UNITS, seed).eval(), slow.random_graph(3, UNITS, 14, seed)
    loader = [data(net, 20, seed, 3)]
    found = minimal(
        net,
        graph,
        loader,
        settings=MinimalSettings(intervention=name, budget=1024),
        options=RunOptions(seed=seed, batch=12, executor="serial"),
    )
    return net, graph, loader, found


@pytest.mark.parametrize(("seed", "name"), CASES)
def test_on_ten_neurons_everything_equals_the_slow_search_over_all_sets(seed, name):
    net, graph, [(inputs, true)], found = case(seed, name)
    with torch.no_grad():
        bits = (net.encoder(inputs) > 0.5).tolist()
        correct = (net(inputs).argmax(dim=1) == true).tolist()
    logits = logits_of(net)
    assert found.numbers.tolist() == slow.drawn(seed, correct, 500)
    assert found.exact().all()
    assert found.exact("within").all()
    sets = {row["example"]: row for row in found.sets()}
    for at, example in enumerate(found.numbers.tolist()):
        t, target = int(true[example]), slow.other(seed, example, int(true[example]), 3)
        kept = int(np.argmax(logits(bits[example]))) == t
        assert (found.counts["true"][at], found.counts["target"][at]) == (t, target)
        assert bool(found.kept[at]) == kept
        if not kept:
            assert example not in sets
            continue
        expected = slow.sizes(
            logits, graph.implications, "encoder", bits[example], example, t, target, name, seed, 1024
        )
        assert {key: int(found.counts[key][at]) for key in expected} == expected
        units = sets[example]["units"]
        assert len(units) == expected["any searched"]
        assert all(value != bits[example][unit] for unit, value in units.items())
        assert not units or int(np.argmax(logits(slow.flipped(bits[example], list(units))))) == target


def test_the_random_cases_reach_success_failure_and_examples_that_are_left_out():
    kept = [bool(one) for seed, name in CASES for one in case(seed, name)[-1].kept]
    sizes = [int(one) for seed, name in CASES for one in case(seed, name)[-1].sizes("graph", "prefix")]
    assert {False, True} == set(kept)
    assert 0 in sizes
    assert max(sizes) > 1


class Both(nn.Module):
    """Class 1 where the first two of three units are on, else class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.latent = nn.Sigmoid()
        self.head = nn.Linear(3, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([1.5, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.latent(20 * x))


def by_hand():
    bits = np.array([[a & b, a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], bool)
    nodes = NodeSpace(2, (LayerUnits("latent", 3),))
    labels = np.stack([~bits[:, 0], bits[:, 0]], axis=1)
    edges = [("label:1", "latent:0"), ("label:1", "latent:1")]
    return Both().eval(), slow.graph(np.concatenate([labels, bits[:, 1:]], axis=1), nodes, edges)


def test_a_network_worked_on_paper():
    net, graph = by_hand()
    inputs = torch.tensor([[-1.0, -1, 1], [1, -1, -1], [-1, 1, 1], [1, 1, -1]])
    true = torch.tensor([0, 0, 0, 1])
    found = minimal(net, graph, [(inputs, true)], options=SERIAL)
    assert [row["units"] for row in found.sets()] == [{0: True, 1: True}, {1: True}, {0: True}, {0: False}]
    assert all(row["exact"] for row in found.sets())
    for method, stage in ROWS:
        if method != "random":
            assert found.sizes(method, stage).tolist() == [2, 1, 1, 1]
    row = found.rows()[0]
    assert (row["success"], row["n"], row["compared"], row["median"], row["mean"]) == (1.0, 4, 4, 1.0, 1.25)


def test_without_the_graph_s_literals_the_graph_finds_nothing_and_the_search_does():
    net, graph = by_hand()
    bare = slow.graph(np.zeros((4, 5), bool), graph.nodes, [])
    found = minimal(net, bare, [(torch.tensor([[-1.0, -1, 1]]), torch.tensor([0]))], options=SERIAL)
    assert found.sizes("graph", "prefix").tolist() == [0]
    assert found.sizes("graph", "within").tolist() == [0]
    assert found.sizes().tolist() == [2]
    assert found.exact().all()
    assert "succeed together on none of 1 examples" in found.words()


def test_the_ranking_alone_finds_what_the_graph_s_edges_would_not_pick():
    """Without edges there is no candidate of the graph, and the same ranking goes on among all units that differ."""
    net, graph = by_hand()
    bare = NDG(
        replace(
            graph.implications,
            antecedents=np.zeros(0, np.int32),
            consequents=np.zeros(0, np.int32),
            exceptions=np.zeros(0, np.int64),
        )
    )
    loader = [(torch.tensor([[-1.0, -1, 1]]), torch.tensor([0]))]
    found = minimal(net, bare, loader, options=SERIAL)
    whole = minimal(net, graph, loader, options=SERIAL)
    for stage in ("prefix", "eliminated"):
        assert found.sizes("graph", stage).tolist() == [0]
        assert found.sizes("specific", stage).tolist() == whole.sizes("specific", stage).tolist() == [2]
        assert whole.sizes("graph", stage).tolist() == [2]


def test_a_loader_that_shuffles_and_a_graph_without_labels_are_refused():
    net, graph = by_hand()
    rows = [(torch.ones(3), torch.tensor(0))] * 4
    with pytest.raises(DataError, match="this DataLoader shuffles them; make it with shuffle=False"):
        minimal(net, graph, DataLoader(rows, shuffle=True), options=SERIAL)
    bare = slow.graph(np.zeros((4, 3), bool), NodeSpace(0, graph.nodes.layers), [])
    with pytest.raises(GraphError, match="the graph has no labels; extract with labels=True"):
        minimal(net, bare, [torch.ones(1, 3)], options=SERIAL)
    with pytest.raises(ConfigError, match="a timeout is a number of seconds above 0; got 0"):
        minimal(net, graph, rows, options=RunOptions(timeout=0))


def test_a_small_budget_leaves_sets_that_are_not_known_to_be_smallest():
    net, graph, loader, whole = case(1, "G.1")
    none = minimal(
        net, graph, loader, settings=MinimalSettings(budget=9), options=RunOptions(seed=1, executor="serial", batch=12)
    )
    assert (none.exact() == (none.sizes() == 1)).all()
    assert (none.sizes("graph", "eliminated") == whole.sizes("graph", "eliminated")).all()
    assert (whole.sizes() <= np.where(none.sizes(), none.sizes(), UNITS)).all()
    assert not none.sizes("greedy", "prefix").any()  # its first step takes ten trials


class Tokens(nn.Module):
    """Reads the first token that is no padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.latent = nn.Embedding(20, 5), nn.Sigmoid()
        self.decoder = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.5)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.latent(self.embed(input_ids))
        return self.decoder(hidden[torch.arange(len(hidden)), attention_mask.argmax(dim=1)])


def test_the_first_token_that_is_no_padding_is_written():
    net = Tokens().eval()
    nodes = NodeSpace(3, (LayerUnits("latent", 5, "first"),))
    graph = slow.graph(np.zeros((4, 8), bool), nodes, [("label:1", "latent:0"), ("label:2", "~latent:3")])
    generator = torch.Generator().manual_seed(0)
    ids, start = torch.randint(20, (24, 4), generator=generator), torch.randint(4, (24, 1), generator=generator)
    inputs = {"input_ids": ids, "attention_mask": (torch.arange(4) >= start).long()}
    with torch.no_grad():
        true = net(**inputs).argmax(dim=1)
        bits = net.embed(ids)[torch.arange(24), start[:, 0]] > 0
    found = minimal(net, graph, [inputs | {"labels": true}], options=RunOptions(batch=10, executor="serial"))
    every = list(product([False, True], repeat=5))
    with torch.no_grad():
        table = dict(zip(every, net.decoder(torch.tensor(every, dtype=torch.float32)).numpy(), strict=True))
    for row, size in zip(found.sets(), found.sizes().tolist(), strict=True):
        own = bits[row["example"]].tolist()
        assert size == slow.smallest(lambda values: table[tuple(values)], own, row["target"], list(range(5)))
    assert 5 < found.kept.sum() < 25


def test_channels_are_written_as_the_means_of_the_fitting_examples():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    nn.init.normal_(net[3].weight, std=2)
    images = torch.randn(30, 1, 4, 4)
    with torch.no_grad():
        true, held = net(images).argmax(dim=1), net[:2](images)
    bits = held.amax(dim=(2, 3)) > 0.5
    names = NodeSpace(3, (LayerUnits("1", 4, "max"),))
    columns = np.concatenate([np.eye(3, dtype=bool)[true.numpy()], bits.numpy()], axis=1)
    graph = slow.graph(columns, names, [("label:1", "1:0")])
    found = minimal(
        net,
        graph,
        [(images, true)],
        fit=[images],
        settings=MinimalSettings(values="mean"),
        options=RunOptions(batch=12, executor="serial"),
    )
    assert (found.written, found.fitted) == ("mean", 30)
    seen = {(unit, value): held[bits[:, unit] == value, unit] for unit in range(4) for value in (False, True)}
    assert found.kept.sum() > 5
    for row, size in zip(found.sets(), found.sizes().tolist(), strict=True):
        own = bits[row["example"]].tolist()
        logits = of_channels(net[2:], seen, held[row["example"]])
        assert size == slow.smallest(logits, own, row["target"], list(range(4)))


def of_channels(rest: nn.Module, seen: dict[tuple[int, bool], torch.Tensor], own: torch.Tensor):
    """The logits when channels have the means of those seen with these booleans, or stay where none was."""

    @torch.no_grad()
    def logits(values: list[bool]) -> np.ndarray:
        given = [seen[unit, value].double() for unit, value in enumerate(values)]
        channels = [one.mean(dim=0).float() if len(one) else own[unit] for unit, one in enumerate(given)]
        return rest(torch.stack(channels)[None])[0].numpy()

    return logits


def rebatched(inputs: torch.Tensor, true: torch.Tensor, size: int):
    return [(inputs[at : at + size], true[at : at + size]) for at in range(0, len(inputs), size)]


def test_the_batches_of_the_loader_and_of_the_passes_change_nothing():
    net, graph = slow.Net(4, UNITS, 5).eval(), slow.random_graph(4, UNITS, 16, 5)
    inputs, true = data(net, 20, 5, 4)
    settings = MinimalSettings(budget=60, examples=10)

    def searched(size, batch, seed=3):
        options = RunOptions(executor="serial", seed=seed, batch=batch)
        return minimal(net, graph, rebatched(inputs, true, size), settings=settings, options=options)

    first = searched(20, 8)
    assert first.kept.any()
    for size in (1, 7):
        assert searched(size, 8) == first
    assert searched(20, 64) == first
    assert searched(20, 64, seed=4) != first


def test_ray_and_a_journal_give_the_same_integers(ray_session, tmp_path):
    net, graph = slow.Net(3, UNITS, 6).eval(), slow.random_graph(3, UNITS, 12, 6)
    loader = [data(net, 16, 6, 3)]
    settings, options = MinimalSettings(budget=12), RunOptions(executor="serial", batch=8)
    serial = minimal(net, graph, loader, settings=settings, options=options)
    assert minimal(net, graph, loader, settings=settings, options=RunOptions(executor="ray", batch=8)) == serial
    journal = executors.Journal(tmp_path / "minimal.jsonl", "digest", Counts.from_dict)
    for _ in range(2):
        assert minimal(net, graph, loader, settings=settings, options=replace(options, journal=journal)) == serial


@pytest.mark.parametrize("wanted", [1, 3, 40])
def test_examples_are_drawn_from_the_correct_ones_however_many_are_looked_at(wanted):
    net = slow.Net(3, UNITS, 2).eval()
    inputs, true = data(net, 37, 2, 3, wrong=0.7)
    with torch.no_grad():
        correct = (net(inputs).argmax(dim=1) == true).tolist()
    numbers, looked, right = draw(net, [(inputs, true)], 37, wanted, 3, RunOptions(seed=9, batch=8))
    assert numbers.tolist() == slow.drawn(9, correct, wanted)
    assert min(2 * wanted, 37) <= looked <= 37
    assert len(numbers) <= right <= sum(correct)


def asked_of(does) -> tuple:
    """An `ask` that wants the sets for which `does` holds, and what it was asked."""
    seen: list[tuple[int, tuple[int, ...]]] = []

    def ask(rows, sets):
        told = [tuple(np.flatnonzero(one).tolist()) for one in sets]
        seen.extend(zip(rows.tolist(), told, strict=True))
        return np.array([does(set(one)) for one in told], bool), np.array([float(-len(one)) for one in told])

    return ask, seen


def test_elimination_goes_on_until_no_unit_can_be_dropped():
    ask, _ = asked_of(lambda units: units >= {0, 1, 2} or units in ({0, 1}, {0}))  # {0} only after 2, then 1, are gone
    found = Found(np.array([[2, 1, 0, 3]]), np.array([3]), np.array([3]))
    sets, tried = eliminate(ask, found)
    assert np.flatnonzero(sets[0]).tolist() == [0]
    assert tried.tolist() == [6]  # three of three, two of the two that are left, the last one


def test_a_long_prefix_is_found_and_an_order_that_is_used_up_fails():
    ask, seen = asked_of(lambda units: len(units) >= 19)
    order = np.tile(np.arange(25)[::-1], (2, 1))
    found = prefix(ask, order.copy(), np.array([25, 18]))
    assert found.size.tolist() == [19, 0]
    assert found.tried.tolist() == [19, 18]
    assert max(len(units) for row, units in seen if row == 1) == 18
    assert np.flatnonzero(found.sets[0]).tolist() == list(range(6, 25))
    assert places(order).tolist() == order.tolist()  # an order reversed is its own inverse


def test_greedy_takes_the_first_of_equal_margins_and_only_what_is_allowed():
    ask, seen = asked_of(lambda units: len(units) == 2)
    found = greedy(ask, np.array([[False, True, True, True]]), budget=100)
    assert found.order[0].tolist() == [1, 2, 0, 3]
    assert (found.size.tolist(), found.tried.tolist()) == ([2], [5])
    assert {unit for _, units in seen for unit in units} == {1, 2, 3}


def test_the_first_set_in_the_order_of_the_units_is_taken():
    ask, _ = asked_of(lambda units: len(units) == 2)
    nothing, order = np.zeros((1, 4), bool), np.array([[3, 1, 0, 2]])
    smallest = exhaust(ask, nothing, order, np.array([4]), budget=100)
    assert np.flatnonzero(smallest.sets[0]).tolist() == [1, 3]
    within = exhaust(ask, nothing, order, np.array([1]), budget=100)
    assert (within.size.tolist(), within.exact.tolist()) == ([0], [True])  # all sets of one unit were tried
