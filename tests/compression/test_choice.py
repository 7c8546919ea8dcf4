"""Which units go: the lowest share of each layer or of all, above a floor; and schedules of shares."""

from __future__ import annotations

import numpy as np
import pytest

from ndg.compression.choice import check_share, floors, lowest, part_of
from ndg.compression.schedule import shares
from ndg.errors import ConfigError

FITNESS = {"a": np.array([3.0, 1.0, 2.0, 9.0, 8.0]), "b": np.array([0.5, 0.1, 7.0, 0.2])}


def chosen(*args, **how):
    return {layer: units.tolist() for layer, units in lowest(*args, **how).items()}


def test_each_layer_loses_its_lowest_share_rounded_down():
    assert chosen(FITNESS, 0.4) == {"a": [1, 2], "b": [1]}
    assert chosen(FITNESS, 0.2) == {"a": [1]}


def test_all_layers_are_ranked_together():
    assert chosen(FITNESS, 0.45, scope="all") == {"a": [1, 2], "b": [1, 3]}  # b keeps two: its 0.5 stays
    assert chosen(FITNESS, 0.12, scope="all") == {"b": [1]}


def test_a_floor_stops_a_layer_and_two_units_always_stay():
    assert chosen(FITNESS, 0.8) == {"a": [0, 1, 2], "b": [1, 3]}
    assert chosen(FITNESS, 0.8, keep={"a": 4, "b": 4}) == {"a": [1]}
    assert floors({"a": 10, "b": 5}, 0.3) == {"a": 3, "b": 2}


def test_ties_go_to_the_lower_number_and_shares_are_exact():
    assert chosen({"a": np.zeros(10)}, 0.3) == {"a": [0, 1, 2]}
    assert [part_of(0.1 * count, 10) for count in range(11)] == list(range(11))


def test_a_share_that_empties_a_layer_is_refused():
    check_share({"a": 5}, 0.6, "share")
    with pytest.raises(ConfigError, match=r"share=0.8 leaves 1 of 5 in 'a'; take at most 0.6, or name other layers"):
        check_share({"b": 40, "a": 5}, 0.8, "share")
    with pytest.raises(ConfigError, match=r"share=0.01 is less than one unit of 40; take at least 0.025"):
        check_share({"b": 40, "a": 5}, 0.01, "share")
    check_share({"b": 40, "a": 5}, 0.9, "share", "all")
    with pytest.raises(ConfigError, match=r"takes 42 of 45 units, and 41 can go; take at most 0\.911"):
        check_share({"b": 40, "a": 5}, 0.95, "share", "all")


def test_schedules_end_at_the_share_and_never_fall():
    assert shares(0.5, 1) == [0.5]
    assert shares(0.8, 4, "linear") == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert shares(0.8, 2) == pytest.approx([0.7, 0.8])  # 0.8 (1 - 1/8)
    assert shares(0.9, 7) == sorted(shares(0.9, 7))
    for wrong in ((0.5, 0), (1.0, 2), (0.0, 2)):
        with pytest.raises(ConfigError, match="inside"):
            shares(*wrong)
    with pytest.raises(ConfigError, match="nearest: cubic"):
        shares(0.5, 2, "cubik")
