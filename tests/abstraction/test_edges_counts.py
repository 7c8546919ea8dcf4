"""Edges on trial: every count as a slow transcription gives it, for random graphs, channels and tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ndg
from ndg.abstraction.counts import Counts
from ndg.abstraction.edges import EdgeTrials, try_edges
from ndg.activations.batches import compute_batches
from ndg.executors.journal import Journal
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.interventions import shared_passes, substitution
from ndg.interventions.cache import Cache
from ndg.interventions.passes import Passes
from ndg.nodes import LayerUnits, NodeSpace
from tests.abstraction.test_edges import coded, given, row
from tests.interventions.test_passes import tokens
from tests.references import edges as slow

SERIAL_8 = ndg.RunOptions(executor="serial", batch=8)

BATCH_8 = ndg.RunOptions(batch=8)

WAYS = ("alone", "closure", "rest")


PROBED = (8, 4)
"""Rows of the small passes in which a network is probed, once; two more have the rows of the study."""


def test_a_pass_holds_as_many_pairs_as_fit_and_equal_sets_are_forced_once(monkeypatch):
    monkeypatch.setattr(shared_passes, "FEWEST", 1000)  # no pass is shared
    net, graph, inputs, _ = random_case(6, 1)
    passes = []
    net.head.register_forward_pre_hook(lambda module, arguments: passes.append(len(arguments[0])))

    def run(units: int, how: list[str]) -> int:
        pairs = [(f"early:{unit}", f"later:{unit % 4}") for unit in range(units)]
        pairs += [(f"~early:{unit}", "label:0") for unit in range(units)]
        passes.clear()
        tried = given(graph.nodes, pairs, 0.5)
        try_edges(
            net,
            tried,
            [inputs],
            settings=ndg.EdgeSettings(values="boolean", how=how),
            options=ndg.RunOptions(batch=25, executor="serial"),
        )
        studied = [rows for rows in passes if rows not in PROBED]
        assert set(studied) == {25}
        return len(studied)

    run(1, ["alone"])  # the network is probed once
    assert run(5, ["alone"]) - run(1, ["alone"]) == 4  # a unit is off or on: two literals lack 25 examples together
    assert run(5, ["alone", "closure"]) == run(5, ["alone"])


class Net(nn.Module):
    """Four inputs, five sigmoids, four rectified units that also read the inputs, a head that reads both layers."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.later = nn.Sequential(nn.Linear(9, 4), nn.ReLU())
        self.early = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid())
        self.head = nn.Linear(9, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(x)
        later = self.later(torch.cat([early, x], dim=1))
        return self.head(torch.cat([early, later], dim=1))


def random_case(seed: int, edges: int) -> tuple[Net, NDG, Tensor, Tensor]:
    """A network, any implications among its nodes (in another order of layers than it runs), and inputs."""
    nodes = NodeSpace(3, (LayerUnits("later", 4), LayerUnits("early", 5)))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 2 * len(nodes), (edges, 2))
    drawn = drawn[drawn[:, 0] >> 1 != drawn[:, 1] >> 1]
    thresholds = np.where(np.arange(nodes.neurons) < 4, 0.3, 0.5)
    graph = coded(nodes, set(map(tuple, drawn.tolist())), thresholds)
    made = torch.Generator().manual_seed(seed)
    return Net(seed).eval(), graph, torch.randn(25, 4, generator=made), torch.randn(30, 4, generator=made)


@pytest.mark.parametrize(
    ("seed", "edges", "values"),
    [(0, 12, "mean"), (1, 25, "mean"), (2, 12, "boolean"), (3, 12, "resample"), (4, 40, "resample")],
)
def test_every_count_equals_the_transcription(seed, edges, values):
    net, graph, inputs, fit = random_case(seed, edges)
    found = try_edges(
        net,
        graph,
        [inputs],
        fit=[fit],
        settings=ndg.EdgeSettings(values=values, least=5, how=WAYS),
        options=ndg.RunOptions(seed=seed, batch=16, executor="serial"),
    )
    assert found.verdicts.order == ("early", "later", "label")
    seen = slow.observed(graph.implications, [slow.states(net, graph.implications, x, {})[0] for x in inputs])
    for how in found.how:
        expected = slow.trial(net, graph.implications, ["early", "later"], inputs, fit, values, how, seed)
        assert expected
        columns = found.columns(how)
        ends = list(
            zip(*(getattr(graph.implications, name).tolist() for name in ("antecedents", "consequents")), strict=True)
        )
        forced = [place for place, kind in enumerate(columns["kind"]) if kind == "forced"]
        assert {ends[place] for place in forced} == set(expected)
        for number, place in enumerate(forced):
            own = expected[ends[place]]
            for name in ("n", "before", "after", "gained", "lost"):
                assert columns[name][place] == own[name], (ends[place], name)
            assert columns["neurons_set"][place] == own["sets"]
            assert found.changed[how][number] == own["changed"]
        for place, end in enumerate(ends):
            assert (columns["observed"][place], columns["support"][place]) == seen[end]
        tested = [place for place in forced if columns["n"][place] - columns["before"][place] >= 5]
        p_values = [slow.mcnemar(int(columns["gained"][place]), int(columns["lost"][place])) for place in tested]
        assert np.allclose([columns["p_value"][place] for place in tested], p_values)
        for place, rejected in zip(tested, slow.rejected(p_values, 0.05), strict=True):
            false = int(columns["n"][place] - columns["before"][place])
            low = wilson(int(columns["gained"][place]), false)[0]
            assert (columns["verdict"][place] == "survives") == (rejected and low >= 0.9)


def same(one: EdgeTrials, other: EdgeTrials) -> bool:
    return one.rows() == other.rows() and one.to_dict()["summary"] == other.to_dict()["summary"]


def test_executors_batches_caches_and_journals_give_the_same_integers(ray_session, tmp_path):
    net, graph, inputs, fit = random_case(5, 30)
    whole = try_edges(net, graph, [inputs], fit=[fit], options=SERIAL_8)
    assert whole.executor == "serial"
    for size in (1, 7):
        parts = list(inputs.split(size))
        assert same(whole, try_edges(net, graph, parts, fit=list(fit.split(size)), options=SERIAL_8))
        assert same(
            whole, try_edges(net, graph, parts, fit=[fit], options=ndg.RunOptions(batch=size, executor="serial"))
        )
    assert same(
        whole, try_edges(net, graph, iter([inputs]), fit=[fit], options=ndg.RunOptions(batch=8, executor="auto"))
    )
    assert same(whole, try_edges(net, graph, [inputs], fit=[fit], options=ndg.RunOptions(batch=8, executor="ray")))
    cache = Cache()
    for _ in range(2):
        assert same(whole, try_edges(net, graph, [inputs], fit=[fit], cache=cache, options=SERIAL_8))
    for _ in range(2):
        journal = Journal(tmp_path / "edges.journal", "digest", Counts.from_dict)
        assert same(
            whole,
            try_edges(
                net, graph, [inputs], fit=[fit], options=ndg.RunOptions(batch=8, executor="serial", journal=journal)
            ),
        )
    assert len((tmp_path / "edges.journal").read_text().splitlines()) == 1 + 4


class Maps(nn.Module):
    """Channels, then units, so that what is forced has positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.front = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
        self.units = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU())
        self.head = nn.Linear(3, 2)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.units(self.front(x)))


def test_channels_are_forced_at_all_positions():
    nodes = NodeSpace(2, (LayerUnits("front", 3, "max"), LayerUnits("units", 3)))
    graph = given(nodes, [("~front:1", "units:2"), ("front:0", "~units:1")], 0.4)
    net = Maps().eval()
    x = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found = try_edges(
        net,
        graph,
        [x],
        fit=None,
        settings=ndg.EdgeSettings(values="boolean", how=["alone"]),
        options=ndg.RunOptions(batch=16, executor="serial"),
    )
    with torch.no_grad():
        maps = net.front(x)
        on = maps.amax(dim=(2, 3))[:, 1] > 0.4
        before = net.units(maps)[:, 2] > 0.4
        maps[:, 1] = 0.0
        after = net.units(maps)[:, 2] > 0.4
    found = row(found, "~front:1", "units:2", "alone")
    assert found["n"] == int(on.sum()) > 0
    assert found["gained"] == int((after & ~before)[on].sum())
    assert found["lost"] == int((before & ~after)[on].sum())
    assert found["gained"] + found["lost"] > 0


@pytest.mark.parametrize("values", ["boolean", "mean", "resample"])
@pytest.mark.parametrize("reading", ["first", "mean"])
def test_tokens_of_ragged_masks_are_forced_as_each_example_alone(reading, values):
    """Pairs of a set and a row share a pass, each with the mask of its own example."""
    model, loader = tokens()
    bits = ndg.extract(
        model, loader, layers=["act"], settings=ndg.ReadingSettings(binarizer="positive", tokens=reading)
    )
    nodes = bits.nodes
    pairs = [("act:0", "label:1"), ("~act:1", "label:2"), ("act:2", "~label:0"), ("act:3", "act:4")]
    codes = {(nodes.literal(p).code, nodes.literal(q).code) for p, q in pairs}
    graph = coded(nodes, codes, bits.thresholds)
    settings = ndg.EdgeSettings(values=values, least=1)
    found = try_edges(model, graph, loader, fit=loader, settings=settings, options=SERIAL_8)
    way = substitution.fit(values, model, graph, loader, ["act"], options=BATCH_8)
    passes = Passes.of(model, graph, ["act"])
    for antecedent, consequent in pairs[:3]:
        p, q = nodes.literal(antecedent), nodes.literal(consequent)
        unit = p.node - nodes.slice("act").start
        n = before = after = 0
        for batch in compute_batches(loader, 8):
            known = passes.baseline(batch)
            site, mask = known.neurons["act"], known.masks["act"]
            chosen = np.zeros((batch.rows, site.units), np.bool_)
            chosen[:, unit] = True
            booleans = np.full_like(chosen, p.value)

            def change(output, site=site, mask=mask, chosen=chosen, booleans=booleans, known=known):
                new = way.values(site, booleans, known.numbers, output, mask)
                return site.write(output, torch.from_numpy(chosen), new, mask)

            logits, _ = passes.run(known, {"act": change})
            without = known.bits["act"][:, unit] != p.value
            n += int(without.sum())
            before += int(((known.predicted == q.node) == q.value)[without].sum())
            after += int(((logits.argmax(dim=1).numpy() == q.node) == q.value)[without].sum())
        seen = row(found, antecedent, consequent, "alone")
        assert (seen["n"], seen["before"], seen["after"]) == (n, before, after)
        assert n > 0
