"""Every score of importance against exact ablation, on trained networks and on the same with random weights.

    python -m analysis.importance_scoreboard --configs digits_mlp digits_cnn --seeds 0 1 2 [--markdown] [--json FILE]
    python -m analysis.importance_scoreboard RUN... --layers 'layer3.*conv1' --methods gndi magnitude:side=outgoing

Without --layers, all linear and convolution layers are scored but the one that gives the logits. The first 400 examples
that the seed draws of the validation split are read; figures are means over trainings.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from analysis.edge_survival import Run, chosen, opened
from ndg import atomic
from ndg.activations.compute import COMPUTE_BATCH
from ndg.activations.selection import find_layers
from ndg.comparison.networks import reinitialised
from ndg.errors import ConfigError, LayerError, NDGError
from ndg.importance.board.drawn import drawn
from ndg.importance.board.scoreboard import Scoreboard, scoreboard
from ndg.importance.board.several import over
from ndg.importance.board.variants import ALL
from ndg.locations import Locations
from ndg.pipeline.subjects import candidates
from ndg.progress import log
from ndg.report import importance
from ndg.report.tables import Table

EXAMPLES, SPLIT = 400, "validation"
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
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


def weighted_layers(model: nn.Module, loader: Iterable[Any]) -> list[str]:
    """The linear and convolution layers that run once, in their order, without the last, which gives the logits."""
    modules = dict(model.named_modules())
    found = [path for path in candidates(model, loader, COMPUTE_BATCH) if isinstance(modules[path], WEIGHTED)]
    if len(found) < 2:
        raise LayerError(
            f"there is no linear or convolution layer before the logits; found {found}; name some by --layers"
        )
    return found[:-1]


def measured(
    run: Run,
    model: nn.Module,
    what: str,
    methods: Sequence[str],
    layers: Sequence[str],
    split: str = SPLIT,
    examples: int = EXAMPLES,
    **how: Any,
) -> Scoreboard:
    """The scoreboard of one network on the examples of one run."""
    loader = drawn(run.splits[split].loader(COMPUTE_BATCH), examples, run.seed)
    paths = find_layers(model, layers) if layers else weighted_layers(model, loader)
    log.info("%s, seed %d, %s: %d layers", run.network, run.seed, what, len(paths))
    return scoreboard(model, loader, paths, methods, network=f"{run.network} {run.seed}, {what}", seed=run.seed, **how)


def boards(
    runs: Iterable[Run], methods: Sequence[str], layers: Sequence[str], random: bool = True, **how: Any
) -> list[Boards]:
    """The scoreboards of every run, by its config."""
    found: dict[str, Boards] = {}
    for run in runs:
        mine = found.setdefault(run.network, Boards(run.network, [], []))
        mine.trained.append(measured(run, run.model, TRAINED, methods, layers, **how))
        if random:
            fresh = reinitialised(run.model, run.seed).model
            mine.random.append(measured(run, fresh, RANDOM, methods, layers, **how))
    return list(found.values())


def tables(found: Sequence[Boards]) -> list[Table]:
    """The scoreboard over all configs, then of each training the units on which scores disagree."""
    rows = [row for one in found for row in one.rows()]
    disagreeing = [
        importance.disagreements(board.disagreements, board.first_order, board.network)
        for one in found
        for board in one.trained
        if board.first_order
    ]
    return [importance.scoreboard(rows), *disagreeing]


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
    parser.add_argument("--json", metavar="FILE", help="write every scoreboard")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    asked = parser.parse_args(words)
    where = Locations.choose(data=asked.data, runs=asked.runs, store=asked.store)
    try:
        if asked.examples < 1:
            raise ConfigError(f"--examples is at least 1; got {asked.examples}")
        runs = [opened(folder, where) for _, folder in chosen(asked.run, asked.configs, asked.seeds, where)]
        how = {"split": asked.split, "examples": asked.examples, "baselines": asked.baselines, "threads": asked.threads}
        found = boards(runs, asked.methods or [ALL], asked.layers, not asked.trained_only, **how)
        if asked.json:
            document = [board.to_dict() for one in found for board in (*one.trained, *one.random)]
            rows = [row for one in found for row in one.rows()]
            text = json.dumps({"note": importance.BOARD_NOTE, "rows": rows, "boards": document}, indent=1)
            atomic.write(Path(asked.json), text + "\n")
        for table in tables(found):
            print(table.markdown() if asked.markdown else table, end="\n\n")
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
