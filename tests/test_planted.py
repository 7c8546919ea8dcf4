"""The table of planted truth: its rows, its control, its intervals."""

import json
import math

import numpy as np
import pytest

from analysis import planted
from ndg.mining.criteria import CRITERIA
from ndg.planted.mechanism import plant


def test_the_tables_hold_every_criterion_beside_its_control(tmp_path, capsys):
    small = ["--seeds", "2", "--noise", "0", "0.01", "--examples", "200"]
    assert planted.main([*small, "--json", str(tmp_path / "table.json")]) == 0
    printed = capsys.readouterr().out
    tables = json.loads((tmp_path / "table.json").read_text())
    assert len(tables) == 4
    for title, rows in tables.items():
        assert title in printed
        assert {row["rule"].split()[0] for row in rows} == set(CRITERIA)
        for row in rows:
            assert row["seeds"] == 2
            assert row["control"] >= 0
            assert 0 <= row["recall"]["low"] <= row["recall"]["value"] <= row["recall"]["high"] <= 1
    by_noise = next(iter(tables.values()))
    assert {row["noise"] for row in by_noise} == {0, 0.01}
    paper = next(row for row in by_noise if row["rule"] == "paper alpha=20")
    assert paper["recall"]["value"] > 0.9
    assert paper["false_discovery"]["value"] < 0.02
    assert paper["control"] == 0


def test_the_control_keeps_the_margins_and_nothing_else():
    bits = plant(seed=0).bits(1000)
    control = planted.shuffled(bits, 0)
    assert np.array_equal(control.on(), bits.on())
    assert control == planted.shuffled(bits, 0) != planted.shuffled(bits, 1)
    assert abs(np.corrcoef(control.to_bool().T) - np.eye(40)).max() < 0.2


def test_the_interval_over_seeds_is_students():
    found = planted.over_seeds([0.4, 0.5, 0.6, math.nan])
    assert found.value == pytest.approx(0.5)
    assert found.high - found.value == pytest.approx(4.302652729911275 * 0.1 / math.sqrt(3))
    assert planted.over_seeds([1.0, 0.9]).high == 1
    assert math.isnan(planted.over_seeds([math.nan]).value)


def test_one_seed_gives_no_interval(capsys):
    assert planted.main(["--seeds", "1"]) == 2
    assert "needs at least 2 seeds; got 1" in capsys.readouterr().err
    assert planted.main(["--seeds", "2", "--noise", "0.7"]) == 2
    assert "a noise in [0, 0.5)" in capsys.readouterr().err
