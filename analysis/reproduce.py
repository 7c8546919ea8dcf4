"""Every table and figure of the papers, from the run log, by one command.

    python -m analysis.reproduce [--only NAME ...] [--smoke] [--out FOLDER] [--runs DIR] [--list]

What an exhibit needs and the log lacks is computed first, as logged runs. Each table is written as CSV, LaTeX and
Markdown, each figure as PDF and PNG with the CSV behind it. Without `--only` and `--smoke` the results are collected in
docs/results.md. `--smoke` trains for few epochs, in a folder of runs of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import filter_experiment
from analysis.exhibits import EXHIBITS, Exhibit, Records
from ndg import atomic, config, escape, runs
from ndg.cli import main as ndg
from ndg.errors import NDGError, UserError, nearest
from ndg.locations import Locations
from ndg.plots import Plot
from ndg.report.drawing import Style
from ndg.report.render import render
from ndg.report.tables import Table
from ndg.workflows.pictures import graph_of

RESULTS = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- begin: python -m analysis.reproduce -->", "<!-- end: python -m analysis.reproduce -->"
SMOKE = ("train.epochs=2", "train.schedule=constant")
SEEDS = ("0", "1")
ROWS = 16
"""Rows of a table that docs/results.md shows; the CSV has all."""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these exhibits (default: all)")
    parser.add_argument("--smoke", action="store_true", help="short trainings, in OUT/runs; docs stay as they are")
    parser.add_argument(
        "--out", default="reproduced", metavar="FOLDER", help="folder of the files (default: %(default)s)"
    )
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--list", action="store_true", help="list the exhibits and stop")
    parser.add_argument("--from-log", action="store_true", help="compute nothing; leave out what the log lacks")
    args = parser.parse_args(words)
    if args.list:
        print("\n".join(f"{each.name:22}{each.source}" for each in EXHIBITS))
        return 0
    out = Path(args.out)
    try:
        chosen = named(args.only)
        where = Locations.choose(
            runs=out / "runs" if args.smoke else args.runs, store=None if args.smoke else args.store
        )
        sections = [reproduced(exhibit, where, out, args.smoke, args.from_log) for exhibit in chosen]
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    text = "\n\n".join(sections)
    print(text)
    if not args.only and not args.smoke:
        atomic.write(RESULTS, collected(RESULTS.read_text(encoding="utf-8"), text))
    return 0


def named(names: Sequence[str] | None) -> list[Exhibit]:
    """The exhibits of these names; UserError for an unknown one."""
    known = {exhibit.name: exhibit for exhibit in EXHIBITS}
    for name in names or ():
        if name not in known:
            raise UserError(f"exhibits are {', '.join(known)}; got {name!r}; {nearest(name, known)}")
    return [known[name] for name in names or known]


def reproduced(exhibit: Exhibit, where: Locations, out: Path, smoke: bool, from_log: bool) -> str:
    """Files of an exhibit in the folder, and its section as Markdown."""
    records = logged(exhibit, where)
    if not records and not from_log:
        for command in exhibit.needs:
            computed(command, where, smoke)
        records = logged(exhibit, where)
    head = f"### {exhibit.name}: {exhibit.source}\n\nPublished: {exhibit.published}. Ours may differ: {exhibit.why}."
    if not records:
        return f"{head}\n\nNot run: the run log has no such run (`ndg {exhibit.needs[0]}`)."
    blocks = [head]
    for place, table in enumerate(exhibit.tables(records)):
        write_table(out / f"{exhibit.name}{f'_{place + 1}' * (place > 0)}", table)
        shown = Table(table.title, table.columns, table.rows[:ROWS], table.note, table.strong)
        more = f"\n\nand {len(table.rows) - ROWS} more rows in the CSV" if len(table.rows) > ROWS else ""
        blocks.append(f"**{escape.one_line(table.title)}**\n\n{shown.markdown()}{more}")
    for place, plot in enumerate(exhibit.plots(records)):
        stem = f"{exhibit.name}_figure{f'_{place + 1}' * (place > 0)}"
        write_plot(out / stem, plot)
        blocks.append(f"Figure `{stem}.pdf`: {escape.one_line(plot.title)}, {len(plot.rows()):,} points.")
    if exhibit.graphs:
        blocks += [graph_files(out, exhibit, place, records) for place in range(len(records))]
    blocks.append("Runs: " + ", ".join(record.id for record in records) + ".")
    return "\n\n".join(blocks)


def logged(exhibit: Exhibit, where: Locations) -> Records:
    """Runs of the log from which an exhibit is made."""
    with runs.open(where.store, local=where.runs) as log:
        return exhibit.of(log.find({"kind": exhibit.kind, "status": "COMPLETED"}, metrics=False))


def computed(command: str, where: Locations, smoke: bool) -> None:
    """Run a command of an exhibit, after the trainings that it is about."""
    words = shlex.split(command)
    names = [word for word in words if word in config.configs()]
    place = ["--runs", str(where.runs), "--store", where.store, "-q"]
    for name in names:
        for seed in SEEDS if "--seeds" in words else SEEDS[:1]:
            trained(name, seed, where, [*(SMOKE if smoke else ()), *place])
    more = list(SMOKE) if smoke and words[0] != "filters" else []
    if words[0] == "filters":
        filters(names[0], where, smoke)
    else:
        commanded([*_with(words, more), *place])


def commanded(words: list[str]) -> None:
    """Run a command of `ndg`, which prints to the standard error; UserError if it fails."""
    with contextlib.redirect_stdout(sys.stderr):
        code = ndg(words)
    if code != 0:
        raise UserError(f"an exhibit needs `ndg {shlex.join(words)}`, which ended with code {code}; see its message")


def _with(words: list[str], more: list[str]) -> list[str]:
    """Overrides behind the config of a command."""
    last = max(place for place, word in enumerate(words) if word in config.configs())
    return [*words[: last + 1], *more, *words[last + 1 :]]


def trained(name: str, seed: str, where: Locations, more: list[str]) -> None:
    """Train a config with a seed unless the log has that training."""
    settings = [word for word in more if "=" in word]
    experiment = config.load(config.configs()[name], [*settings, f"seed={seed}"])
    query = {"kind": "train", "status": "COMPLETED", "training_digest": experiment.training_digest}
    with runs.open(where.store, local=where.runs) as log:
        found = log.find({**query, "seeds.seed": int(seed)}, limit=1, metrics=False)
    if not found:
        commanded(["train", name, *settings, "--seed", seed, *more[len(settings) :]])


def filters(name: str, where: Locations, smoke: bool) -> None:
    """Log the two experiments on filters as a run of their own."""
    experiment = config.load(config.configs()[name], [*(SMOKE if smoke else ()), "seed=0"])
    query = {"kind": "train", "status": "COMPLETED", "training_digest": experiment.training_digest}
    with runs.open(where.store, local=where.runs) as log:
        [training] = log.find(query, limit=1, metrics=False)
    with runs.start(where.store, "analysis", experiment, where.runs, parent=training.id) as run:
        run.result("filters", filter_experiment.document(training, where, quick=smoke))


def write_table(stem: Path, table: Table) -> None:
    """A table as CSV, LaTeX and Markdown."""
    atomic.write(stem.with_suffix(".csv"), table.csv())
    atomic.write(stem.with_suffix(".tex"), table.latex())
    atomic.write(stem.with_suffix(".md"), table.markdown() + "\n")


def write_plot(stem: Path, plot: Plot) -> None:
    """A figure as PDF and PNG, and the points behind it as CSV."""
    from matplotlib import pyplot

    axes = plot.plot()
    stem.parent.mkdir(parents=True, exist_ok=True)
    for form in ("pdf", "png"):
        axes.figure.savefig(stem.with_suffix(f".{form}"), dpi=160)
    pyplot.close(axes.figure)
    atomic.write(stem.with_suffix(".csv"), escape.csv(plot.frame()))


def graph_files(out: Path, exhibit: Exhibit, place: int, records: Records) -> str:
    """The graph of a run, filled by the prior, as PDF and PNG with the CSV of its implications."""
    record, stem = records[place], f"{exhibit.name}{f'_{place + 1}' * (place > 0)}"
    graph = graph_of(record)
    for form in ("pdf", "png"):
        render(graph, out / f"{stem}.{form}", title=record["name"], style=Style(fill="prior"))
    render(graph, out / f"{stem}.csv")
    return f"Figure `{stem}.pdf`: the graph of {record['name']}, filled by how often each literal holds."


def collected(document: str, text: str) -> str:
    """docs/results.md with the sections between its marks, which are added at the end if missing."""
    before, mark, rest = document.partition(BEGIN)
    if not mark:
        before, rest = f"{document.rstrip()}\n\n# The papers' tables and figures\n\n", END
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}".rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
