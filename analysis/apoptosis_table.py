"""Apoptosis against pruning after training and against random removal, at equal size (docs/fitness.md).

    python -m analysis.apoptosis_table [--configs digits_mlp mnist_cnn] [--seeds 0 1 2] [--folder DIR] [--json FILE]

Every network loses its least fit units, in each layer the same share: in training step by step, after training at
once, with and without fine-tuning. Trainings are kept in `--folder` and made only once. Epochs and weights are chosen
on the validation split; the test split gives the figures of the table alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.subjects import interval
from ndg import atomic, config, training
from ndg.compression.iterative import NONE, PruneSettings, predictions, prune_network
from ndg.compression.unit_fitness import RANDOM
from ndg.config import Experiment
from ndg.config.schema import Apoptosis
from ndg.data.examples import Splits
from ndg.errors import NDGError
from ndg.importance.experiments.groups import over_draws
from ndg.locations import Locations
from ndg.report.tables import Column, Table
from ndg.workflows.train import load, train

CONFIGS, SEEDS = ("digits_mlp", "mnist_cnn"), (0, 1, 2)
OVERRIDES = {
    "digits_mlp": ("train.epochs=40",),
    "mnist_cnn": (
        *("data.limit=1000", "train.epochs=6", "train.schedule=cosine"),
        *("train.threads=1", "extract.threads=1"),
    ),
}
"""Cheap versions of the configs: fewer epochs, and of MNIST 1,000 examples of each split."""
FITNESS = ("fitness:measure=taylor", RANDOM)
FLOOR, REMOVALS, TUNING = 0.2, 8, 4
WHOLE, DURING, AFTER, TUNED = "not at all", "in training", "after training", "after training, fine-tuned"

COLUMNS = {
    "config": Column("network", left=True),
    "when": Column("units leave", left=True),
    "fitness": Column("by", left=True),
    "gone": Column("units gone"),
    "removals": Column("removals"),
    "parameters": Column("parameters left"),
    "accuracy": Column("test accuracy [95 %]", digits=4),
    "points": Column("minus the whole network", "points [95 %]", digits=2),
    "n": Column("n", "test"),
    "seeds": Column("trainings"),
}
NOTE = (
    f"Means over trainings with 95 % Student intervals; points: paired by training. In training: from an eighth of the "
    f"epochs on, in as many removals as the column says, until {FLOOR:.0%} of the units of each layer are left; the "
    "epoch is the best of the smallest network on the validation split. After training: the same number of units of "
    f"the whole network at once; fine-tuned: {TUNING} epochs more, of which the best on the validation split is kept. "
    "The whole network with the same fine-tuning is the control."
)

Figures = dict[str, Any]


def experiment_of(name: str, seed: int, fitness: str | None, where: Locations, quick: bool) -> Experiment:
    """A config as it is trained here; with `fitness`, units leave in training."""
    experiment = config.load(config.configs()[name], [*OVERRIDES.get(name, ()), f"seed={seed}"], smoke=False)
    epochs = 4 if quick else experiment.train.epochs
    settings = replace(experiment.train, epochs=epochs, patience=epochs)
    if fitness is not None:
        removals = min(REMOVALS, epochs // 2)
        leaving = Apoptosis(
            fitness=fitness,
            share=1 - FLOOR ** (1 / removals),
            every=max(5 * epochs // 8 // removals, 1),
            start=max(epochs // 8, 1),
            floor=FLOOR,
        )
        settings = replace(settings, apoptosis=leaving)
    return where.place(replace(experiment, train=settings))


def measured(name: str, seed: int, folder: Path, where: Locations, quick: bool) -> Iterator[Figures]:
    """Figures of one training and of its rivals, all of the same seed."""
    whole = experiment_of(name, seed, None, where, quick)
    splits = load(whole)
    network, result = trained(whole, splits, folder)
    yield {"when": WHOLE, "fitness": ""} | lost([]) | sized(network) | {"accuracy": result.test_accuracy}
    for fitness in FITNESS:
        experiment = experiment_of(name, seed, fitness, where, quick)
        smaller, result = trained(experiment, splits, folder)
        figures = {"when": DURING, "fitness": fitness} | lost(result.removed, "epoch") | sized(smaller)
        yield figures | {"accuracy": result.test_accuracy}
    for fitness in (*FITNESS, NONE):
        for when, epochs in ((AFTER, 0), (TUNED, TUNING)):
            if fitness == NONE and not epochs:
                continue
            settings = PruneSettings(RANDOM if fitness == NONE else fitness, 1 - FLOOR, epochs=epochs, draws=0)
            pruning, pruned = prune_network(network, whole, splits, settings)
            if fitness == NONE:
                row = pruning.final[-1]
                figures = {"when": TUNED, "fitness": "(whole network)"} | lost([])
                yield figures | {"parameters": row["parameters"], "accuracy": row["accuracy"]}
                continue
            figures = {"when": when, "fitness": fitness} | lost(pruned.removed, "step") | sized(pruned.network)
            predicted = predictions(pruned.network, splits.test, whole.extract.compute_batch)
            yield figures | {"accuracy": float((predicted == splits.test.labels).double().mean())}


def trained(experiment: Experiment, splits: Splits, folder: Path) -> tuple[Any, training.TrainResult]:
    """The network of a training, and its result."""
    own = folder / f"{experiment.name}-{experiment.training_digest}-{experiment.seed}"
    result = train(experiment, splits, own, resume=True)
    return training.load_model(own)[0], result


def lost(rows: Sequence[Figures], when: str = "epoch") -> Figures:
    """Units removed, and in how many removals."""
    return {"gone": sum(len(row["units"]) for row in rows), "removals": len({row[when] for row in rows})}


def sized(network: Any) -> Figures:
    return {"parameters": sum(parameter.numel() for parameter in network.parameters())}


def joined(name: str, runs: Sequence[Sequence[Figures]], n: int) -> list[Figures]:
    """Rows of one config: means over the trainings."""
    rows = []
    for same in zip(*runs, strict=True):
        row: Figures = {"config": name, "n": n, "seeds": len(same)}
        row |= {key: same[0][key] for key in ("when", "fitness", "gone", "removals", "parameters")}
        points = [100 * (one["accuracy"] - run[0]["accuracy"]) for one, run in zip(same, runs, strict=True)]
        for key, values in (("accuracy", [one["accuracy"] for one in same]), ("points", points)):
            mean, low, high = over_draws(values) or (None, None, None)
            row |= {key: mean} | ({f"{key}_low": low, f"{key}_high": high} if len(values) > 1 else {})
        rows.append(row)
    return rows


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS), metavar="CONFIG")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="N")
    parser.add_argument("--folder", default="runs/apoptosis", metavar="DIR", help="trainings (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="four epochs, for a quick check")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    args = parser.parse_args(words)
    where, rows = Locations.choose(data=args.data), list[Figures]()
    try:
        for name in args.configs:
            runs = [list(measured(name, seed, Path(args.folder), where, args.quick)) for seed in args.seeds]
            test = load(experiment_of(name, args.seeds[0], None, where, args.quick)).test
            rows += joined(name, runs, len(test))
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    if args.json:
        atomic.write(Path(args.json), json.dumps({"note": NOTE, "rows": rows}, indent=1, allow_nan=False) + "\n")
    cells = [
        row | {key: interval(row[key], row.get(f"{key}_low"), row.get(f"{key}_high")) for key in ("accuracy", "points")}
        for row in rows
    ]
    table = Table.of("apoptosis and pruning at equal size", COLUMNS, cells, note=NOTE)
    print(table.markdown() if args.markdown else table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
