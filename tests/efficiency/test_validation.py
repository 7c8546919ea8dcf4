"""The validation of the metrics: repair and removal on planted layers, correlations, masks of the claims."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis import efficiency_claims, efficiency_networks, efficiency_validation
from ndg.efficiency.observe import observe
from ndg.efficiency.parts import parts_of
from ndg.options import RunOptions

OPTIONS = RunOptions(progress=False)


@pytest.fixture(scope="module")
def planted():
    """A network of 12 units, of which the last 8 repeat the first 4."""
    spec = efficiency_networks.Spec("digits", (12,))
    network = efficiency_networks.build(spec, (1, 4, 4), 3, 0)
    with torch.no_grad():
        for values in (network[1].weight, network[1].bias):
            values[4:] = values[:4].repeat(2, *[1] * (values.ndim - 1))
    images = efficiency_networks.Images(torch.rand(400, 1, 4, 4), torch.arange(400) % 3)
    return efficiency_networks.Trained(spec, 0, network, images, images, 0.0)


def test_copies_can_really_be_removed_and_repair_is_exact(planted):
    parts = parts_of(planted.network)
    loader = [(planted.train.inputs, planted.train.labels)]
    seen = observe(planted.network, loader, parts, OPTIONS)[parts[0].name]
    smaller = efficiency_validation.repaired(planted.network, seen, np.arange(4))
    with torch.no_grad():
        difference = (smaller(planted.train.inputs) - planted.network(planted.train.inputs)).abs().max()
        assert (smaller[3].weight[:, 4:] == 0).all()
    assert difference < 1e-2
    [row] = efficiency_validation.layers_of(planted)
    assert row["really"] >= 8 / 12
    assert row["removable"] >= 8 / 12


def test_a_perfect_predictor_has_rho_one():
    rows = [
        {
            **dict.fromkeys(("k99", "effective_rank", "participation", "redundancy", "null_redundancy"), 1.0),
            **dict.fromkeys(("utilisation", "null_utilisation", "gini", "null_gini", "effective"), 0.5),
            **dict.fromkeys(("sparsity_1e2", "sparsity_1e3", "coverage_50", "coverage_90"), 0.1),
            "units": 8,
            "kind": "Linear",
            "network": f"network {number // 2}",
            "removable": number / 20,
            "really": number / 10,
        }
        for number in range(8)
    ]
    table = {row["metric"]: row for row in efficiency_validation.correlations(rows)}
    assert table["removable"]["rho"] == pytest.approx(1)
    assert table["removable"]["rho_low"] == pytest.approx(1)


def test_masks_remove_the_share(planted):
    for method, each in (("magnitude", False), ("activation", True)):
        kept = efficiency_claims.masks(planted, method, 0.5)
        ones, total = sum(float(mask.sum()) for mask in kept.values()), sum(mask.numel() for mask in kept.values())
        assert ones / total == pytest.approx(0.5, abs=0.05)
        if each:
            assert all(float(mask.mean()) == pytest.approx(0.5, abs=0.05) for mask in kept.values())


def test_trained_zeros_stay(planted):
    network = efficiency_networks.build(planted.spec, (1, 4, 4), 3, 1)
    kept = {"1.weight": (torch.rand(12, 16, generator=torch.Generator().manual_seed(0)) > 0.5).float()}
    efficiency_networks.fit(network, planted.train.inputs, planted.train.labels, 1, 0, masks=kept)
    assert ((network[1].weight == 0) == (kept["1.weight"] == 0)).all()


def test_a_claim_holds_where_its_worst_share_loses_one_point_at_most():
    rows = [
        {
            "network": "small",
            "data": "mnist",
            "method": method,
            "share": share,
            "whole": 0.9,
            "pruned": 0.9,
            "tuned": 0.9,
        }
        for method in efficiency_claims.METHODS
        for share in (0.4, 0.5, 0.6, 0.95)
    ]
    rows[3] |= {"pruned": 0.88, "tuned": 0.895}
    rows[1] |= {"tuned": 0.88}
    claimed = efficiency_claims.verdicts(efficiency_claims.summary([*rows, rows[3] | {"pruned": 0.86}]))
    assert [(row["claim"][:9], row["network"], row["without"], row["with"], row["n"]) for row in claimed] == [
        ("95 % spar", "small", "does not hold", "holds", 2),
        ("95 % spar", "small", "holds", "holds", 1),
        ("remove 40", "small", "holds", "does not hold", 1),
        ("remove 40", "small", "holds", "holds", 1),
    ]
    assert claimed[0]["lost"] == pytest.approx(3)
