"""Every score of importance against exact ablation, on trained networks and on the same with random weights.

    python -m analysis.importance_scoreboard --configs digits_mlp digits_cnn --seeds 0 1 2 [--markdown] [--json FILE]
    python -m analysis.importance_scoreboard RUN... --layers 'layer3.*conv1' --methods gndi magnitude:side=outgoing
    python -m analysis.importance_scoreboard --configs digits_cnn --executor ray --journal FOLDER

Without --layers, all linear and convolution layers are scored but the one that gives the logits. The first 400 examples
that the seed draws of the validation split are read; figures are means over trainings. With --executor ray each
training is a task of its own, or one training has its ablations shared out. With --journal the scores that are finished
stay in a folder: the same command goes on where it was killed, and another one takes from it what is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from analysis.edge_survival import Run, chosen, opened
from ndg import atomic, executors
from ndg.activations.batches import COMPUTE_BATCH
from ndg.activations.subset import subset
from ndg.comparison.networks import reinitialised
from ndg.errors import ConfigError, FailureError, NDGError, UserError
from ndg.executors.outcomes import PATIENCE, Outcome, apart
from ndg.importance.evaluation.pooled import over
from ndg.importance.evaluation.score_cache import Kept
from ndg.importance.evaluation.scoreboard import BoardSettings, Scoreboard, scoreboard
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
    """The scoreboards of one config: of its trainings, and of as many networks with random weights."""

    name: str
    trained: list[Scoreboard]
    random: list[Scoreboard]

    def rows(self) -> list[dict[str, Any]]:
        pairs = ((TRAINED, self.trained), (RANDOM, self.random))
        return [row for what, boards in pairs if boards for row in over(boards, f"{self.name}, {what}")]


@dataclass(frozen=True)
class Asked:
    """What is asked of every training. `folder` is where the process stands that asked."""

    where: Locations
    folder: str
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    random: bool
    split: str
    examples: int
    journal: Path | None
    baselines: str
    options: RunOptions


def measured(run: Run, model: nn.Module, what: str, asked: Asked) -> Scoreboard:
    """The scoreboard of one network on the examples of one run."""
    loader = subset(run.splits[asked.split].loader(COMPUTE_BATCH), asked.examples, run.seed)
    paths = find_layers(model, asked.layers) if asked.layers else weighted_layers(model, loader)
    log.info("%s, seed %d, %s: %d layers", run.network, run.seed, what, len(paths))
    kept = None
    if asked.journal is not None:
        kept = Kept(asked.journal, f"{run.splits.digest} {asked.split} {asked.examples} {run.seed} {run.about}")
    name = f"{run.network} {run.seed}, {what}"
    settings = BoardSettings(asked.baselines, network=name)
    options = replace(asked.options, seed=run.seed)
    return scoreboard(model, loader, paths, asked.methods, settings=settings, options=options, kept=kept)


def of_training(asked: Asked, folder: Path) -> Boards:
    """The scoreboards of one training. Runs here or in a worker, where paths are those of the process that asked."""
    if os.path.isdir(asked.folder):
        os.chdir(asked.folder)
    run = opened(folder, asked.where)
    trained = [measured(run, run.model, TRAINED, asked)]
    fresh = [measured(run, reinitialised(run.model, run.seed).model, RANDOM, asked)] if asked.random else []
    return Boards(run.network, trained, fresh)


def outcomes(asked: Asked, folders: Sequence[Path], executor: str, address: str | None) -> Iterator[Outcome]:
    """The scoreboards of each training, or why there are none, in their order: one task each where there are several,
    else one training whose own tasks are shared out."""
    if len(folders) == 1:
        alone = replace(asked, options=replace(asked.options, executor=executor, ray_address=address))
        yield Outcome(of_training(alone, folders[0]))
        return
    workers, _ = executors.choose(executor, address=address, timeout=PATIENCE, task_cpus=asked.options.threads)
    yield from apart(workers, of_training, asked, folders, "trainings")


def by_config(found: Iterable[Boards]) -> list[Boards]:
    """The scoreboards of the trainings of each config together."""
    joined: dict[str, Boards] = {}
    for one in found:
        mine = joined.setdefault(one.name, Boards(one.name, [], []))
        mine.trained.extend(one.trained)
        mine.random.extend(one.random)
    return list(joined.values())


def tables(found: Sequence[Boards]) -> list[Table]:
    """The scoreboard over all configs, then of each training the units on which scores disagree."""
    rows = [row for one in found for row in one.rows()]
    disagreeing = [
        importance_tables.disagreements(board.disagreements, board.first_order, board.network)
        for one in found
        for board in one.trained
        if board.first_order
    ]
    return [importance_tables.scoreboard(rows), *disagreeing]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="importance_scoreboard", description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="*", metavar="RUN", help="id or folder of a train run")
    parser.add_argument("--configs", nargs="+", default=[], metavar="CONFIG")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="else the config's, else all")
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATH", help="module paths or regular expressions")
    parser.add_argument("--split", default=SPLIT, choices=("train", "validation", "test"))
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, metavar="N", help=f"of the split (default {EXAMPLES})"
    )
    parser.add_argument("--baselines", default="zero", choices=("zero", "mean", "resample"))
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--trained-only", action="store_true", help="leave out the networks with random weights")
    parser.add_argument("--markdown", action="store_true", help="as a page of docs/ has it")
    parser.add_argument("--executor", choices=executors.EXECUTORS, default="serial", help="who scores (default serial)")
    parser.add_argument("--ray-address", metavar="ADDRESS", help="a Ray cluster that is running")
    parser.add_argument("--journal", metavar="FOLDER", help="keep finished scores there, and take those that it has")
    parser.add_argument("--json", metavar="FILE", help="write every scoreboard")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    asked = parser.parse_args(words)
    where = Locations.choose(data=asked.data, runs=asked.runs, store=asked.store)
    try:
        if asked.examples < 1:
            raise ConfigError(f"--examples is at least 1; got {asked.examples}")
        folders = [folder.absolute() for _, folder in chosen(asked.run, asked.configs, asked.seeds, where)]
        told = Asked(
            where,
            str(Path.cwd()),
            tuple(asked.methods or [ALL]),
            tuple(asked.layers),
            not asked.trained_only,
            asked.split,
            asked.examples,
            Path(asked.journal).absolute() if asked.journal else None,
            asked.baselines,
            RunOptions(threads=asked.threads, executor="serial"),
        )
        ended = list(outcomes(told, folders, asked.executor, asked.ray_address))
        failed = {folder.name: one for folder, one in zip(folders, ended, strict=True) if one.reason is not None}
        found = by_config(one.result for one in ended if one.reason is None)
        if asked.json and found:
            document = [board.to_dict() for one in found for board in (*one.trained, *one.random)]
            rows = [row for one in found for row in one.rows()]
            reasons = {name: one.reason for name, one in failed.items()}
            text = {"note": importance_tables.BOARD_NOTE, "rows": rows, "boards": document, "failed": reasons}
            atomic.write(Path(asked.json), json.dumps(text, indent=1) + "\n")
        for table in tables(found) if found else []:
            print(table.markdown() if asked.markdown else table, end="\n\n")
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
