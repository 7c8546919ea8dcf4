"""Precision, recall, F1 and false discovery rate of each criterion on planted truth.

    python -m analysis.planted [--seeds 10] [--noise 0 0.002 0.01 0.05] [--examples 100 300 1000 10000] [--json FILE]

Every seed draws its own mechanism, examples and noise. The control shuffles every column of the booleans independently:
nothing is true there, so every discovery is false.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ndg import atomic, seeds
from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError, NDGError
from ndg.mining.criteria import CRITERIA, Criterion, criterion
from ndg.mining.miner import sweep
from ndg.planted.mechanism import Mechanism, plant
from ndg.planted.truth import Recovery, Truth
from ndg.report.tables import Column, Interval, Table

NOISE, EXAMPLES, SEEDS = (0.0, 0.002, 0.01, 0.05), (100, 300, 1000, 10_000), 10
USUAL_NOISE, USUAL_EXAMPLES = 0.002, 3000
COMMON, RARE = ((0.3, 0.7), 0.02), ((0.05, 0.2), 0.01)
WEIGHT_NOISE = (0.0, 0.03, 0.1)
MORE: dict[str, list[dict[str, float]]] = {
    "paper": [{"alpha": 2.0}, {"alpha": 5.0}, {"alpha": 100.0}],
    "ratio": [{"alpha": 5.0}],
    "confidence": [{"confidence": 0.8}, {"confidence": 0.99}],
    "wilson": [{"bound": 0.8}],
    "fisher": [{"confidence": 0.8}],
}
RATES = ("precision", "recall", "f1", "false_discovery")


@dataclass(frozen=True)
class World:
    """Source of booleans with a known truth; `draw` gives both for a seed."""

    table: str
    noise: float
    examples: int
    draw: Callable[[int], tuple[BitMatrix, Truth]]


def worlds(noises: Sequence[float], examples: Sequence[int]) -> list[World]:
    """All worlds of the four tables, in order."""
    usual = USUAL_NOISE, USUAL_EXAMPLES
    tables = [
        ("by noise (chance that a bit is flipped)", [(noise, usual[1]) for noise in noises], COMMON),
        ("by number of examples", [(usual[0], count) for count in examples], COMMON),
        ("rare nodes", [(0.0, usual[1]), usual], RARE),
    ]
    booleans = [
        World(title, noise, count, partial(_boolean, rates, noise, count))
        for title, points, rates in tables
        for noise, count in points
    ]
    title = "networks of gates (noise: standard deviation added to every weight)"
    return booleans + [World(title, noise, usual[1], partial(_network, noise, usual[1])) for noise in WEIGHT_NOISE]


@cache
def _mechanism(rates: tuple[tuple[float, float], float], seed: int) -> tuple[Mechanism, Truth]:
    mechanism = plant(rates=rates[0], rare=rates[1], seed=seed)
    return mechanism, mechanism.truth()


def _boolean(
    rates: tuple[tuple[float, float], float], noise: float, examples: int, seed: int
) -> tuple[BitMatrix, Truth]:
    mechanism, truth = _mechanism(rates, seed)
    return mechanism.bits(examples, noise, seed), truth


def _network(noise: float, examples: int, seed: int) -> tuple[BitMatrix, Truth]:
    import torch

    from ndg.extraction import extract
    from ndg.models.planted import PlantedNet, draw

    circuit = draw(seed=seed)
    inputs = torch.from_numpy(circuit.inputs(examples, seed))
    bits = extract(PlantedNet(circuit, noise, seed), [inputs], layers=["first", "second"])
    return bits, circuit.truth()


def shuffled(bits: BitMatrix, seed: int) -> BitMatrix:
    """The same booleans with every column shuffled independently."""
    values = seeds.generator(seed, "shuffled").permuted(bits.to_bool(), axis=0)
    return BitMatrix.from_bool(values, bits.nodes, bits.thresholds)


def settings() -> list[Criterion]:
    """Every registered criterion with its defaults, and a few more settings of some."""
    return [criterion(name, **own) for name in CRITERIA for own in [{}, *MORE.get(name, [])]]


def measure(world: World, seed: int) -> list[tuple[str, Recovery, int]]:
    """Name, recovery of the truth and discoveries in the control, per setting."""
    bits, truth = world.draw(seed)
    nothing = np.zeros_like(truth.follows)
    void, rules = Truth(truth.nodes, nothing, nothing), settings()
    found, control = sweep(bits, rules), sweep(shuffled(bits, seed), rules)
    return [
        (text(rule), truth.recovered(real), void.recovered(shuffle).false)
        for rule, real, shuffle in zip(rules, found, control, strict=True)
    ]


def text(rule: Criterion) -> str:
    """Text of a criterion with its non-zero parameters."""
    parameters = rule.to_dict()
    return " ".join([parameters.pop("name"), *(f"{key}={value:g}" for key, value in parameters.items() if value)])


def over_seeds(values: Iterable[float]) -> Interval:
    """Mean and 95 % Student interval of a rate over seeds."""
    from scipy.stats import t

    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Interval(mean, max(mean - half, 0.0), min(mean + half, 1.0))


def rows(world: World, count: int) -> list[dict[str, Any]]:
    """One row per setting, over the seeds 0 to `count` - 1."""
    rows = []
    for results in zip(*(measure(world, seed) for seed in range(count)), strict=True):
        recoveries = [recovery for _, recovery, _ in results]
        row: dict[str, Any] = {"noise": world.noise, "examples": world.examples, "rule": results[0][0], "seeds": count}
        row |= {rate: over_seeds(getattr(recovery, rate) for recovery in recoveries) for rate in RATES}
        row |= {
            "truth": float(np.mean([recovery.true + recovery.missed for recovery in recoveries])),
            "found": float(np.mean([recovery.found for recovery in recoveries])),
            "near": float(np.mean([recovery.near for recovery in recoveries])),
            "control": float(np.mean([false for _, _, false in results])),
        }
        rows.append(row)
    return rows


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """One table of rows."""
    columns = {
        "noise": Column("noise", digits=3),
        "examples": Column("examples"),
        "rule": Column("criterion", left=True),
        "seeds": Column("n", "seeds"),
        "truth": Column("true", digits=1),
        "found": Column("found", digits=1),
        "precision": Column("precision", "95 %"),
        "recall": Column("recall", "95 %"),
        "f1": Column("F1", "95 %"),
        "false_discovery": Column("false discovery", "95 %"),
        "near": Column("near", digits=1),
        "control": Column("in control", digits=1),
    }
    note = (
        "An implication and its contrapositive count once. true, found, near, in control: means over seeds. "
        "Intervals: Student over seeds, cut to [0, 1]; precision over seeds with discoveries. near: discoveries that "
        "are not planted but nearly true without noise (precision above 0.9 both ways, fewer than half of the "
        "exceptions expected under independence); they count neither as true nor as false. in control: discoveries "
        "with every column shuffled."
    )
    return Table.of(title, columns, rows, note=note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; with `--json` also write their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="seeds 0 to SEEDS - 1, at least 2 (default %(default)s)"
    )
    parser.add_argument("--noise", type=float, nargs="+", default=NOISE, help="noise levels of the first table")
    parser.add_argument("--examples", type=int, nargs="+", default=EXAMPLES, help="numbers of the second table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    args = parser.parse_args(arguments)
    try:
        if args.seeds < 2:
            raise ConfigError(f"an interval over seeds needs at least 2 seeds; got {args.seeds}")
        tables: dict[str, list[dict[str, Any]]] = {}
        for world in worlds(args.noise, args.examples):
            tables.setdefault(world.table, []).extend(rows(world, args.seeds))
        print("\n\n".join(str(table(title, group)) for title, group in tables.items()))
        if args.json:
            plain = {title: [_plain(row) for row in group] for title, group in tables.items()}
            atomic.write(args.json, json.dumps(plain, indent=2, allow_nan=False) + "\n")
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Row for JSON: intervals as three numbers, null for unknown values."""

    def known(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    return {
        key: {name: known(number) for name, number in asdict(value).items()}
        if isinstance(value, Interval)
        else known(value)
        for key, value in row.items()
    }


if __name__ == "__main__":
    sys.exit(main())
