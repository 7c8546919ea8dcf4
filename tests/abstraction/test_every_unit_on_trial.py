"""Heads, gates and single positions on trial: the same integers as passes computed by hand. Slow by intent.

The networks are computed without modules, hooks or the package: every number of a unit is set where it arises.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ndg
from ndg.graph.ndg import NDG
from ndg.interventions.intervention_sets import INTERVENTIONS, alternatives, choices
from tests.references.graph_cases import implications
from tests.references.units_by_hand import CASES, LABELS, Case, Set, mean

ROWS, BATCH = 36, 16


every_case = pytest.mark.parametrize("name", CASES)


@cache
def case(name: str) -> tuple[Case, nn.Module, list, NDG, Tensor]:
    """A network that predicts every class, its examples, a graph in which every class implies units and is implied by
    one, and the values of the units by hand, `[example, unit, position]`."""
    given = CASES[name]
    torch.manual_seed(1)
    net = given.made().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2.0)
        x = torch.randn(ROWS, *given.shape, generator=torch.Generator().manual_seed(2))
        logits = net(x)
        net.get_submodule(given.out).bias -= logits.mean(dim=0)
        predicted = net(x).argmax(dim=1)
        values = torch.stack([given.by_hand(net, one, lambda units: units)[0] for one in x])
    if given.each:
        values = values.flatten(1)[:, :, None]
    true = torch.where(torch.arange(ROWS) % 5 == 4, (predicted + 1) % LABELS, predicted)
    loader = [(x, true)]
    bits = ndg.extract(
        net,
        loader,
        [given.layer],
        settings=ndg.ReadingSettings(readings=given.readings, binarizer="median"),
        options=ndg.RunOptions(batch=BATCH),
    )
    units, table = bits.nodes.slice(given.layer), bits.to_bool()
    size = units.stop - units.start
    majority = table[:, :LABELS].T.astype(int) @ table[:, units] * 2 > table[:, :LABELS].sum(axis=0)[:, None]
    edges = []
    for label, of_label in enumerate(majority):
        literals = [2 * (units.start + unit) + int(on) for unit, on in enumerate(of_label)]
        edges += [(2 * label + 1, literals[(label + step) % size]) for step in range(min(3, size))]
        edges.append((literals[(label + 3) % size], 2 * label + 1))
    graph = NDG(replace(implications(table, bits.nodes, edges), thresholds=bits.thresholds))
    return given, net, loader, graph, values


@cache
def bits_of(name: str) -> np.ndarray:
    _, _, _, graph, values = case(name)
    return (units_read(name, values).double() > torch.from_numpy(np.array(graph.thresholds))).numpy()


def units_read(name: str, values: Tensor) -> Tensor:
    return torch.stack([mean(one) if values.shape[2] == 1 else CASES[name].read(one) for one in values])


def logits_of(name: str, example: int, change: Set) -> Tensor:
    """Logits by hand; the change gets and gives `[unit, position]` of the neurons."""
    given, net, loader, _, values = case(name)

    def of_all(units: Tensor) -> Tensor:
        shape = units.shape
        return change(units.reshape(values.shape[1:])).reshape(shape)

    with torch.no_grad():
        return given.by_hand(net, loader[0][0][example], of_all)[1]


def written(name: str, booleans: np.ndarray) -> Tensor:
    """What is written for booleans: the mean of the examples that have them, moved until it reads as they say."""
    _, _, _, graph, values = case(name)
    bits, levels = bits_of(name), graph.thresholds
    rows = []
    for unit, on in enumerate(booleans):
        same = values[bits[:, unit] == on, unit]
        assert len(same)
        row = same.double().mean(dim=0)
        for _ in range(40):
            read = float(units_read(name, row[None, None])[0])
            if (read > levels[unit]) == on:
                break
            goal = levels[unit] + (1e-6 if on else -1e-6)
            row = row * goal / read if name == "norms" else row + goal - read
        rows.append(row.float())
    return torch.stack(rows)


def class_of(name: str, example: int, booleans: np.ndarray) -> int:
    """The class when the whole layer is written as booleans."""
    wanted = written(name, booleans)
    return int(logits_of(name, example, lambda _: wanted).argmax())


@every_case
def test_bits_are_those_of_the_values_by_hand(name):
    given, net, loader, graph, values = case(name)
    bits = ndg.extract(net, loader, like=graph, options=ndg.RunOptions(batch=BATCH))
    assert np.array_equal(bits.to_bool()[:, LABELS:], bits_of(name))
    assert bits.nodes.layers == graph.nodes.layers
    reading = next(iter(given.readings.values()), "mean")
    assert (bits.nodes.layers[0].name, bits.nodes.layers[0].reading) == (given.layer, reading)
    held_out = ndg.extract(net, [loader[0][0][5:9]], like=bits, options=ndg.RunOptions(batch=BATCH))
    assert np.array_equal(held_out.to_bool(), bits.to_bool()[5:9])
    assert values.shape[1] == bits.nodes.layers[0].units


@every_case
def test_a_trial_counts_as_passes_by_hand_do(name):
    given, net, loader, graph, _ = case(name)
    result = ndg.trial(
        net,
        graph,
        loader,
        "G.1",
        fit=loader,
        settings=ndg.TrialSettings(values="mean", layer=given.layer),
        options=ndg.RunOptions(batch=BATCH, executor="serial", seed=3),
    )
    x, true = loader[0]
    choice, bits = choices(INTERVENTIONS["G.1"], graph, given.layer), bits_of(name)
    others = alternatives(3, np.arange(ROWS), true.numpy(), LABELS)
    counts = dict.fromkeys(("correct", "aligned", "unchanged", "kept"), 0)
    for example in range(ROWS):
        if int(logits_of(name, example, lambda units: units).argmax()) != true[example]:
            continue
        chosen, values, _ = choice.of(true.numpy()[[example]], others[[example]])
        after = class_of(name, example, np.where(chosen[0], values[0], bits[example]))
        counts["correct"] += 1
        counts["aligned"] += after == others[example]
        counts["unchanged"] += after == int(true[example])
        counts["kept"] += class_of(name, example, bits[example]) == int(true[example])
    assert {field: getattr(result.tally, field) for field in counts} == counts
    assert counts["correct"] > ROWS / 2
    assert len(x) == ROWS


@every_case
def test_an_interchange_gives_the_labels_of_passes_by_hand(name):
    given, net, loader, graph, values = case(name)
    x, _ = loader[0]
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(5))
    result = ndg.interchange(
        net,
        graph,
        base=[x],
        source=[x[order]],
        settings=ndg.InterchangeSettings(sets=["layer"], units={"one": [f"{given.layer}:1"]}),
        options=ndg.RunOptions(batch=BATCH, executor="serial"),
    )
    labels = np.array([int(logits_of(name, example, lambda units: units).argmax()) for example in range(ROWS)])
    units = values.shape[1]
    for family, chosen in (("layer", range(units)), ("one", [1])):
        base_right = source_right = 0
        for example, source in enumerate(order.tolist()):

            def change(before: Tensor, chosen=chosen, source=source) -> Tensor:
                after = before.clone()
                after[list(chosen)] = values[source][list(chosen)]
                return after

            label = int(logits_of(name, example, change).argmax())
            base_right += label == labels[example]
            source_right += label == labels[source]
        among_all = result.counts[f"{family}|graph"][2]
        assert (among_all[5], among_all[7]) == (base_right, source_right)
    assert source_right < ROWS


@every_case
def test_minimal_sets_reach_their_targets_by_hand(name):
    given, net, loader, graph, _ = case(name)
    result = ndg.minimal(
        net,
        graph,
        loader,
        fit=loader,
        settings=ndg.MinimalSettings(values="mean", examples=6, budget=16),
        options=ndg.RunOptions(batch=BATCH, executor="serial", seed=3),
    )
    bits = bits_of(name)
    tried = 0
    for row in result.sets():
        booleans = bits[row["example"]].copy()
        for unit, value in row["units"].items():
            assert booleans[unit] != value
            booleans[unit] = value
        if row["units"]:
            assert class_of(name, row["example"], booleans) == row["target"]
            tried += 1
    assert given.layer == result.layer
    assert tried or not result.kept.any()


@every_case
def test_edges_to_labels_gain_as_passes_by_hand_do(name):
    given, net, loader, graph, _ = case(name)
    result = ndg.try_edges(
        net,
        graph,
        loader,
        fit=loader,
        settings=ndg.EdgeSettings(how=["alone"]),
        options=ndg.RunOptions(batch=BATCH, executor="serial"),
    )
    bits = bits_of(name)
    labels = [int(logits_of(name, example, lambda units: units).argmax()) for example in range(ROWS)]
    rows = result.frame().to_dict("records")
    rows = [row for row in rows if row["how"] == "alone" and str(row["consequent"]).lstrip("~").startswith("label:")]
    assert rows
    for row in rows[:4]:
        unit, on = int(row["antecedent"].rpartition(":")[2]), not row["antecedent"].startswith("~")
        label, positive = int(row["consequent"].rpartition(":")[2]), not row["consequent"].startswith("~")
        gained = n = 0
        for example in np.flatnonzero(bits[:, unit] != on).tolist():
            wanted = bits[example].copy()
            wanted[unit] = on
            value = written(name, wanted)[unit]

            def change(before: Tensor, unit=unit, value=value) -> Tensor:
                after = before.clone()
                after[unit] = value
                return after

            before = (labels[example] == label) == positive
            after = (int(logits_of(name, example, change).argmax()) == label) == positive
            n += 1
            gained += after and not before
        assert (row["n"], row["gained"]) == (n, gained)
    assert given.layer


@every_case
def test_an_example_is_explained(name):
    given, net, loader, graph, _ = case(name)
    x, _ = loader[0]
    prediction = int(net(x[:1]).argmax())
    told = ndg.explain(
        net,
        graph,
        x[:1],
        reference=loader,
        fit=loader,
        settings=ndg.ExplainSettings(target=(prediction + 1) % LABELS, values="mean", examples=12, budget=32),
        options=ndg.RunOptions(batch=BATCH),
    )
    assert told.layers == (given.layer,)
    assert told.flip is not None
    if told.flip.literals:
        booleans = bits_of(name)[0].copy()
        for literal in told.flip.literals:
            booleans[int(literal.rpartition(":")[2])] = not literal.startswith("~")
        assert class_of(name, 0, booleans) == told.flip.after
