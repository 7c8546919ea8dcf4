"""Which efficiency metric predicts the share of units that can really be removed?

    python -m analysis.efficiency_validation [--seeds 0] [--quick] [--cache FOLDER] [--markdown] [--json FILE]

For every layer of the networks of `analysis.efficiency_networks` whose units one layer reads, units are removed in the
optimal-brain-surgeon order, with least-squares repair of the reading layer, as long as at least 99 % of the predictions
on held-out images stay the same. The share of units removed is compared with each metric of the efficiency report by
Spearman's rank correlation over all layers; intervals resample networks. Width alone is the control. The thresholds of
the source are then checked on the same layers.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy.stats import spearmanr
from torch import nn

from analysis.efficiency_networks import SPECS, Trained, accuracy, predictions, trained
from ndg import atomic, seeds
from ndg.compression.obs import RIDGE, removals
from ndg.efficiency.measure import report
from ndg.efficiency.observe import Observation, observe
from ndg.efficiency.parts import parts_of
from ndg.efficiency.removal import outgoing
from ndg.errors import NDGError
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Interval, Table

AGREEMENT, CALIBRATION, DRAWS = 0.99, 1000, 1000
OPTIONS = RunOptions(progress=False)
Row = dict[str, Any]

PREDICTORS: dict[str, Callable[[Row], float]] = {
    "removable": lambda row: row["removable"],
    "k99 / width": lambda row: -row["k99"] / row["units"],
    "effective rank / width": lambda row: -row["effective_rank"] / row["units"],
    "participation / width": lambda row: -row["participation"] / row["units"],
    "width": lambda row: row["units"],
    "redundancy": lambda row: row["redundancy"],
    "redundancy - null": lambda row: row["redundancy"] - row["null_redundancy"],
    "1 - utilisation": lambda row: -row["utilisation"],
    "null utilisation - utilisation": lambda row: row["null_utilisation"] - row["utilisation"],
    "Gini": lambda row: row["gini"],
    "Gini - null": lambda row: row["gini"] - row["null_gini"],
    "sparsity 1e-2": lambda row: row["sparsity_1e2"],
    "sparsity 1e-3": lambda row: row["sparsity_1e3"],
    "1 - coverage of 50 %": lambda row: -row["coverage_50"],
    "1 - coverage of 90 %": lambda row: -row["coverage_90"],
    "effective parameters": lambda row: row["effective"],
}
"""Metrics, signed so that a larger value says that more can be removed."""
SOURCE = tuple(PREDICTORS)[5:]
"""Metrics of the source, and their differences from the null."""


def layers_of(network: Trained) -> Iterator[Row]:
    """Rows of the report of one network, with the share of units that can really be removed."""
    inputs = network.train.inputs[:CALIBRATION]
    loader = [(inputs, network.train.labels[:CALIBRATION])]
    rows = report(network.network, loader, options=OPTIONS).rows()
    parts = {part.name: part for part in parts_of(network.network)}
    seen = observe(network.network, loader, list(parts.values()), OPTIONS, inputs=False)
    for row in rows:
        if row["removable"] is None:
            continue
        really = really_removable(network, row["layer"], seen[row["layer"]])
        yield row | {"network": network.name, "accuracy": network.accuracy, "really": really}


def really_removable(network: Trained, layer: str, seen: Observation) -> float:
    """Largest share of a layer's units without which 99 % of the held-out predictions stay, by bisection."""
    parts = {part.name: part for part in parts_of(network.network)}
    covariance = seen.covariance
    assert covariance is not None
    weights = outgoing(parts[seen.reader], len(covariance))
    order = removals(covariance, weights, RIDGE).order
    before = predictions(network.network, network.held_out)
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        smaller = repaired(network.network, seen, order[middle:])
        same = float((predictions(smaller, network.held_out) == before).double().mean())
        low, high = (middle, high) if same >= AGREEMENT else (low, middle)
    return low / len(order)


@torch.no_grad()
def repaired(network: nn.Module, seen: Observation, kept: np.ndarray) -> nn.Module:
    """A copy whose reading layer reads only the kept units, by least squares from them.

    Channels of a convolution are mixed alike at all positions.
    """
    covariance, mean = seen.covariance, seen.mean
    assert covariance is not None
    units = len(covariance)
    mixing = np.zeros((units, units))
    inner = covariance[np.ix_(kept, kept)]
    inner = inner + np.eye(len(kept)) * max(RIDGE * np.trace(inner) / max(len(kept), 1), 1e-12)
    mixing[:, kept] = np.linalg.solve(inner, covariance[kept]).T
    smaller = copy.deepcopy(network)
    reader = smaller.get_submodule(seen.reader)
    shaped = reader.weight.double().reshape(len(reader.weight), units, -1)
    constant = torch.from_numpy(mean - mixing @ mean)
    reader.bias += torch.einsum("oup,u->o", shaped, constant).float()
    mixed = torch.einsum("oup,uv->ovp", shaped, torch.from_numpy(mixing))
    reader.weight.copy_(mixed.reshape(reader.weight.shape).float())
    return smaller


def correlations(rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """Spearman's rho of each metric with the share really removable, with intervals over networks."""
    really = np.array([row["really"] for row in rows])
    networks = np.array([row["network"] for row in rows])
    names = np.unique(networks)
    places = {name: np.flatnonzero(networks == name) for name in names}
    random = seeds.generator(seed, "networks")
    drawn = [np.concatenate([places[name] for name in random.choice(names, len(names))]) for _ in range(DRAWS)]
    table = []
    for name, predictor in PREDICTORS.items():
        values = np.array([predictor(row) for row in rows])
        rho = _rho(values, really)
        sample = [_rho(values[chosen], really[chosen]) for chosen in drawn]
        low, high = np.quantile(sample, [0.025, 0.975])
        kinds = {}
        for kind in ("Linear", "Conv2d"):
            own = np.array([row["kind"] == kind for row in rows])
            kinds[kind] = _rho(values[own], really[own]) if own.sum() > 2 else None
        table.append({"metric": name, "rho": rho, "rho_low": float(low), "rho_high": float(high), **kinds})
    return table


def _rho(values: Float64[np.ndarray, " layer"], really: Float64[np.ndarray, " layer"]) -> float:
    if len(np.unique(values)) < 2 or len(np.unique(really)) < 2:
        return 0.0
    return float(spearmanr(values, really).statistic)


CLAIMS: dict[str, Callable[[Row], bool]] = {
    "Gini > 0.6: redundancy likely": lambda row: row["gini"] > 0.6,
    "Gini < 0.4: efficient": lambda row: row["gini"] >= 0.4,
    "utilisation < 0.3: significant redundancy": lambda row: row["utilisation"] < 0.3,
    "utilisation > 0.7: efficient use of capacity": lambda row: row["utilisation"] <= 0.7,
    "redundancy > 60 %: prune these layers first": lambda row: row["redundancy"] > 0.6,
    "redundancy > 70 %: severe over-parameterisation": lambda row: row["redundancy"] > 0.7,
    "sparsity(1e-2) > 50 %: good pruning candidate": lambda row: row["sparsity_1e2"] > 0.5,
}
"""Thresholds of the source; true for the layers that they call redundant."""


def claims(rows: Sequence[Row]) -> list[Row]:
    """Mean share really removable of the layers that a threshold calls redundant, beside the others."""
    table = []
    for claim, says in CLAIMS.items():
        named = [row["really"] for row in rows if says(row)]
        others = [row["really"] for row in rows if not says(row)]
        known = bool(named) and bool(others)
        verdict = "never fires" if not named else "always fires" if not others else ""
        if known:
            verdict = "holds" if np.mean(named) > np.mean(others) else "does not hold"
        means = [float(np.mean(part)) if part else None for part in (named, others)]
        table.append({"claim": claim, "n": len(named), "really": means[0], "others": means[1], "verdict": verdict})
    half = [abs(row["redundancy"] - row["really"]) for row in rows]
    table.append(
        {
            "claim": "redundancy is the fraction of capacity that is redundant",
            "n": len(rows),
            "really": float(np.mean([row["really"] for row in rows])),
            "others": float(np.mean([row["redundancy"] for row in rows])),
            "verdict": "holds" if np.mean(half) < 0.1 else "does not hold",
        }
    )
    return table


def pruning_claim(networks: Sequence[Trained]) -> list[Row]:
    """Accuracy lost by each network without 40, 50 and 60 % of its weights, those of the lowest importance."""
    table = []
    for share in (0.4, 0.5, 0.6):
        lost = [network.accuracy - accuracy(pruned(network, share), network.held_out) for network in networks]
        table.append(
            {
                "claim": f"remove {share:.0%} of the weights with minimal impact (|w| x activation, per layer)",
                "n": len(networks),
                "really": float(np.mean(lost)),
                "others": float(np.max(lost)),
                "verdict": "holds" if np.max(lost) <= 0.01 else "does not hold",
            }
        )
    return table


@torch.no_grad()
def pruned(network: Trained, share: float) -> nn.Module:
    """A copy without this share of each layer's weights, those of the lowest |w| x mean |activation|."""
    smaller = copy.deepcopy(network.network)
    parts = parts_of(smaller)
    inputs = network.train.inputs[:CALIBRATION]
    seen = observe(smaller, [(inputs, network.train.labels[:CALIBRATION])], parts, OPTIONS, inputs=False, deep=False)
    for part in parts:
        weight = part.parameters[0]
        scale = torch.from_numpy(seen[part.name].activation).reshape(-1, *[1] * (weight.ndim - 1))
        importance = (weight.abs() * scale).flatten()
        lowest = importance.argsort()[: int(share * importance.numel())]
        weight.view(-1)[lowest] = 0
    return smaller


def validate(chosen: Sequence[int], where: Locations, cache: Path | None, quick: bool = False) -> Row:
    """Rows of all layers, correlations and claims, as plain values."""
    specs = SPECS[:3] if quick else SPECS
    networks = [trained(spec, seed, where, cache) for seed in chosen for spec in specs]
    rows = [row for network in networks for row in layers_of(network)]
    return {
        "layers": rows,
        "networks": len(networks),
        "correlations": correlations(rows),
        "claims": [*claims(rows), *pruning_claim(networks)],
    }


def predictor_rho(result: Row) -> tuple[float, float, float, float]:
    """Rho of the removable share with its interval, and the largest rho of the source's metrics."""
    table = {row["metric"]: row for row in result["correlations"]}
    best = max(table[name]["rho"] for name in SOURCE)
    first = table["removable"]
    return first["rho"], first["rho_low"], first["rho_high"], best


def tables(result: Row) -> list[Table]:
    """Tables of correlations and claims."""
    columns = {
        "metric": Column("metric", left=True),
        "rho": Column("Spearman", "95 %", digits=2),
        "Linear": Column("dense layers", digits=2),
        "Conv2d": Column("convolutions", digits=2),
    }
    cells = [row | {"rho": Interval(row["rho"], row["rho_low"], row["rho_high"])} for row in result["correlations"]]
    note = (
        f"{len(result['layers'])} layers of {result['networks']} networks; metrics are signed so that a larger one "
        "says that more can be removed; intervals resample networks."
    )
    verdicts = {
        "claim": Column("claim of the source", left=True),
        "n": Column("layers or networks"),
        "really": Column("removable, or points lost"),
        "others": Column("others, or most lost"),
        "verdict": Column("verdict", left=True),
    }
    about = (
        "For a threshold: mean share really removable of the layers that it calls redundant, and of the others. For "
        "redundancy: the mean share really removable and the mean redundancy. For pruned weights: mean and largest "
        "loss of accuracy without fine-tuning; the claim holds if no network loses more than 1 point."
    )
    return [
        Table.of("Metrics and the share of units really removable", columns, cells, note=note),
        Table.of("Thresholds and claims of the source", verdicts, result["claims"], note=about),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of every network (default 0)")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep trained networks here")
    parser.add_argument("--quick", action="store_true", help="three networks on digits")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    options = parser.parse_args(arguments)
    try:
        result = validate(options.seeds, Locations.choose(data=options.data), options.cache, options.quick)
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    print("\n\n".join(table.markdown() if options.markdown else str(table) for table in tables(result)))
    rho, low, high, best = predictor_rho(result)
    print(f"\nremovable share: rho {rho:.2f} [{low:.2f}, {high:.2f}]; best of the source's metrics: {best:.2f}")
    if options.json:
        atomic.write(options.json, json.dumps(result, indent=1, allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
