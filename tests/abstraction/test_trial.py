"""Trials of a small network that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import seeds
from ndg.abstraction.controls import OF_CHANGES
from ndg.abstraction.trial import TrialSettings, trial, trials
from ndg.errors import GraphError
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references.by_hand import EXAMPLES, SEED, ByHand, by_hand, examples, loader
from tests.references.graph_cases import implications

SERIAL = RunOptions(executor="serial")

# (t, t'): outcome, neurons set, of which really changed; worked out on paper
BY_HAND = {
    "Q": {
        (0, 1): ("unchanged", 2, 1),
        (0, 2): ("changed", 3, 2),
        (1, 0): ("aligned", 2, 1),
        (1, 2): ("unchanged", 3, 2),
        (2, 0): ("aligned", 2, 2),
        (2, 1): ("unchanged", 2, 2),
    },
    "G.1": {
        (0, 1): ("unchanged", 0, 0),  # l3 and ~l3 leave D
        (0, 2): ("changed", 3, 2),
        (1, 0): ("unchanged", 0, 0),  # the same
        (1, 2): ("unchanged", 3, 2),
        (2, 0): ("aligned", 3, 3),
        (2, 1): ("changed", 3, 3),
    },
    "G.2": {
        (0, 1): ("unchanged", 1, 0),
        (0, 2): ("changed", 3, 2),
        (1, 0): ("unchanged", 1, 0),
        (1, 2): ("unchanged", 3, 2),
        (2, 0): ("unchanged", 1, 1),
        (2, 1): ("unchanged", 1, 1),
    },
}
SUREST_OF_Q = {  # all neurons are equally sure, so the first two or three are set
    (0, 1): ("aligned", 2, 2),
    (0, 2): ("aligned", 3, 2),
    (1, 0): ("aligned", 2, 2),
    (1, 2): ("aligned", 3, 2),
    (2, 0): ("aligned", 2, 1),
    (2, 1): ("aligned", 2, 1),
}


@pytest.fixture
def model() -> ByHand:
    return ByHand()


@pytest.fixture
def graph() -> NDG:
    return by_hand()


def pairs(seed: int = SEED) -> list[tuple[int, int, bool]]:
    """True class, drawn alternative and whether the network is right, per example."""
    found = []
    for example, true in enumerate(examples()[1].tolist()):
        word = int(seeds.words(seed, "alternatives", examples=np.array([example]), draws=1)[0, 0])
        found.append((true, [label for label in range(3) if label != true][word % 2], example % 10 != 9))
    return found


def counted(table: dict, keep=lambda true, other: True) -> dict[str, int]:
    """What the table says of all originally correct examples."""
    total = dict.fromkeys(("correct", "aligned", "changed", "unchanged", "neurons_set", "neurons_changed"), 0)
    for true, other, right in pairs():
        if right and keep(true, other):
            outcome, named, changed = table[true, other]
            total["correct"] += 1
            total[outcome] += 1
            total["neurons_set"] += named
            total["neurons_changed"] += changed
    return total


def figures(tally) -> dict[str, int]:
    names = ("correct", "aligned", "changed", "unchanged", "neurons_set", "neurons_changed")
    return {name: getattr(tally, name) for name in names}


@pytest.mark.parametrize("name", BY_HAND)
def test_tallies_are_those_worked_out_by_hand(model, graph, name):
    result = trial(model, graph, loader(), name, options=RunOptions(seed=SEED, executor="serial"))
    assert figures(result.tally) == counted(BY_HAND[name])
    for label in range(3):
        assert figures(result.by_class[label]) == counted(BY_HAND[name], lambda true, _, label=label: true == label)
        assert figures(result.by_alternative[label]) == counted(
            BY_HAND[name], lambda _, other, label=label: other == label
        )
    assert result.tally.examples == EXAMPLES
    assert result.tally.kept == result.tally.correct == EXAMPLES - 6
    assert result.tally.contradictory == (
        sum(right and 2 not in (true, other) for true, other, right in pairs()) if name == "G.1" else 0
    )


def test_neuron_0_is_intervened_on(model, graph):
    """With neuron 0 left alone, no example of class 1 or 2 could become class 0."""
    result = trial(model, graph, loader(), "Q", options=RunOptions(seed=SEED, executor="serial"))
    turned = result.by_alternative[0]
    assert turned.aligned == turned.correct > 0


def test_a_class_without_ancestors_is_reported_and_its_examples_are_counted(model, graph):
    found = trials(model, graph, loader(), options=RunOptions(seed=SEED, executor="serial"))
    assert found["Q"].no_ancestors == (2,)
    assert found["G.1"].no_ancestors == found["G.2"].no_ancestors == ()
    assert found["Q"].tally.no_ancestors == sum(right and other == 2 for _, other, right in pairs()) > 0
    assert found["Q"].by_alternative[2] == replace(
        found["G.2"].by_alternative[2], no_ancestors=found["Q"].tally.no_ancestors
    )
    assert found["G.2"].tally.no_ancestors == 0


def test_a_graph_without_implications_sets_nothing(model, graph):
    bare = NDG(
        replace(implications(np.zeros((4, 7), np.bool_), graph.nodes, []), thresholds=np.full(4, 0.5), binarizer="half")
    )
    for result in trials(model, bare, loader(), options=SERIAL).values():
        assert all(tally.neurons_set == 0 for tally in result.controls.values())
        assert result.tally.unchanged == result.tally.correct
        assert result.words().endswith("the graph names no neuron of latent, so nothing but binarising was on trial.")


def test_the_prototype_on_its_surest_neurons_is_that_worked_out_by_hand(model, graph):
    result = trial(model, graph, loader(), "Q", options=RunOptions(seed=SEED, executor="serial"))
    assert figures(result.controls["prototype_surest"]) == counted(SUREST_OF_Q)


def test_controls_set_as_many_neurons_and_binarising_sets_none(model, graph):
    for result in trials(model, graph, loader(), options=RunOptions(seed=SEED, executor="serial")).values():
        sizes = {name: tally.neurons_set for name, tally in result.controls.items() if name not in OF_CHANGES}
        assert sizes.pop("binarise") == 0
        for name in OF_CHANGES:
            assert result.controls[name].neurons_changed <= result.tally.neurons_changed
        assert set(sizes.values()) == {result.tally.neurons_set}
        assert result.controls["binarise"].unchanged == result.tally.correct
        assert {tally.correct for tally in result.controls.values()} == {result.tally.correct}


def tallies(found):
    return {name: (result.controls, result.by_class, result.by_alternative) for name, result in found.items()}


def test_the_same_seed_draws_the_same_and_another_seed_draws_otherwise(model, graph):
    def found(seed: int, repeats: int = 4):
        return tallies(trials(model, graph, loader() * repeats, options=RunOptions(seed=seed, executor="serial")))

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_the_draws_of_an_example_do_not_depend_on_what_comes_after_it(model, graph):
    """The tallies of a longer loader are those of its beginning plus the rest."""
    whole = trial(model, graph, loader(20), options=RunOptions(seed=SEED, executor="serial", batch=20))
    first = trial(model, graph, loader(20)[:2], options=RunOptions(seed=SEED, executor="serial", batch=20))
    assert whole.tally.aligned >= first.tally.aligned
    expected = [sum(right for true, other, right in pairs()[:40] if other == label) for label in range(3)]
    assert [tally.correct for tally in first.by_alternative] == expected


def test_the_network_is_left_as_it_was(model, graph):
    inputs, _ = examples()
    model.train()
    before = model(inputs)
    threads = torch.get_num_threads()
    trials(model, graph, loader(), options=SERIAL)
    assert torch.equal(model(inputs), before)
    assert model.training
    assert torch.get_num_threads() == threads
    assert not any(module._forward_hooks for module in model.modules())


def test_two_classes_have_one_alternative():
    model = nn.Sequential(nn.Linear(1, 2), nn.Sigmoid(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[40.0], [-40.0]]))
        model[0].bias.copy_(torch.tensor([-20.0, 20.0]))
        model[2].weight.copy_(torch.tensor([[0.0, 2.0], [3.0, 0.0]]))
        model[2].bias.zero_()
    nodes = NodeSpace(2, (LayerUnits("1", 2),))
    bits = np.array([[1, 0, 0, 1], [0, 1, 1, 0]] * 5, np.bool_)
    texts = [("1:0", "label:1"), ("label:0", "~label:1"), ("~label:1", "label:0")]
    edges = [(nodes.literal(p).code, nodes.literal(q).code) for p, q in texts]
    graph = NDG(replace(implications(bits, nodes, edges), thresholds=np.full(2, 0.5), binarizer="half"))
    inputs = torch.tensor([[0.0], [1.0]] * 4)
    result = trial(model, graph, [(inputs, torch.arange(8) % 2)], "Q", options=SERIAL)
    # to class 1 (4 examples): unit 0 is set on, beside unit 1 the logits are 2 and 3;
    # to class 0 (4 examples): its ancestor ~label 1 sets unit 0 off, no unit is on, and the tie goes to class 0
    assert result.no_ancestors == ()
    assert result.tally.aligned == result.tally.correct == 8
    assert [tally.aligned for tally in result.by_alternative] == [4, 4]


def test_thresholds_are_those_of_the_graph(model, graph):
    """With every threshold out of reach all booleans are off, and binarising alone makes the network say class 1."""
    deaf = NDG(replace(graph.implications, thresholds=np.full(4, 2.0)))
    result = trial(model, deaf, loader(), "Q", settings=TrialSettings(values=substitution.Boolean()), options=SERIAL)
    right = [true for true, _, right in pairs(0) if right]
    assert result.controls["binarise"].unchanged == result.tally.kept == right.count(1)


def test_examples_that_binarising_alone_breaks_are_told_apart(model, graph):
    deaf = NDG(replace(graph.implications, thresholds=np.full(4, 2.0)))
    tally = trial(
        model, deaf, loader(), "Q", settings=TrialSettings(values=substitution.Boolean()), options=SERIAL
    ).tally
    assert 0 < tally.kept < tally.correct
    assert tally.kept_aligned <= tally.aligned


def test_one_of_several_layers_is_intervened_on(model, graph):
    found = graph.implications
    wide = NodeSpace(3, (LayerUnits("encoder", 4), LayerUnits("latent", 4)))

    def moved(nodes: np.ndarray) -> np.ndarray:
        return np.where(nodes >= 3, nodes + 4, nodes)

    def widened(counts: np.ndarray) -> np.ndarray:
        return np.concatenate([counts[..., :3], np.zeros((*counts.shape[:-1], 4), np.int64), counts[..., 3:]], axis=-1)

    codes = [2 * moved(column >> 1) + (column & 1) for column in (found.antecedents, found.consequents)]
    both = NDG(
        replace(
            found,
            nodes=wide,
            antecedents=codes[0].astype(np.int32),
            consequents=codes[1].astype(np.int32),
            on=widened(found.on),
            with_label=widened(found.with_label),
            thresholds=np.concatenate([np.full(4, -1e9), found.thresholds]),
            constants=(Literal(3),),
        )
    )
    expected = trial(model, graph, loader(), "Q", options=RunOptions(seed=SEED, executor="serial"))
    assert (
        trial(
            model,
            both,
            loader(),
            "Q",
            settings=TrialSettings(layer="latent"),
            options=RunOptions(seed=SEED, executor="serial"),
        ).tally
        == expected.tally
    )
    with pytest.raises(GraphError, match="intervenes on one layer; the graph has encoder, latent; pass layer="):
        trial(model, both, loader(), "Q")
