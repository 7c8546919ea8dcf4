"""Arguments, trained networks and scores of the scripts about importance."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from analysis.edge_survival import Run, chosen, opened
from ndg import atomic
from ndg.activations.batches import COMPUTE_BATCH
from ndg.activations.sampling import subset
from ndg.errors import NDGError, UserError
from ndg.importance.evaluation.spec import fitting, scored
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.locations import Locations
from ndg.report.tables import Interval, Table
from ndg.units.resolve import find_layers
from ndg.workflows.score_request import weighted_layers

Tables = tuple[list[Table], dict[str, Any]]


def main(
    title: str,
    work: Callable[[argparse.Namespace, list[Run]], Tables],
    configs: Sequence[str],
    words: Sequence[str] | None = None,
    add: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """Print the tables of `work` for trained networks."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("run", nargs="*", metavar="RUN", help="id or folder of a train run")
    parser.add_argument("--configs", nargs="+", metavar="CONFIG", help=f"default without RUN: {' '.join(configs)}")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0], metavar="N", help="seeds of the configs (default 0)"
    )
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATH", help="module paths or regular expressions")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--quick", action="store_true", help="fewer examples and draws, for a quick check")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    if add is not None:
        add(parser)
    args = parser.parse_args(words)
    locations = Locations.choose(data=args.data, runs=args.runs, store=args.store)
    try:
        names = args.configs if args.configs is not None else () if args.run else configs
        trainings = [opened(folder, locations) for _, folder in chosen(args.run, names, args.seeds, locations)]
        tables, document = work(args, trainings)
        if args.json:
            atomic.write(Path(args.json), json.dumps(document, indent=1, allow_nan=False) + "\n")
        print("\n\n".join(table.markdown() if args.markdown else str(table) for table in tables))
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def name_of(run: Run) -> str:
    """Name of a run in a table."""
    return f"{run.network} {run.seed}"


def some(run: Run, split: str, most: int | None) -> Iterable[Any]:
    """At most `most` examples of a split, drawn by the seed of the run."""
    return subset(run.splits[split].loader(COMPUTE_BATCH), most, run.seed)


def layers_of(model: nn.Module, loader: Iterable[Any], layers: Sequence[str]) -> tuple[str, ...]:
    """The requested layers, or all linear and convolution layers except the last."""
    return tuple(find_layers(model, layers) if layers else weighted_layers(model, loader))


def scores_of(
    model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], methods: Iterable[str], settings: Settings
) -> Iterator[tuple[str, Scores | str]]:
    """Scores by each method, or the reason why it cannot score these layers."""
    for method in methods:
        try:
            yield method, scored(model, loader, layers, method, fitting(method, settings))
        except UserError as error:
            yield method, str(error)


def refusals(scores: Mapping[str, Scores | str]) -> str:
    """Note about the methods that could not score, with reasons."""
    return "".join(f" {method} is left out: {reason}." for method, reason in scores.items() if isinstance(reason, str))


def interval(value: float | None, low: float | None, high: float | None) -> Interval | float | None:
    """Table cell of a value, with its interval if known."""
    if value is None or low is None or high is None:
        return value
    return Interval(value, low, high)
