"""Every table and figure of the papers, from the run log, by one command.

    python -m analysis.reproduce [--only NAME ...] [--configs CONFIG ...] [--smoke] [--out FOLDER] [--runs DIR] [--list]

What an exhibit needs and the log lacks is computed first, as logged runs: without `--only` of networks that take
seconds, with it of all of them, or of `--configs`. Each table is written as CSV, LaTeX, Markdown, PDF and PNG, each
figure as PDF and PNG with the CSV behind it. Without `--only` and `--smoke` the results are collected in
docs/results.md, with one row for each table or figure and data of the paper. `--smoke` trains for few epochs, in a
folder of runs of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import filter_experiment, sentiment_experiment
from analysis.data_at_hand import SETTINGS, Data
from analysis.exhibit_tables import Records
from analysis.exhibits import EXHIBITS, FILTERS, NOT_AT_HAND, SENTIMENT, Exhibit
from analysis.log import documents
from analysis.table_picture import pages
from ndg import atomic, config, escape, runs
from ndg.cli import main as ndg
from ndg.errors import NDGError, UserError, nearest
from ndg.locations import Locations
from ndg.plots import Plot
from ndg.report.render import render
from ndg.report.tables import Column, Table
from ndg.workflows.pictures import graph_of

RESULTS = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- begin: python -m analysis.reproduce -->", "<!-- end: python -m analysis.reproduce -->"
SMOKE = ("train.epochs=2", "train.schedule=constant")
SEEDS = ("0", "1")
ROWS = 16
"""Rows of a table that docs/results.md shows; the CSV has all."""
COLUMNS = {
    "exhibit": Column("table or figure", left=True),
    "data": Column("data of the paper", left=True),
    "config": Column("network here", left=True),
    "published": Column("published figure", left=True),
    "ours": Column("our figure", left=True),
    "why": Column("why they differ", left=True),
}
NOTE = (
    "published figure: not at hand where the text of the paper is not. not run: no such run is in the log; the command "
    "computes it, which takes minutes to hours. Intervals are 95 % intervals."
)
NO_DATES = {"CreationDate": None, "ModDate": None}
EXPERIMENTS = {FILTERS: filter_experiment.document, SENTIMENT: sentiment_experiment.document}


@dataclass(frozen=True)
class Plan:
    """Where the runs are and what may be computed."""

    where: Locations
    out: Path
    smoke: bool = False
    from_log: bool = False
    configs: tuple[str, ...] | None = None
    long: bool = False
    """Compute what takes minutes to hours as well."""

    def computes(self, data: Data) -> bool:
        """Whether runs on some data are computed where the log lacks them."""
        if data.config is None or self.from_log:
            return False
        return data.config in self.configs if self.configs is not None else self.long or not data.long


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these exhibits (default: all)")
    parser.add_argument("--configs", nargs="+", metavar="CONFIG", help="compute for these networks alone")
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
        configs = known(args.configs)
        plan = Plan(where, out, args.smoke, args.from_log, configs, bool(args.only) and not args.smoke)
        text = reproduced(chosen, plan)
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    if not args.only and not args.smoke:
        atomic.write(RESULTS, collected(RESULTS.read_text(encoding="utf-8"), text))
    return 0


def named(names: Sequence[str] | None) -> list[Exhibit]:
    """The exhibits of these names; UserError for an unknown one."""
    exhibits = {exhibit.name: exhibit for exhibit in EXHIBITS}
    for name in names or ():
        if name not in exhibits:
            raise UserError(f"exhibits are {', '.join(exhibits)}; got {name!r}; {nearest(name, exhibits)}")
    return [exhibits[name] for name in names or exhibits]


def known(configs: Sequence[str] | None) -> tuple[str, ...] | None:
    """Configs of the exhibits; UserError for another one."""
    used = {data.config: data for exhibit in EXHIBITS for data in exhibit.data if data.config}
    for name in configs or ():
        if name not in used:
            raise UserError(f"the exhibits are of the configs {', '.join(used)}; got {name!r}; {nearest(name, used)}")
    return None if configs is None else tuple(configs)


def reproduced(exhibits: Sequence[Exhibit], plan: Plan) -> str:
    """Markdown: a row for each exhibit and data, then the tables and figures of each; writes their files."""
    rows: list[dict[str, Any]] = []
    sections = []
    for exhibit in exhibits:
        for data in exhibit.data:
            if plan.computes(data) and not of_data(logged(exhibit, plan.where), data):
                computed(exhibit.needs(data), data, plan)
        records = logged(exhibit, plan.where)
        rows += [row(exhibit, data, of_data(records, data)) for data in exhibit.data]
        sections.append(section(exhibit, records, plan.out))
    table = Table.of("", COLUMNS, rows, note=NOTE)
    write_table(plan.out / "all", table)
    return "\n\n".join([table.markdown(), *sections])


def row(exhibit: Exhibit, data: Data, records: Records) -> dict[str, Any]:
    """The published figure, ours and why they differ."""
    own = "none" if data.published == "none" else exhibit.published.get(data.published, NOT_AT_HAND)
    if data.config is None:
        ours = "cannot be computed"
    elif not records:
        command = f"python -m analysis.reproduce --only {exhibit.name} --configs {data.config}"
        ours = f"not run: `{command}`"
    else:
        ours = " / ".join(exhibit.says(record) for record in records)
    network = " ".join([data.config, *(word for word in data.settings if "threads" not in word)]) if data.config else ""
    return {"exhibit": exhibit.source, "data": data.published, "config": network or None, "published": own,
            "ours": ours, "why": data.why}  # fmt: skip


def section(exhibit: Exhibit, records: Records, out: Path) -> str:
    """Files of an exhibit in the folder, and its section as Markdown."""
    blocks = [f"### {exhibit.name}: {exhibit.source}"]
    if not records:
        return "\n\n".join([*blocks, "Not run."])
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
        return exhibit.of(documents(log, {"kind": exhibit.kind, "status": "COMPLETED"}))


def of_data(records: Records, data: Data) -> Records:
    """The runs on some data."""
    return [record for record in records if record["name"] == data.config]


def computed(command: str, data: Data, plan: Plan) -> None:
    """Run a command of an exhibit, after the trainings that it is about."""
    words = shlex.split(command)
    names = [word for word in words if word in config.configs()]
    place = ["--runs", str(plan.where.runs), "--store", plan.where.store, "-q"]
    short = SMOKE if plan.smoke else ()
    settings = {name: [*(SETTINGS.get(name, ()) if len(names) > 1 else data.settings), *short] for name in names}
    for name in names:
        for seed in SEEDS if "--seeds" in words else SEEDS[:1]:
            trained(name, seed, plan.where, settings[name], place)
    if words[0] in EXPERIMENTS:
        experiment(words[0], names[0], settings[names[0]], plan)
    elif len(names) > 1:
        ids = {name: identified(name, plan.where, settings[name]) for name in names}
        commanded([*(ids.get(word, word) for word in words), *place])
    else:
        commanded([*_with(words, settings[names[0]]), *place])


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


def trained(name: str, seed: str, where: Locations, settings: list[str], place: list[str]) -> None:
    """Train a config with a seed unless the log has that training."""
    if not _trainings(name, seed, where, settings):
        commanded(["train", name, *settings, "--seed", seed, *place])


def identified(name: str, where: Locations, settings: list[str]) -> str:
    """Id of the first training of a config."""
    return str(_trainings(name, SEEDS[0], where, settings)[0].id)


def _trainings(name: str, seed: str, where: Locations, settings: list[str]) -> Records:
    training = config.load(config.configs()[name], [*settings, f"seed={seed}"])
    query = {"kind": "train", "status": "COMPLETED", "training_digest": training.training_digest}
    with runs.open(where.store, local=where.runs) as log:
        return documents(log, {**query, "seeds.seed": int(seed)}, limit=1)


def experiment(command: str, name: str, settings: list[str], plan: Plan) -> None:
    """Log an experiment of this folder as a run of its own."""
    seed = SEEDS[0]
    [training] = _trainings(name, seed, plan.where, settings)
    loaded = config.load(config.configs()[name], [*settings, f"seed={seed}"])
    with runs.start(plan.where.store, "analysis", loaded, plan.where.runs, parent=training.id) as run:
        document = EXPERIMENTS[command](training, plan.where, quick=plan.smoke)
        run.result(command, json.loads(json.dumps(document)))


def write_table(stem: Path, table: Table) -> None:
    """A table as CSV, LaTeX, Markdown and PDF, and each of its pages as PNG."""
    from matplotlib.backends.backend_pdf import PdfPages

    atomic.write(stem.with_suffix(".csv"), table.csv())
    atomic.write(stem.with_suffix(".tex"), table.latex())
    atomic.write(stem.with_suffix(".md"), table.markdown() + "\n")
    with PdfPages(stem.with_suffix(".pdf"), metadata=NO_DATES) as book:
        for place, page in enumerate(pages(table)):
            book.savefig(page)
            page.savefig(stem.with_name(f"{stem.name}{f'_page{place + 1}' * (place > 0)}.png"), dpi=160)


def write_plot(stem: Path, plot: Plot) -> None:
    """A figure as PDF and PNG, and the points behind it as CSV."""
    from matplotlib import pyplot

    axes = plot.plot()
    stem.parent.mkdir(parents=True, exist_ok=True)
    for form, facts in (("pdf", NO_DATES), ("png", None)):
        axes.figure.savefig(stem.with_suffix(f".{form}"), dpi=160, metadata=facts)
    pyplot.close(axes.figure)
    atomic.write(stem.with_suffix(".csv"), escape.csv(plot.frame()))


def graph_files(out: Path, exhibit: Exhibit, place: int, records: Records) -> str:
    """The graph of a run, filled by the prior, as PDF and PNG with the CSV of its implications."""
    record, stem = records[place], f"{exhibit.name}{f'_{place + 1}' * (place > 0)}"
    graph = graph_of(record)
    for form in ("pdf", "png"):
        render(graph, out / f"{stem}.{form}", title=record["name"], fill="prior")
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
