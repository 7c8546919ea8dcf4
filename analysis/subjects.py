"""What the scripts about importance share: their arguments, the trained networks they are about, and their scores."""

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
from ndg.activations.subset import subset
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
    """Print the tables of `work` about trained networks: those named, else the newest of each config and seed."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("run", nargs="*", metavar="RUN", help="id or folder of a train run")
    parser.add_argument("--configs", nargs="+", metavar="CONFIG", help=f"else, without RUN, {' '.join(configs)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="of those configs (default 0)")
    parser.add_argument("--layers", nargs="+", default=[], metavar="PATH", help="module paths or regular expressions")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--quick", action="store_true", help="fewer examples and draws: to see that it runs")
    parser.add_argument("--markdown", action="store_true", help="as a page of docs/ has it")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    if add is not None:
        add(parser)
    asked = parser.parse_args(words)
    where = Locations.choose(data=asked.data, runs=asked.runs, store=asked.store)
    try:
        names = asked.configs if asked.configs is not None else () if asked.run else configs
        found = [opened(folder, where) for _, folder in chosen(asked.run, names, asked.seeds, where)]
        tables, document = work(asked, found)
        if asked.json:
            atomic.write(Path(asked.json), json.dumps(document, indent=1, allow_nan=False) + "\n")
        print("\n\n".join(table.markdown() if asked.markdown else str(table) for table in tables))
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def name_of(run: Run) -> str:
    """A run as a row names it."""
    return f"{run.network} {run.seed}"


def some(run: Run, split: str, most: int | None) -> Iterable[Any]:
    """At most so many examples of a split, drawn by the seed of the run."""
    return subset(run.splits[split].loader(COMPUTE_BATCH), most, run.seed)


def layers_of(model: nn.Module, loader: Iterable[Any], asked: Sequence[str]) -> tuple[str, ...]:
    """The layers asked for, else all linear and convolution layers but the one that gives the logits."""
    return tuple(find_layers(model, asked) if asked else weighted_layers(model, loader))


def scores_of(
    model: nn.Module, loader: Iterable[Any], layers: tuple[str, ...], methods: Iterable[str], how: Settings
) -> Iterator[tuple[str, Scores | str]]:
    """The scores by each method, or why it refuses these layers."""
    for method in methods:
        try:
            yield method, scored(model, loader, layers, method, fitting(method, how))
        except UserError as error:
            yield method, str(error)


def refusals(found: Mapping[str, Scores | str]) -> str:
    """The methods that refused, and why, as a note says it."""
    return "".join(f" {method} is left out: {why}." for method, why in found.items() if isinstance(why, str))


def interval(value: float | None, low: float | None, high: float | None) -> Interval | float | None:
    """A cell: a value with its interval, where both are known."""
    if value is None or low is None or high is None:
        return value
    return Interval(value, low, high)
