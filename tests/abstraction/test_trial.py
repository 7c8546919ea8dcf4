"""Trials of a network of three classes and four latents that is worked out by hand.

Latents (all saturated): l0, l1, l2 are on for their class, l3 for classes 0 and 1.
Logits: 6 l0, 2 l1 + 4 (1 - l3), 5 l2.
Implications, with their contrapositives: l0 -> label 0, l1 -> label 1, label 0 -> l3, label 1 -> l3, label 2 -> ~l3.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import executors, seeds
from ndg.abstraction.trial import trial, trials
from ndg.activations.compute import compute_batches
from ndg.data.examples import Examples
from ndg.data.inputs import Numbers
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.executors import Serial
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.graph_cases import implications

EXAMPLES = 60
SEED = 3
BITS = {0: (1, 0, 0, 1), 1: (0, 1, 0, 1), 2: (0, 0, 1, 0)}
EDGES = [
    ("latent:0", "label:0"),
    ("latent:1", "label:1"),
    ("label:0", "latent:3"),
    ("label:1", "latent:3"),
    ("label:2", "~latent:3"),
]

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


class ByHand(nn.Module):
    """Three inputs, one per class, to four latents, to three logits."""

    latent_layer = "latent"

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 3)
        with torch.no_grad():
            self.encoder.weight.copy_(40 * torch.tensor([BITS[label] for label in range(3)]).T)
            self.encoder.bias.fill_(-20)
            self.decoder.weight.copy_(torch.tensor([[6.0, 0, 0, 0], [0, 2, 0, -4], [0, 0, 5, 0]]))
            self.decoder.bias.copy_(torch.tensor([0.0, 4, 0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.latent(self.encoder(x)))


@pytest.fixture
def model() -> ByHand:
    return ByHand()


@pytest.fixture
def graph() -> NDG:
    nodes = NodeSpace(3, (LayerUnits("latent", 4),))
    bits = np.array([np.eye(3)[label].tolist() + list(BITS[label]) for label in (0, 1, 2) * 10], np.bool_)
    edges = [(nodes.literal(p).code, nodes.literal(q).code) for p, q in EDGES]
    return NDG(replace(implications(bits, nodes, edges), thresholds=np.full(4, 0.5)))


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Classes in turn; every tenth example has a wrong label, so that the network is wrong there."""
    shown = torch.arange(EXAMPLES) % 3
    true = torch.where(torch.arange(EXAMPLES) % 10 == 9, (shown + 1) % 3, shown)
    return torch.eye(3)[shown], true


def loader(size: int = EXAMPLES) -> list[tuple[torch.Tensor, torch.Tensor]]:
    inputs, true = examples()
    return [(inputs[start : start + size], true[start : start + size]) for start in range(0, EXAMPLES, size)]


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
    result = trial(model, graph, loader(), name, seed=SEED, executor="serial")
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
    result = trial(model, graph, loader(), "Q", seed=SEED, executor="serial")
    turned = result.by_alternative[0]
    assert turned.aligned == turned.correct > 0


def test_a_class_without_ancestors_is_reported_and_its_examples_are_counted(model, graph):
    found = trials(model, graph, loader(), seed=SEED, executor="serial")
    assert found["Q"].no_ancestors == (2,)
    assert found["G.1"].no_ancestors == found["G.2"].no_ancestors == ()
    assert found["Q"].tally.no_ancestors == sum(right and other == 2 for _, other, right in pairs()) > 0
    assert found["Q"].by_alternative[2] == replace(
        found["G.2"].by_alternative[2], no_ancestors=found["Q"].tally.no_ancestors
    )
    assert found["G.2"].tally.no_ancestors == 0


def test_a_graph_without_implications_sets_nothing(model, graph):
    bare = NDG(replace(implications(np.zeros((4, 7), np.bool_), graph.nodes, []), thresholds=np.full(4, 0.5)))
    for result in trials(model, bare, loader(), executor="serial").values():
        assert all(tally.neurons_set == 0 for tally in result.controls.values())
        assert result.tally.unchanged == result.tally.correct
        assert result.words().endswith("the graph names no neuron of latent, so nothing but binarising was on trial.")


def test_the_prototype_on_its_surest_neurons_is_that_worked_out_by_hand(model, graph):
    result = trial(model, graph, loader(), "Q", seed=SEED, executor="serial")
    assert figures(result.controls["prototype_surest"]) == counted(SUREST_OF_Q)


def test_controls_set_as_many_neurons_and_binarising_sets_none(model, graph):
    for result in trials(model, graph, loader(), seed=SEED, executor="serial").values():
        sizes = {name: tally.neurons_set for name, tally in result.controls.items()}
        assert sizes.pop("binarise") == 0
        assert set(sizes.values()) == {result.tally.neurons_set}
        assert result.controls["binarise"].unchanged == result.tally.correct
        assert {tally.correct for tally in result.controls.values()} == {result.tally.correct}


@pytest.mark.parametrize("size", [1, 7, EXAMPLES])
@pytest.mark.parametrize("batch", [16, 256])
def test_the_users_batch_size_changes_nothing(model, graph, size, batch):
    expected = trials(model, graph, loader(), seed=SEED, executor="serial", batch=16)
    found = trials(model, graph, loader(size), seed=SEED, executor="serial", batch=batch)
    assert tallies(found) == tallies(expected)


def test_ray_gives_the_same_integers_and_leaves_a_running_session_alone(ray_session, model, graph):
    expected = trials(model, graph, loader(), seed=SEED, executor="serial", batch=8)
    found = trials(model, graph, loader(7), seed=SEED, executor="ray", batch=8, timeout=120.0)
    assert tallies(found) == tallies(expected)
    assert {result.executor for result in found.values()} == {"ray"}
    assert ray_session.is_initialized()


def test_auto_takes_ray_where_it_is_quicker_and_counts_the_timed_batch_once(ray_session, model, graph, monkeypatch):
    monkeypatch.setattr(executors, "JOIN_SECONDS", -1e6)
    expected = trials(model, graph, loader(), seed=SEED, executor="serial", batch=8)
    found = trials(model, graph, loader(), seed=SEED, batch=8, timeout=120.0)
    assert {result.executor for result in found.values()} == {"ray"}
    assert all(result.reason.startswith("ray: 7 batches of") for result in found.values())
    assert tallies(found) == tallies(expected)


def test_an_error_in_a_ray_worker_is_the_error_that_serial_raises(ray_session, model, graph):
    model.decoder = nn.Linear(4, 5)
    with pytest.raises(ShapeError, match="the graph is of another network: it has 3 labels"):
        trial(model, graph, loader(), executor="ray", batch=16, timeout=120.0)


def test_the_same_seed_draws_the_same_and_another_seed_draws_otherwise(model, graph):
    def found(seed: int, repeats: int = 4):
        return tallies(trials(model, graph, loader() * repeats, seed=seed, executor="serial"))

    assert found(1) == found(1)
    assert found(1) != found(2)


def test_the_draws_of_an_example_do_not_depend_on_what_comes_after_it(model, graph):
    """The tallies of a longer loader are those of its beginning plus the rest."""
    whole = trial(model, graph, loader(20), seed=SEED, executor="serial", batch=20)
    first = trial(model, graph, loader(20)[:2], seed=SEED, executor="serial", batch=20)
    assert whole.tally.aligned >= first.tally.aligned
    expected = [sum(right for true, other, right in pairs()[:40] if other == label) for label in range(3)]
    assert [tally.correct for tally in first.by_alternative] == expected


def test_the_network_is_left_as_it_was(model, graph):
    inputs, _ = examples()
    model.train()
    before = model(inputs)
    threads = torch.get_num_threads()
    trials(model, graph, loader(), executor="serial")
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
    graph = NDG(replace(implications(bits, nodes, edges), thresholds=np.full(2, 0.5)))
    inputs = torch.tensor([[0.0], [1.0]] * 4)
    result = trial(model, graph, [(inputs, torch.arange(8) % 2)], "Q", executor="serial")
    # to class 1 (4 examples): unit 0 is set on, beside unit 1 the logits are 2 and 3;
    # to class 0 (4 examples): its ancestor ~label 1 sets unit 0 off, no unit is on, and the tie goes to class 0
    assert result.no_ancestors == ()
    assert result.tally.aligned == result.tally.correct == 8
    assert [tally.aligned for tally in result.by_alternative] == [4, 4]


def test_thresholds_are_those_of_the_graph(model, graph):
    """With every threshold out of reach all booleans are off, and binarising alone makes the network say class 1."""
    deaf = NDG(replace(graph.implications, thresholds=np.full(4, 2.0)))
    result = trial(model, deaf, loader(), "Q", executor="serial")
    right = [true for true, _, right in pairs(0) if right]
    assert result.controls["binarise"].unchanged == result.tally.kept == right.count(1)


def test_examples_that_binarising_alone_breaks_are_told_apart(model, graph):
    deaf = NDG(replace(graph.implications, thresholds=np.full(4, 2.0)))
    tally = trial(model, deaf, loader(), "Q", executor="serial").tally
    assert 0 < tally.kept < tally.correct
    assert tally.kept_aligned <= tally.aligned


def test_auto_says_why_it_is_serial(model, graph):
    result = trial(model, graph, loader(7), "Q", batch=16, seed=SEED)
    assert result.executor == "serial"
    assert re.match(r"serial: 3 batches of \S+ s \(one was timed\) are about \S+ s in this process and", result.reason)
    assert trial(model, graph, loader(7)).reason == "serial: there is one batch only"
    assert result.tally == trial(model, graph, loader(), "Q", seed=SEED, executor=Serial()).tally


def test_an_iterator_that_does_not_tell_its_length_is_walked_once(model, graph):
    result = trial(model, graph, iter(loader(7)), "Q", seed=SEED)
    assert result.reason == "serial: the number of batches is not known before they are read"
    assert result.tally == trial(model, graph, loader(), "Q", seed=SEED, executor="serial").tally


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
    expected = trial(model, graph, loader(), "Q", seed=SEED, executor="serial")
    assert trial(model, both, loader(), "Q", seed=SEED, executor="serial", layer="latent").tally == expected.tally
    with pytest.raises(GraphError, match="intervenes on one layer; the graph has encoder, latent; pass layer="):
        trial(model, both, loader(), "Q")


def wrong(model, graph, **change):
    nodes = NodeSpace(change.get("labels", 3), (LayerUnits(change.get("layer", "latent"), change.get("units", 4)),))
    bits = np.zeros((4, len(nodes)), np.bool_)
    return NDG(replace(implications(bits, nodes, []), thresholds=np.full(nodes.neurons, 0.5)))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"units": 5},
            ShapeError,
            "3 labels and 5 units of 'latent', the network 3 and 4; use the graph that was mined",
        ),
        ({"labels": 4}, ShapeError, "4 labels and 4 units of 'latent', the network 3 and 4"),
        ({"layer": "latents"}, LayerError, "no layer 'latents' in ByHand; nearest: latent"),
        ({"labels": 1}, ShapeError, "an alternative class needs at least 2 classes; the graph has 1"),
    ],
)
def test_a_graph_of_another_network_is_refused(model, graph, change, error, text):
    with pytest.raises(error, match=re.escape(text)):
        trial(model, wrong(model, graph, **change), loader(), executor="serial")


def test_what_is_asked_for_must_exist(model, graph):
    with pytest.raises(GraphError, match="no layer 'later' in this graph; nearest: latent"):
        trial(model, graph, loader(), layer="later")
    with pytest.raises(ConfigError, match=r"an intervention is one of Q, G\.1, G\.2; got 'G\.3'; nearest: G"):
        trial(model, graph, loader(), "G.3")
    with pytest.raises(ConfigError, match="an executor is auto, serial or ray; got 'rays'; nearest: ray"):
        trial(model, graph, loader(), executor="rays")
    with pytest.raises(DataError, match="at least one intervention"):
        trials(model, graph, loader(), [])


@pytest.mark.parametrize("executor", ["auto", "serial"])
def test_examples_and_labels_are_needed(model, graph, executor):
    inputs, true = examples()
    with pytest.raises(DataError, match="check"):
        trial(model, graph, [], executor=executor)
    with pytest.raises(DataError, match="needs the true labels; the loader gives inputs alone"):
        trial(model, graph, [inputs], executor=executor)
    with pytest.raises(
        DataError, match=r"one class from 0 to 2 per example; got torch.int64 of shape \(60,\) with values 1 to 3"
    ):
        trial(model, graph, [(inputs, true + 1)], executor=executor)


def test_nan_is_an_error_that_names_layer_and_unit(model, graph):
    with torch.no_grad():
        model.encoder.weight[2, 1] = float("nan")
    with pytest.raises(LayerError, match="unit 2 of 'latent' is NaN at example 0"):
        trial(model, graph, loader(), executor="serial")


def tallies(found):
    return {name: (result.controls, result.by_class, result.by_alternative) for name, result in found.items()}


def test_a_batch_is_sent_without_the_rows_that_it_is_cut_from():
    whole = torch.zeros(10_000, 8), torch.zeros(10_000, dtype=torch.int64)
    for given in (whole, {"x": whole[0], "labels": whole[1]}):
        batch = next(iter(compute_batches([given], 16)))
        assert len(pickle.dumps(batch)) < 8_000


def test_batches_of_the_loader_are_those_that_are_counted(model, graph):
    from ndg.abstraction.trial import _batches

    inputs, true = examples()
    dataset = torch.utils.data.TensorDataset(inputs, true)
    for known in (
        loader(7),
        [{"x": inputs, "labels": true}],
        [inputs],
        torch.utils.data.DataLoader(dataset, batch_size=7),
        Examples(Numbers(inputs.reshape(EXAMPLES, 1, 1, 3)), true, torch.arange(EXAMPLES)).loader(7),
    ):
        assert _batches(known, 16) == len(list(compute_batches(known, 16))) == 4
    assert _batches(iter(loader(7)), 16) is None
