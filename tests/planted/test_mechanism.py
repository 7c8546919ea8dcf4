"""Planted mechanisms: truth as entailed by the formula, examples that satisfy it."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ndg.errors import ConfigError, DataError
from ndg.mining.miner import find
from ndg.planted.mechanism import plant
from tests.references import planted as reference


@st.composite
def mechanisms(draw, max_nodes=6):
    nodes = draw(st.integers(2, max_nodes))
    equivalent = draw(st.integers(0, min(nodes // 2, nodes - 2)))
    implications = draw(st.integers(1, nodes - equivalent - 1))
    depth = draw(st.integers(1, min(implications, nodes - equivalent - 1)))
    ends = sorted((draw(st.floats(0.1, 0.9)), draw(st.floats(0.1, 0.9))))
    try:
        return plant(
            nodes,
            implications,
            depth=depth,
            equivalent=equivalent,
            rates=tuple(ends),
            rare=0,
            seed=draw(st.integers(0)),
        )
    except DataError:
        assume(False)


def codes(mechanism):
    return set(map(tuple, np.argwhere(mechanism.follows).tolist()))


@settings(max_examples=40, deadline=None)
@given(mechanisms())
def test_the_closure_is_exactly_what_the_formula_entails(mechanism):
    assert codes(mechanism) == reference.entailed(mechanism)


@settings(max_examples=25, deadline=None)
@given(mechanisms())
def test_every_satisfying_assignment_and_no_other_has_a_probability(mechanism):
    found = reference.probabilities(mechanism)
    assert set(found) == set(reference.satisfying(mechanism))
    assert min(found.values()) > 0
    assert sum(found.values()) == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(mechanisms())
def test_examples_come_as_often_as_the_mechanism_says(mechanism):
    values = mechanism.population()
    expected = reference.probabilities(mechanism)
    places = 1 << np.arange(len(mechanism.nodes))
    counts = np.bincount(values @ places, minlength=2 ** len(mechanism.nodes))
    for assignment, probability in expected.items():
        deviation = np.sqrt(probability * (1 - probability) / len(values))
        assert counts[int(np.dot(assignment, places))] / len(values) == pytest.approx(
            probability, abs=6 * deviation + 1e-4
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0), st.integers(1, 200))
def test_examples_without_noise_have_no_exception(seed, examples):
    mechanism = plant(12, 8, depth=3, equivalent=2, rare=0, seed=seed)
    values = mechanism.values(examples, seed=seed)
    literals = np.stack([~values, values], axis=2).reshape(examples, -1)
    p, q = np.nonzero(mechanism.follows)
    assert not (literals[:, p] & ~literals[:, q]).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0))
def test_what_follows_is_closed_and_never_contradicts_itself(seed):
    mechanism = plant(12, 8, depth=3, equivalent=2, rare=0, seed=seed)
    follows, code = mechanism.follows, np.arange(24)
    two_steps = (follows.astype(int) @ follows.astype(int)) > 0
    np.fill_diagonal(two_steps, False)
    assert np.array_equal(follows, follows[code ^ 1][:, code ^ 1].T)
    assert not (two_steps & ~follows).any()
    assert not follows.diagonal().any()
    assert not follows[code, code ^ 1].any()
    assert all(follows[p.code, q.code] for p, q in mechanism.planted)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_the_longest_chain_has_the_depth_asked_for_and_copies_are_equivalent(depth):
    mechanism = plant(16, 10, depth=depth, equivalent=3, rare=0, seed=1)
    mutual = mechanism.follows & mechanism.follows.T
    assert mutual.sum() == 2 * 3 * 2  # both ways, on and off
    strict = mechanism.follows & ~mutual
    walk, steps = np.eye(32, dtype=bool), -1
    while walk.any():
        walk, steps = (walk.astype(int) @ strict.astype(int)) > 0, steps + 1
    assert steps == depth
    assert len(mechanism.planted) == 10 + 2 * 3


def test_noise_flips_each_bit_with_its_probability_and_leaves_the_examples_under_it():
    mechanism = plant(seed=3)
    clean, noisy = mechanism.values(20_000, seed=5), mechanism.values(20_000, 0.03, seed=5)
    assert (clean != noisy).mean() == pytest.approx(0.03, abs=0.001)
    assert abs(np.corrcoef((clean != noisy).T) - np.eye(40)).max() < 0.05


def test_noise_makes_exceptions_as_the_flips_of_one_end_say():
    mechanism, noise, examples = plant(seed=3), 0.03, 100_000
    cells = {}
    for name, values in (("clean", mechanism.values(examples)), ("noisy", mechanism.values(examples, noise))):
        literals = np.stack([~values, values], axis=2).reshape(examples, -1).astype(np.float32)
        cells[name] = literals.T @ literals / examples
    p, q = np.nonzero(mechanism.follows)
    clean, noisy = cells["clean"], cells["noisy"]
    assert not clean[p, q ^ 1].any()
    flips_one = noise * (1 - noise) * (clean[p, q] + clean[p ^ 1, q ^ 1]) + noise**2 * clean[p ^ 1, q]
    assert noisy[p, q ^ 1] == pytest.approx(flips_one, abs=0.003)


def test_seeds_repeat_and_fewer_examples_are_the_first_of_more():
    one, again, other = plant(seed=4), plant(seed=4), plant(seed=5)
    assert one.planted == again.planted
    assert np.array_equal(one.rates, again.rates)
    assert one.planted != other.planted
    assert np.array_equal(one.values(500, 0.1, seed=2), again.values(500, 0.1, seed=2))
    assert np.array_equal(one.values(100, 0.1, seed=2), one.values(500, 0.1, seed=2)[:100])
    assert not np.array_equal(one.values(500, seed=2), one.values(500, seed=3))


def test_every_node_is_on_and_off_often_enough():
    on = plant(24, 12, depth=2, equivalent=2, rare=0.1, seed=0).population().mean(axis=0)
    assert on.min() >= 0.1
    assert on.max() <= 0.9


def test_the_papers_criterion_finds_an_easy_truth_whole_and_nothing_else():
    mechanism = plant(24, 12, depth=2, equivalent=2, rare=0.1, seed=0)
    recovery = mechanism.truth().recovered(find(mechanism.bits(20_000), "paper", alpha=20.0))
    assert recovery.recall == recovery.precision == recovery.f1 == 1
    assert recovery.false == recovery.missed == 0 < recovery.true


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"nodes": 1, "equivalent": 0}, r"at least 2 nodes, of which at most half are copies.*got 1 nodes and 0"),
        ({"nodes": 4, "equivalent": 3}, r"got 4 nodes and 3 equivalent"),
        ({"depth": 0}, r"at least 1 step and at most one per planted implication.*got depth 0, 30 implications"),
        ({"implications": 2, "depth": 3}, r"got depth 3, 2 implications"),
        ({"nodes": 4, "equivalent": 0}, r"got depth 4, 30 implications, 4 nodes"),
        ({"rates": (0.0, 0.5)}, r"in \(0, 1\).*got \(0.0, 0.5\) and 0.02"),
        ({"rates": (0.6, 0.5)}, r"got \(0.6, 0.5\)"),
        ({"rare": 0.5}, r"rare a share in \[0, 0.5\)"),
    ],
)
def test_a_parameter_out_of_range_is_named(asked, message):
    with pytest.raises(ConfigError, match=message):
        plant(**asked)


def test_what_cannot_be_planted_says_what_to_change():
    with pytest.raises(DataError, match=r"none of 100 graphs with 3 nodes, 9 planted .*; plant fewer"):
        plant(3, 9, depth=1, equivalent=0)


@pytest.mark.parametrize(("examples", "noise"), [(0, 0.0), (10, -0.1), (10, 0.5), (10, float("nan"))])
def test_examples_and_noise_out_of_range_are_named(examples, noise):
    with pytest.raises(ConfigError, match=rf"at least 1 example and a noise in \[0, 0.5\).*got {examples} and {noise}"):
        plant(4, 2, depth=1, equivalent=0).values(examples, noise)
