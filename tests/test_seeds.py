"""Children of one seed: named, repeatable, and independent of how examples are grouped."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import seeds


def test_children_differ_by_purpose_and_by_seed():
    drawn = {seeds.integer(s, *p) for s in range(3) for p in [("split",), ("init",), ("split", 1), ("spl", "it")]}
    assert len(drawn) == 12
    assert all(0 <= child < 2**63 for child in drawn)


def test_a_child_is_the_same_in_every_process():
    assert seeds.integer(0, "split") == 385159735380740702


@given(st.integers(0, 2**40), st.integers(1, 60), st.integers(1, 5), st.integers(0, 60))
@settings(max_examples=50)
def test_words_belong_to_an_example_not_to_a_batch(seed, count, draws, cut):
    index = np.arange(count, dtype=np.int64)
    whole = seeds.words(seed, "x", examples=index, draws=draws)
    parts = [seeds.words(seed, "x", examples=part, draws=draws) for part in (index[:cut], index[cut:])]
    assert (whole == np.concatenate(parts)).all()
    assert (seeds.words(seed, "x", examples=index, draws=draws + 1)[:, :draws] == whole).all()


def test_words_are_uniform_and_uncorrelated_between_neighbours():
    drawn = seeds.words(0, "x", examples=np.arange(20_000), draws=3) / 2.0**64
    assert abs(drawn.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.03
