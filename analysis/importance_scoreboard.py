"""Scores of importance against exact ablation, on trained and on random weights.

    python -m analysis.importance_scoreboard --configs digits_mlp digits_cnn --seeds 0 1 2 [--markdown] [--json FILE]
    python -m analysis.importance_scoreboard RUN... --layers 'layer3.*conv1' --methods gndi magnitude:side=outgoing
    python -m analysis.importance_scoreboard --configs digits_cnn --executor ray --journal FOLDER

Without --layers, all linear and convolution layers except the last are scored, on 400 examples drawn from the
validation split; figures are means over trainings. With --executor ray each training is one task; a single training
distributes its ablations. With --journal, finished scores are kept in a folder: the same command continues there after
a crash, and other commands reuse equal scores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from analysis.edge_survival import CONFIGS, Run, chosen, opened
from ndg import atomic, executors
from ndg.activations.batches import COMPUTE_BATCH
from ndg.activations.sampling import subset
from ndg.comparison.sources import reinitialised
from ndg.errors import ConfigError, FailureError, NDGError, UserError
from ndg.executors.outcomes import Outcome, outcomes
from ndg.importance.evaluation.score_cache import Kept
from ndg.importance.evaluation.scoreboard import BoardSettings, Scoreboard, over, scoreboard
from ndg.importance.evaluation.spec import ALL
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.progress import log
from ndg.report import importance_tables
from ndg.report.tables import Table
from ndg.units.resolve import find_layers
from ndg.workflows.score_request import weighted_layers

EXAMPLES, SPLIT = 400, "validation"
TRAINED, RANDOM = "trained", "random weights"


@dataclass(frozen=True)
class Boards:
    """Scoreboards of the trainings of one config, and of networks with random weights."""

    name: str
    trained: list[Scoreboard]
    random: list[Scoreboard]

    def rows(self) -> list[dict[str, Any]]:
        pairs = ((TRAINED, self.trained), (RANDOM, self.random))
        return [row for kind, boards in pairs if boards for row in over(boards, f"{self.name}, {kind}")]


@dataclass(frozen=True)
class Request:
    """Settings for each training."""

    locations: Locations
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    random: bool
    split: str
    examples: int
    journal: Path | None
    baselines: str
    options: RunOptions


def measured(run: Run, model: nn.Module, kind: str, request: Request) -> Scoreboard:
    """Scoreboard of one network on the examples of one run."""
    loader = subset(run.splits[request.split].loader(COMPUTE_BATCH), request.examples, run.seed)
    paths = find_layers(model, request.layers) if request.layers else weighted_layers(model, loader)
    log.info("%s, seed %d, %s: %d layers", run.network, run.seed, kind, len(paths))
    kept = None
    if request.journal is not None:
        kept = Kept(request.journal, f"{run.splits.digest} {request.split} {request.examples} {run.seed} {run.about}")
    settings = BoardSettings(request.baselines, network=f"{run.network} {run.seed}, {kind}")
    options = replace(request.options, seed=run.seed)
    return scoreboard(model, loader, paths, request.methods, settings=settings, options=options, kept=kept)


def of_training(request: Request, folder: Path) -> Boards:
    """Scoreboards of one training, here or in a worker."""
    run = opened(folder, request.locations)
    trained = [measured(run, run.model, TRAINED, request)]
    fresh = [measured(run, reinitialised(run.model, run.seed).model, RANDOM, request)] if request.random else []
    return Boards(run.network, trained, fresh)


def scoreboards(request: Request, folders: Sequence[Path], executor: str, address: str | None) -> list[Outcome]:
    """Scoreboards of each training in order, or the reason for failure.

    Several trainings are one task each; a single one distributes its own tasks.
    """
    if len(folders) == 1:
        single = replace(request, options=replace(request.options, executor=executor, ray_address=address))
        return [Outcome(of_training(single, folders[0]))]
    workers, _ = executors.choose(executor, address=address, task_cpus=request.options.threads)
    ended = dict(outcomes(workers, of_training, request, folders, "lower --threads"))
    return [ended[number] for number in range(len(folders))]


def by_config(results: Iterable[Boards]) -> list[Boards]:
    """Scoreboards grouped by config."""
    joined: dict[str, Boards] = {}
    for boards in results:
        group = joined.setdefault(boards.name, Boards(boards.name, [], []))
        group.trained.extend(boards.trained)
        group.random.extend(boards.random)
    return list(joined.values())


def tables(configs: Sequence[Boards]) -> list[Table]:
    """Scoreboard of all configs, then units with disagreeing scores per training."""
    rows = [row for boards in configs for row in boards.rows()]
    disagreeing = [
        importance_tables.disagreements(board.disagreements, board.first_order, board.network)
        for boards in configs
        for board in boards.trained
        if board.first_order
    ]
    return [importance_tables.scoreboard(rows), *disagreeing]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="importance_scoreboard", description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="*", metavar="RUN", help="id or folder of a train run")
    parser.add_argument("--configs", nargs="+", metavar="CONFIG", help=f"default without RUN: {' '.join(CONFIGS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="scores (default: all)")
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATH", help="module paths or regular expressions")
    parser.add_argument("--split", default=SPLIT, choices=("train", "validation", "test"))
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, metavar="N", help=f"examples of the split (default {EXAMPLES})"
    )
    parser.add_argument("--baselines", default="zero", choices=("zero", "mean", "resample"))
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--trained-only", action="store_true", help="skip the networks with random weights")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--executor", choices=executors.EXECUTORS, default="serial", help="executor (default serial)")
    parser.add_argument("--ray-address", metavar="ADDRESS", help="address of a running Ray cluster")
    parser.add_argument("--journal", metavar="FOLDER", help="keep finished scores there and reuse them")
    parser.add_argument("--json", metavar="FILE", help="write every scoreboard")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    args = parser.parse_args(words)
    locations = Locations.choose(data=args.data, runs=args.runs, store=args.store)
    try:
        if args.examples < 1:
            raise ConfigError(f"--examples must be at least 1; got {args.examples}")
        folders = [folder.absolute() for _, folder in chosen(args.run, args.configs, args.seeds, locations)]
        request = Request(
            locations,
            tuple(args.methods or [ALL]),
            tuple(args.layers),
            not args.trained_only,
            args.split,
            args.examples,
            Path(args.journal).absolute() if args.journal else None,
            args.baselines,
            RunOptions(threads=args.threads, executor="serial"),
        )
        results = scoreboards(request, folders, args.executor, args.ray_address)
        failed = {folder.name: one for folder, one in zip(folders, results, strict=True) if one.reason is not None}
        found = by_config(one.result for one in results if one.reason is None)
        if args.json and found:
            document = [board.to_dict() for one in found for board in (*one.trained, *one.random)]
            rows = [row for one in found for row in one.rows()]
            reasons = {name: one.reason for name, one in failed.items()}
            text = {"note": importance_tables.BOARD_NOTE, "rows": rows, "boards": document, "failed": reasons}
            atomic.write(Path(args.json), json.dumps(text, indent=1) + "\n")
        for table in tables(found) if found else []:
            print(table.markdown() if args.markdown else table, end="\n\n")
        if failed:
            raise _failure(failed, len(folders))
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _failure(failed: Mapping[str, Outcome], trainings: int) -> NDGError:
    """The error of trainings that have no scoreboard; the others have theirs."""
    told = "; ".join(f"{name}: {one.reason}" for name, one in failed.items())
    kind = UserError if all(one.mistake for one in failed.values()) else FailureError
    return kind(f"{len(failed)} of {trainings} trainings have no scoreboard; {told}")


if __name__ == "__main__":
    sys.exit(main())
