"""Mining in Ray workers gives the same implications, even if a node is lost."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ndg import executors
from ndg.bits.matrix import BitMatrix
from ndg.discovery import mine, sweep
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions
from tests.references import mining as slow

pytestmark = [pytest.mark.slow, pytest.mark.ray]

ROOT = Path(__file__).parent.parent.parent


def test_workers_find_the_same(ray_session, monkeypatch):
    monkeypatch.setattr("ndg.mining.counters.EDGE", 16)
    values = np.random.default_rng(0).random((300, 70)) < 0.4
    values[:, ::2] |= values[:, 1::2]
    bits = BitMatrix.from_bool(values, NodeSpace(3, (LayerUnits("x", 67),)))
    alone = sweep(bits, [1.2, 3], options=RunOptions(executor="serial"))
    together = sweep(bits, [1.2, 3], options=RunOptions(executor=executors.ray(timeout=120.0)))
    assert alone == together
    assert len(alone[0]) > len(alone[1]) > 10
    assert mine(bits, alpha=1.2, options=RunOptions(executor="ray")) == alone[0]


def test_a_lost_node_costs_time_and_nothing_else(tmp_path):
    script = Path(__file__).parent / "lost_node.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["lost"] > 0, "the node was killed while it counted nothing, so nothing was proved"
    assert told["together"] == told["alone"]
    assert len(told["alone"][0]) > 100


def test_workers_find_what_the_definition_says(ray_session, monkeypatch):
    monkeypatch.setattr("ndg.mining.counters.EDGE", 5)
    values = np.random.default_rng(1).random((65, 12)) < 0.4
    values[:, ::2] |= values[:, 1::2]
    found = mine(
        BitMatrix.from_bool(values, NodeSpace(1, (LayerUnits("x", 11),))),
        alpha=2,
        pairs="all",
        options=RunOptions(executor=executors.ray(timeout=120.0)),
    ).implications
    expected = slow.implications(values, 1, lambda e, p, q, n: slow.paper(e, p, q, n, 2.0))
    ends = zip(found.antecedents.tolist(), found.consequents.tolist(), found.exceptions.tolist(), strict=True)
    assert expected
    assert {((p >> 1, bool(p & 1)), (q >> 1, bool(q & 1))): e for p, q, e in ends} == expected
