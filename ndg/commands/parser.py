"""The options of every command."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from functools import partial
from keyword import iskeyword

from ndg import commands
from ndg.commands.arguments import CONDITION, KINDS, SACRED, Parser
from ndg.commands.computing import SLOW
from ndg.locations import Locations


def parse(program: str, arguments: list[str]) -> argparse.Namespace:
    """The parsed options, among configs, runs and overrides."""
    Parser.arguments = arguments = _joined(arguments)
    parser = make_parser(program, arguments)
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "what") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.what += rest
    return options


def _joined(arguments: list[str]) -> list[str]:
    """The arguments with `--sort -path` as one word, for argparse."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] == "--sort" and word.startswith("-") and not word.startswith("--"):
            joined[-1] = f"--sort={word}"
        else:
            joined.append(word)
    return joined


def make_parser(program: str, arguments: Collection[str] | None = None) -> Parser:
    """The parser of `ndg`, or of a script for one of its commands.

    Options whose choices take long to import are added only if `arguments` name their command.
    """
    parser = Parser(
        prog=program,
        description="Neuron dependency graphs: mine them, put them on trial, score, log and draw.",
        epilog="example: ndg train digits_mlp && ndg align digits_mlp && ndg runs",
    )
    parser.add_argument("--version", **KINDS["--version"])
    kinds = parser.add_subparsers(metavar="COMMAND", required=True)
    parser.commands = kinds.choices
    common = _common()

    def command(name: str, help: str, example: str) -> Parser:
        prog = program if program != "ndg" else f"ndg {name}"
        subparser = kinds.add_parser(
            name,
            prog=prog,
            parents=[common],
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=f"example: {prog} {example}".rstrip(),
        )
        subparser.set_defaults(act=getattr(commands, f"{name}_" if iskeyword(name) else name))
        return subparser

    for name, help, example, fill in SLOW:
        subparser = command(name, help, example)
        if arguments is None or name in arguments:
            fill(subparser)

    runs = command("runs", "list logged runs, newest first", "kind=align 'results.trial.q.test.aligned>0.9'")
    runs.add("condition", "such as kind=train 'results.train.test_accuracy>0.9' name~^digits", **CONDITION)
    runs.add("--where", "a MongoDB query", metavar="JSON")
    runs.add_number("--limit", "at most N runs (default: 20; of --csv and --parquet all)")
    runs.add("--sort", "order by a field; with a minus downwards", metavar="[-]PATH")
    runs.add("--columns", "fields to show", metavar="PATH", nargs="+")
    runs.add_flag("--csv", "the usual columns, or --columns, as CSV")
    runs.add_flag("--md", "the table as Markdown")
    runs.add("--sacred", f"with `ndg runs export`: {SACRED}", metavar="URI")
    runs.add("--parquet", "write the same as Parquet", metavar="FILE")
    runs.add_flag("--json", "whole run documents as JSON")
    runs.choices = ("operators",)

    show = command("show", "show one run", "last")
    show.add("run", "run id, a unique part of one, last (default), or last:KIND")
    show.add_flag("--all", "all of it, not one screen")
    show.add_flag("--config", "its config, a line per key")
    show.add("--results", "its results, or those below a path", metavar="PATH", nargs="?", const="")
    show.add_flag("--json", "the whole run document as JSON")

    compare = command("compare", "show what differs between runs, configs first", "RUN RUN")
    compare.add("run", "two or more runs: ids, or unique parts of ids", nargs="+")
    compare.add_flag("--all", "every result that differs, not the chief figures")
    compare.add_flag("--json", "whole run documents as JSON")

    best = command("best", "show the run with the highest value of a metric", "results.train.test_accuracy kind=train")
    best.add("metric", "dotted path of a number", metavar="METRIC")
    best.add("condition", "conditions, as of `ndg runs`", **CONDITION)
    best.add("--where", "a MongoDB query", metavar="JSON")
    best.add_flag("--json", "the whole run document as JSON")

    for name, help, words in (("tag", "add tags to a run", "paper"), ("untag", "remove tags from a run", "paper")):
        tags = command(name, help, f"last {words}")
        tags.add("run", "run id, a unique part of one, or last", nargs=None)
        tags.add("tags", "one or more words", metavar="TAG", nargs="+")
        tags.add_flag("--json", "tags and notes as JSON")
    note = command("note", "set the notes of a run", "last 'the one of figure 2'")
    note.add("run", "run id, a unique part of one, or last", nargs=None)
    note.add("text", "the notes; an empty text removes them", metavar="TEXT")
    note.add_flag("--json", "tags and notes as JSON")
    path = command("path", "print the folder of a run", "last")
    path.add("run", "run id, a unique part of one, or last (default)")

    page = command("open", "open the report of a run in the browser", "last")
    page.add("run", "run id, a unique part of one, or last (default)")
    rm = command("rm", "remove runs from the log; their folders move to the trash", "last")
    rm.add("run", "one or more runs: ids, or unique parts of ids", nargs="+")
    rm.add_flag("--yes", "do not ask")

    for name, help, example in (
        ("export", "copy runs to another run log", "mongodb://HOST/ndg kind=train"),
        ("import", "copy runs from another run log", "old/ndg.db"),
    ):
        copies = command(name, help, example)
        copies.add("uri", "the other run log: mongodb://... or a file", metavar="URI", nargs="?")
        if name == "export":
            copies.add("--sacred", SACRED, metavar="URI")
        copies.add("condition", "conditions, as of `ndg runs`", **CONDITION)
        copies.add("--where", "a MongoDB query", metavar="JSON")
        copies.add_flag("--json", "ids of the copied runs, as JSON")
    ui = command("ui", "look at the run log in the browser, on this machine alone", "--write")
    ui.add_number("--port", "a port of 127.0.0.1 (default: a free one)", default=0)
    ui.add_flag("--write", "allow tags and notes to be changed on the page")
    ui.add_flag("--no-browser", "print the address and open no browser")
    fetch = command(
        "fetch", "fetch the files of a run from a server (store.upload: true)", "last --store mongodb://HOST/ndg"
    )
    fetch.add("run", "run id, a unique part of one, or last (default)")
    fetch.add_flag("--json", "paths of the files, as JSON")

    sync = command("sync", "bring runs from their folders into a run log that is behind", "--store mongodb://HOST/ndg")
    sync.add_flag("--json", "ids of the runs that were brought, as JSON")

    diff = command("diff", "compare the graphs of align runs edge by edge", "RUN RUN --bootstraps 100 --csv FOLDER")
    diff.add("run", "two or more align runs: ids, or unique parts of ids", nargs="+")
    diff.add_flag("--by-number", "match units by number instead of by their booleans")
    diff.add_number("--bootstraps", "mine the first graph again from N resamples of its examples", default=0)
    diff.add("--csv", "write edges, matched units and shares as CSV files", metavar="FOLDER")
    diff.add_flag("--raw-csv", "write CSV cells as they are, also those that spreadsheets run as formulas")
    diff.add_flag("--json", "results as JSON")

    explain = command("explain", "explain the prediction for one example", "last --example 7 --target 3")
    explain.add("run", "align run: id, a unique part of one, or last (default)")
    explain.add_number("--example", "number of the example in its split", "I", required=True)
    explain.add("--target", "another class (number or name): what would change the prediction to it", metavar="CLASS")
    explain.add("--split", "split of the example (default: the held-out one)", metavar="SPLIT")
    explain.add_flag("--json", "results as JSON")

    explore = command("explore", "write the graph of a run as a page to explore", "last --out graph.html")
    explore.add("run", "align or score run: id, a unique part of one, or last (default)")
    explore.add("--out", "the HTML file, or its folder (default: explorer.html in the run's folder)", metavar="FILE")
    explore.add("--score", "bars of this method first (default: the run's first)", metavar="METHOD")

    report = command("report", "write the report of a run, or of several side by side", "last --pdf report.pdf")
    report.add("run", "one run, or several side by side: ids, or unique parts of ids", nargs="+")
    for kind in ("html", "pdf", "md"):
        words = f"write {kind} (default: into the folder of the first run)"
        report.add(f"--{kind}", words, nargs="?", const="", metavar="FILE")

    data = command("data", "list data sets, or download them from their publishers", "get mnist --data data")
    data.add("action", "list known data sets, or download some", choices=("list", "get"))
    data.add("names", "data sets (list: all by default)", metavar="NAME", nargs="*")
    data.add_flag("--json", "results as JSON")
    data.choices = ("data.name",)

    configs = command("configs", "list the configs of this installation, or all config keys", "--keys train")
    keys = "list the keys of this section, or all, with type, default and meaning"
    configs.add("--keys", keys, nargs="?", const="", metavar="SECTION")
    configs.add_flag("--json", "results as JSON")
    completion = command("completion", "print a script that completes commands and options", "bash >> ~/.bashrc")
    completion.add("shell", "the shell that runs the script", choices=("bash", "zsh", "fish"))
    completion.set_defaults(act=partial(_completion, program))
    command("doctor", "check versions, device, Ray, Graphviz, run log and data", "")
    return parser


def _completion(program: str, options: argparse.Namespace, where: Locations) -> int:
    whole = make_parser(program)
    return commands.completion(whole.commands, whole, options.shell)


def _common() -> Parser:
    """Options of every command."""
    parent = Parser(add_help=False)
    group = parent.add_argument_group("common")
    group.add_argument("--version", **KINDS["--version"])
    group.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="print more messages")
    group.add_argument("--data", metavar="DIR", help="folder of data sets (default: NDG_DATA)")
    group.add_argument("--runs", metavar="DIR", help="folder of runs (default: NDG_RUNS, else runs)")
    store = "run log: mongodb://... or a file (default: NDG_STORE, else RUNS/ndg.db)"
    group.add_argument("--store", metavar="URI", help=store)
    return parent
