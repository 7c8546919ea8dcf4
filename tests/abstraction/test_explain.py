"""Explanations: what follows in the graph, by subsets and closures; what forcing does, example by example."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from ndg.abstraction.explain import explain
from ndg.abstraction.explain.run import ExplainSettings
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references import minimal as slow
from tests.references import trial
from tests.references.graph import closure
from tests.references.graph_cases import implications

OPTIONS = RunOptions(batch=8)

UNITS = 5
LABELS = 3


@cache
def case(seed: int):
    net, graph = slow.Net(LABELS, UNITS, seed).eval(), slow.random_graph(LABELS, UNITS, 5 + seed, seed)
    inputs = torch.randn(30, 4, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        front = net.encoder(inputs)
    return net, graph, inputs, front.numpy(), (front > 0.5).numpy()


def codes_of(graph, bits) -> list[int]:
    start = graph.nodes.slice("encoder").start
    return [2 * (start + unit) + int(bit) for unit, bit in enumerate(bits)]


@pytest.mark.parametrize("seed", range(6))
def test_literals_are_judged_by_the_closure_and_the_smallest_sufficient_set_is_that_of_all_subsets(seed):
    net, graph, inputs, _, bits = case(seed)
    edges, count = trial.edges_of(graph.implications), 2 * len(graph.nodes)
    text = {code: graph.nodes.text(Literal.of(code)) for code in range(count)}
    for example in range(3):
        for target in (None, 0, 1, 2):
            found = explain(
                net, graph, inputs[example : example + 1], settings=ExplainSettings(target=target, budget=1)
            )
            label = 2 * found.about + 1
            own = codes_of(graph, bits[example])
            follows = {code: closure(count, edges, {code}) for code in own}
            kinds = {(True, False): "implying", (False, True): "contradicting", (True, True): "both"}
            for code in own:
                kind = kinds.get((label in follows[code], label ^ 1 in follows[code]), "open")
                assert text[code] in getattr(found, kind)
            assert sum(len(getattr(found, kind)) for kind in (*kinds.values(), "open")) == UNITS
            sets = (chosen for size in range(1, UNITS + 1) for chosen in combinations(own, size))
            enough = (
                chosen
                for chosen in sets
                if label in (all_of := closure(count, edges, set(chosen))) and label ^ 1 not in all_of
            )
            assert found.sufficient == tuple(text[code] for code in next(enough, ()))
            needed = {code for code in closure(count, edges, {label}) if code >= 2 * LABELS}
            needed = {code for code in needed if code ^ 1 not in needed}
            assert set(found.necessary) == {text[code] for code in needed}
            assert set(found.missing) == {text[code] for code in needed - set(own)}
            ancestors = trial.ancestors(count, edges, label)
            assert found.ancestors == sum(code >= 2 * LABELS for code in ancestors)


def test_the_random_cases_reach_every_kind():
    met = set()
    for seed in range(6):
        net, graph, inputs, _, _ = case(seed)
        for target in range(LABELS):
            found = explain(net, graph, inputs[:1], settings=ExplainSettings(target=target, budget=1))
            met |= {kind for kind in ("implying", "contradicting", "open", "missing") if getattr(found, kind)}
            met |= {("sufficient", bool(found.sufficient))}
    assert met == {"implying", "contradicting", "open", "missing", ("sufficient", True), ("sufficient", False)}


@pytest.mark.parametrize("seed", range(4))
def test_forcing_is_counted_as_example_by_example(seed):
    net, graph, inputs, front, bits = case(seed)
    for target in range(LABELS):
        found = explain(
            net,
            graph,
            inputs[:1],
            reference=[(inputs,)],
            settings=ExplainSettings(target=target, budget=1),
            options=RunOptions(batch=8, seed=seed),
        )
        majority, surest = trial.prototype(graph.implications, "encoder", target)
        for forced in found.forced:
            wanted = {int(text.rpartition(":")[2]): not text.startswith("~") for text in forced.literals}
            turned = {"after": "turned", "random": "turned_random", "prototype": "turned_prototype"}
            counts = dict.fromkeys(("n", "before", "after", "random", "prototype", "n_false", *turned.values()), 0)
            for example, (activations, booleans) in enumerate(zip(front, bits, strict=True)):
                if all(booleans[unit] == value for unit, value in wanted.items()):
                    continue
                coins = trial.draw(seed, "random booleans", example, UNITS)
                picked = trial.smallest(trial.draw(seed, "random neurons", example, UNITS), len(wanted))
                ways = {
                    "before": {},
                    "after": wanted,
                    "random": {unit: coins[unit] >= 2**63 for unit in picked},
                    "prototype": {unit: majority[unit] for unit in surest[: len(wanted)]},
                }
                counts["n"] += 1
                for name, way in ways.items():
                    written = [way.get(unit, float(value)) for unit, value in enumerate(activations)]
                    with torch.no_grad():
                        after = net.decoder(torch.tensor([written], dtype=torch.float32)).argmax()
                    counts[name] += int(after) == target
                    if name == "before":
                        was = int(after) == target
                        counts["n_false"] += not was
                    else:
                        counts[turned[name]] += int(after) == target and not was
            assert {name: getattr(forced, name) for name in counts} == counts
        if found.sufficient:
            alone, whole = found.forced
            assert alone.literals == found.sufficient
            assert set(alone.literals) <= set(whole.literals)
        else:
            assert [one.literals for one in found.forced] == ([found.necessary] if found.necessary else [])


@pytest.mark.parametrize("seed", range(3))
def test_the_set_that_turns_an_example_is_the_smallest_of_all(seed):
    net, graph, inputs, _, bits = case(seed)

    @torch.no_grad()
    def logits(booleans):
        return net.decoder(torch.tensor([booleans], dtype=torch.float32))[0].numpy()

    for example in range(3):
        for target in range(LABELS):
            found = explain(
                net, graph, inputs[example : example + 1], settings=ExplainSettings(target=target, budget=2**UNITS)
            )
            own = bits[example].tolist()
            if target == found.prediction:
                assert found.flip is None
                continue
            assert found.flip is not None
            assert found.flip.binarised == int(np.argmax(logits(own)))
            if found.flip.binarised != found.prediction:
                assert not found.flip.found
                assert "so no set is sought" in found.text()
                continue
            assert found.flip.exact
            assert len(found.flip.literals) == slow.smallest(logits, own, target, list(range(UNITS)))
            order = slow.graph_order(graph.implications, "encoder", own, found.prediction, target, "G.1")
            assert len(found.flip.by_graph) == slow.smallest(logits, own, target, sorted(order))
            units = [int(text.rpartition(":")[2]) for text in found.flip.literals]
            assert all(text.startswith("~") == own[unit] for unit, text in zip(units, found.flip.literals, strict=True))
            assert found.flip.after == int(np.argmax(logits(slow.flipped(own, units))))
            assert found.flip.found == (found.flip.after == target)


class Chain(nn.Module):
    """Two layers that copy the signs of three inputs; class 1 where the first is on."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high, self.head = nn.Sigmoid(), nn.Sigmoid(), nn.Linear(3, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([0.5, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.high(20 * self.low(20 * x) - 10))


def chain(edges: list[tuple[str, str]]):
    nodes = NodeSpace(2, (LayerUnits("low", 3), LayerUnits("high", 3)))
    signs = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], bool)
    labels = np.stack([~signs[:, 0], signs[:, 0]], axis=1)
    return Chain().eval(), slow.graph(np.concatenate([labels, signs, signs], axis=1), nodes, edges)


def test_two_layers_worked_on_paper():
    net, graph = chain([("low:0", "high:0"), ("high:0", "label:1"), ("high:1", "~label:1")])
    on, off = torch.tensor([[1.0, 1, -1]]), torch.tensor([[-1.0, 1, -1], [-1.0, -1, -1], [1.0, 1, 1]])
    found = explain(net, graph, on, reference=[off])
    assert (found.prediction, found.layers) == (1, ("low", "high"))
    assert (found.implying, found.contradicting) == (("low:0", "high:0"), ("high:1",))
    assert found.open == ("low:1", "~low:2", "~high:2")
    assert (found.sufficient, found.ancestors) == (("low:0",), 2)
    assert (found.necessary, found.missing) == (("~high:1",), ("~high:1",))
    alone, whole = found.forced
    assert (alone.n, alone.before, alone.after) == (2, 0, 2)  # the third reference example has it
    assert whole.literals == ("low:0", "high:0", "~high:1")  # class 1, which follows, contradicts high:1
    assert (whole.n, whole.before, whole.after) == (3, 1, 3)
    assert alone.rate() == (1.0, pytest.approx(0.342, abs=1e-3), 1.0)
    one = explain(net, graph, on, reference=[off], settings=ExplainSettings(layer="high"))
    assert (one.sufficient, one.layers) == (("high:0",), ("high",))
    assert "smallest sufficient set: 1: high:0" in one.text()


def test_a_regularity_that_is_no_cause_is_told_by_forcing():
    net, graph = chain([("low:1", "label:1")])
    on, off = torch.tensor([[1.0, 1, -1]]), torch.tensor([[-1.0, -1, -1], [-1.0, -1, 1]])
    found = explain(net, graph, on, reference=[off], settings=ExplainSettings(layer="low"))
    assert found.sufficient == ("low:1",)
    assert [(one.n, one.after) for one in found.forced] == [(2, 0), (2, 0)]
    assert "predicted class 1 0.000 [0.000, 0.658], before 0.000" in found.text()
    assert "; of the 2 predicted otherwise before, 0.000 [0.000, 0.658] become it (random booleans" in found.text()
    assert [(one.n_false, one.turned) for one in found.forced] == [(2, 0), (2, 0)]


def test_where_nothing_implies_the_class_its_conditions_are_told_and_forced():
    net, graph = chain([("label:1", "high:0"), ("label:1", "~high:2")])
    found = explain(
        net, graph, torch.tensor([[1.0, 1, 1]]), reference=[-torch.ones(4, 3)], settings=ExplainSettings(layer="high")
    )
    text = found.text(["other", "first"])
    assert "no literal implies class 1 (first), in any example: the graph has no sufficient set for it" in text
    assert "class 1 (first) implies 2 literals, of which 1 holds; missing: 1: ~high:2" in text
    assert [(one.n, one.before, one.after) for one in found.forced] == [(4, 0, 4)]
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["forced"][0]["rates"]["after"][0] == 1.0
    assert told["necessary"] == ["high:0", "~high:2"]
    others = chain([("high:1", "label:1")])[1]
    told = explain(net, others, torch.tensor([[1.0, -1, 1]]), settings=ExplainSettings(layer="high")).text()
    assert "no literal of this example implies class 1; 1 other would" in told


def test_a_target_needs_one_layer_and_becomes_the_class_that_is_asked_about():
    net, graph = chain([("low:0", "high:0"), ("high:0", "label:1")])
    row = (torch.tensor([[-1.0, 1, 1]]), torch.tensor([0]))
    with pytest.raises(GraphError, match="sets units of one layer; the graph has low, high; pass layer="):
        explain(net, graph, row, settings=ExplainSettings(target=1))
    found = explain(net, graph, row, settings=ExplainSettings(target=1, layer="high"))
    assert (found.prediction, found.about, found.contradicting) == (0, 1, ())
    assert (found.flip.literals, found.flip.by_graph, found.flip.exact) == (("high:0",), (), True)  # D names no high:1
    assert "predicted class 0, asked about class 1" in found.text()
    assert "it becomes class 1 with 1: high:0 (the smallest there is)" in found.text()
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_class_that_cannot_be_reached_is_said_to_be_so():
    net, graph = chain([])
    with torch.no_grad():
        net.head.weight.mul_(0.01)
    row = torch.tensor([[-1.0, 1, 1]])
    found = explain(net, graph, row, settings=ExplainSettings(target=1, layer="high"))
    assert not found.flip.found
    assert "no set of units of high was found that makes it class 1 (there is none)" in found.text()
    assert (
        "(not all were tried)"
        in explain(net, graph, row, settings=ExplainSettings(target=1, layer="high", budget=1)).text()
    )


@pytest.mark.parametrize("size", [1, 7, 30])
def test_batches_change_nothing(size):
    net, graph, inputs, _, _ = case(2)
    whole = explain(
        net, graph, inputs[:1], reference=[inputs], settings=ExplainSettings(target=1, examples=12), options=OPTIONS
    )
    parts = [inputs[at : at + size] for at in range(0, 30, size)]
    assert (
        explain(
            net, graph, inputs[:1], reference=parts, settings=ExplainSettings(target=1, examples=12), options=OPTIONS
        )
        == whole
    )
    assert (
        explain(
            net,
            graph,
            inputs[:1],
            reference=parts,
            settings=ExplainSettings(target=1, examples=12),
            options=RunOptions(batch=32),
        )
        == whole
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target": 3}, ConfigError, "a target is a class from 0 to 2; got 3"),
        ({"target": -1}, ConfigError, "a target is a class from 0 to 2; got -1"),
        ({"layer": "encodr"}, GraphError, "no layer 'encodr' in this graph; nearest: encoder"),
        ({"values": "mean"}, ConfigError, "pass fit=LOADER with the examples that the graph was mined from"),
        ({"intervention": "G"}, ConfigError, "an intervention is one of Q, G.1, G.2; got 'G'"),
    ],
)
def test_what_cannot_be_asked(settings, error, message):
    net, graph, inputs, _, _ = case(1)
    with pytest.raises(error, match=re.escape(message)):
        explain(net, graph, inputs[:1], settings=ExplainSettings(**settings))


def test_what_cannot_be_explained():
    net, graph, inputs, _, _ = case(1)
    with pytest.raises(ShapeError, match="one example is explained at a time; got 2 rows"):
        explain(net, graph, inputs[:2])
    copied, with_edge = chain([("high:0", "label:1")])
    with pytest.raises(DataError, match="literals are forced in reference examples; the loader gave none"):
        explain(copied, with_edge, torch.ones(1, 3), reference=[])
    with pytest.raises(LayerError, match="no layer 'encoder' in Chain"):
        explain(Chain(), graph, inputs[:1])
    with pytest.raises(DataError, match="this DataLoader shuffles them; make it with shuffle=False"):
        explain(copied, with_edge, torch.ones(1, 3), reference=DataLoader([torch.ones(3)] * 4, shuffle=True))
    bare = NDG(implications(np.zeros((4, UNITS), np.bool_), NodeSpace(0, (LayerUnits("encoder", UNITS),)), []))
    for target in (None, 0):
        with pytest.raises(GraphError, match="the graph has no labels; extract with labels=True"):
            explain(net, bare, inputs[:1], settings=ExplainSettings(target=target))
