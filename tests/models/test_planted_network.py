"""Networks of gates: they compute their circuit, with its logical truth."""

import numpy as np
import pytest
import torch

import ndg
from ndg.errors import ConfigError, DataError, ShapeError
from ndg.mining.miner import find
from ndg.models.planted import GAP, Circuit, Gate, PlantedNet, draw

LAYERS = ["first", "second"]
HAND = Circuit(
    thresholds=((0.3, 0.6), (0.5,)),
    gates=(Gate(True, (1, 2), (True, True)), Gate(False, (1, 2), (True, False))),
    heads=(0,),
)
ONE_WAY = [
    ("first:1", "first:0"),  # nested thresholds
    ("second:0", "first:1"),  # AND
    ("second:0", "first:2"),
    ("second:0", "first:0"),
    ("first:1", "second:1"),  # OR
    ("~first:2", "second:1"),
    ("second:0", "second:1"),
    ("second:0", "label:1"),  # the head
    ("label:1", "second:0"),
    ("second:0", "~label:0"),
    ("~label:0", "second:0"),
    *[(label, unit) for label in ("label:1", "~label:0") for unit in ("first:0", "first:1", "first:2", "second:1")],
]


def negated(text):
    return text.removeprefix("~") if text.startswith("~") else f"~{text}"


def bits(circuit, examples, noise=0.0, seed=0):
    inputs = torch.from_numpy(circuit.inputs(examples, seed))
    return ndg.extract(PlantedNet(circuit, noise, seed), [inputs], layers=LAYERS)


def test_the_truth_of_a_circuit_drawn_by_hand():
    truth = HAND.truth()
    assert truth.texts() == {*ONE_WAY, *((negated(q), negated(p)) for p, q in ONE_WAY)}
    assert len(truth) == len(ONE_WAY) == 19
    assert HAND.rates == pytest.approx([0.8, 0.2, 0.7, 0.4, 0.5, 0.2, 0.7])


def test_the_values_of_a_circuit_are_its_gates():
    inputs = np.array([[0.7, 0.6], [0.7, 0.4], [0.4, 0.6], [0.1, 0.1]], np.float32)
    expected = [[0, 1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0, 1], [1, 0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1]]
    assert HAND.values(inputs).astype(int).tolist() == expected


@pytest.mark.parametrize("circuit", [HAND, *(draw(seed=seed) for seed in range(4)), draw(3, 1, 2, 2, seed=1)])
def test_the_network_computes_the_circuit(circuit):
    inputs = circuit.inputs(2000, seed=1)
    found = ndg.extract(PlantedNet(circuit), [torch.from_numpy(inputs)], layers=LAYERS)
    assert found.nodes == circuit.nodes
    assert np.array_equal(found.to_bool(), circuit.values(inputs))


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_what_no_example_of_many_contradicts_and_rates_are_theirs(seed):
    circuit = draw(seed=seed)
    values = circuit.values(circuit.inputs(200_000, seed))
    literals = np.stack([~values, values], axis=2).reshape(len(values), -1).astype(np.float32)
    exceptions = literals.T @ (1 - literals)
    apart = np.arange(60)[:, None] >> 1 != np.arange(60)[None, :] >> 1
    assert np.array_equal(circuit.truth().follows, (exceptions == 0) & apart)
    assert values.mean(axis=0) == pytest.approx(circuit.rates, abs=0.006)


@pytest.mark.parametrize("seed", range(3))
def test_extraction_and_mining_find_what_the_weights_make_true(seed):
    circuit = draw(seed=seed)
    graph = ndg.mine(bits(circuit, 20_000, seed=seed), alpha=20)
    recovery = circuit.truth().recovered(graph.implications)
    assert recovery.recall == 1
    assert recovery.false == 0
    assert recovery.true > 80


def test_noise_on_the_weights_moves_units_and_its_seed_repeats():
    circuit = draw(seed=0)
    clean, noisy = bits(circuit, 3000), bits(circuit, 3000, noise=0.1)
    assert 0.02 < (clean.to_bool() != noisy.to_bool()).mean() < 0.3
    assert noisy == bits(circuit, 3000, noise=0.1)
    assert 0.5 < circuit.truth().recovered(find(noisy)).recall <= 1


def test_inputs_keep_away_from_thresholds_and_their_seed_repeats():
    circuit = draw(seed=2)
    inputs = circuit.inputs(5000, seed=3)
    for i, own in enumerate(circuit.thresholds):
        assert np.abs(inputs[:, i, None] - np.array(own)).min() > 0.99 * GAP
    assert np.array_equal(inputs[:100], circuit.inputs(100, seed=3))
    assert draw(seed=2) == circuit != draw(seed=3)


@pytest.mark.parametrize("part", [slice(0, 3), slice(-12, None)])
def test_labels_and_gates_are_on_and_off_often_enough(part):
    rates = draw(rare=0.1, seed=0).rates[part]
    assert rates.min() >= 0.1
    assert rates.max() <= 0.9


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Circuit(((0.5, 0.51),), HAND.gates, (0,)), r"more than 0.02 apart; got \(0.5, 0.51\)"),
        (lambda: Circuit(((),), HAND.gates, (0,)), r"thresholds of an input must ascend"),
        (lambda: Circuit(((0.5,),) * 17, HAND.gates, (0,)), r"at most 100,000 cells.*got 131,072; use fewer inputs"),
        (lambda: Circuit(HAND.thresholds, (Gate(True, (3,), (True,)),), (0,)), r"first-layer units, 0 to 2; got \[3\]"),
        (lambda: Circuit(HAND.thresholds, (Gate(True, (1,), ()),), (0,)), r"one value for each of its units"),
        (lambda: Circuit(HAND.thresholds, HAND.gates, (2,)), r"heads must be gates, 0 to 1; got \(2,\)"),
        (lambda: draw(inputs=2), r"at least 3 inputs.*got 2, 3, 12, 3 and 0.05"),
        (lambda: draw(gates=1, labels=3), r"at most one more than gates"),
        (lambda: PlantedNet(HAND, -0.1), r"a standard deviation, must be at least 0; got -0.1"),
        (lambda: HAND.inputs(0), r"at least 1 example; got 0"),
    ],
)
def test_a_circuit_that_cannot_be_is_named(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_inputs_of_another_width_and_circuits_too_rare_are_refused():
    with pytest.raises(ShapeError, match=r"needs 2 inputs; got shape \(5, 3\)"):
        HAND.values(np.zeros((5, 3), np.float32))
    with pytest.raises(DataError, match=r"with 1 gates and 2 labels; allow rarer gates"):
        draw(3, 1, 1, 2, rare=0.499)
