"""The options of every command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from keyword import iskeyword
from typing import Any, ClassVar, NoReturn

from ndg import __version__, commands
from ndg.addresses import without_pieces
from ndg.config.validation import BASELINES, SPLITS
from ndg.escape import printable
from ndg.locations import Locations

KINDS: dict[str, dict[str, Any]] = {
    "--device": {"choices": ("auto", "cpu", "cuda"), "default": "auto"},
    "--layers": {"nargs": "+", "metavar": "PATH"},
    "--seeds": {"nargs": "+", "metavar": "N"},
    "--version": {"action": "version", "version": f"ndg {__version__}"},
    "run": {"metavar": "RUN", "nargs": "?", "default": "last"},
    "what": {"nargs": "*", "metavar": "CONFIG|KEY=VALUE"},
}
"""Settings of options that several commands have."""
SACRED = "write runs to this MongoDB database as sacred does, for Omniboard"
CONDITION: dict[str, Any] = {"metavar": "KEY=VALUE", "nargs": "*"}


class Parser(argparse.ArgumentParser):
    """The parser of one command; `choices` are listed by its help, before the example."""

    choices: tuple[str, ...] = ()
    arguments: ClassVar[Sequence[str]] = ()
    """Of the present command line."""
    commands: dict[str, Parser]

    def format_help(self) -> str:
        if not self.choices:
            return super().format_help()
        from ndg.commands.choices import text

        example, self.formatter_class = self.epilog, argparse.RawDescriptionHelpFormatter
        self.epilog = f"{text(self.choices)}\n\n{example}"
        help, self.epilog = super().format_help(), example
        return help

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:  # argparse would swallow the error of a full disk
            file.write(printable(message))
        else:
            super()._print_message(printable(message), file)

    def error(self, message: str) -> NoReturn:
        """Exit with a mistake of the user; the message has no password."""
        super().error(without_pieces(message, Parser.arguments))

    def add(self, name: str, help: str, **settings: Any) -> None:
        """Add an option, or an argument; `settings` are those of argparse."""
        self.add_argument(name, help=help, **KINDS.get(name, {}) | settings)

    def add_flag(self, name: str, help: str) -> None:
        """Add an option without a value."""
        self.add_argument(name, help=help, action="store_true")

    def add_number(self, name: str, help: str, metavar: str = "N", **settings: Any) -> None:
        """Add an option that takes a whole number."""
        self.add_argument(name, help=help, type=int, metavar=metavar, **settings)


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
    runs.add_number("--limit", "at most N runs (default: 20)", default=20)
    runs.add("--sort", "order by a field; with a minus downwards", metavar="[-]PATH")
    runs.add("--columns", "fields to show", metavar="PATH", nargs="+")
    runs.add_flag("--csv", "the table as CSV")
    runs.add_flag("--md", "the table as Markdown")
    runs.add("--sacred", f"with `ndg runs export`: {SACRED}", metavar="URI")
    runs.add("--parquet", "write the table as Parquet, with all --columns or the usual ones", metavar="FILE")
    runs.add_flag("--json", "whole run documents as JSON")
    runs.choices = ("operators",)

    show = command("show", "show one run", "last")
    show.add("run", "run id, a unique part of one, last (default), or last:KIND")
    show.add_flag("--all", "all of it, also on a terminal (in a file or a pipe: always)")
    show.add_flag("--config", "its config, a line per key")
    show.add("--results", "its results, or those below a path", metavar="PATH", nargs="?", const="")
    show.add_flag("--json", "the whole run document as JSON")

    compare = command("compare", "show what differs between runs, configs first", "RUN RUN")
    compare.add("run", "two or more runs: ids, or unique parts of ids", nargs="+")
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
    explore.add("--out", "the HTML file (default: explorer.html in the run's folder)", metavar="FILE")
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


def _render(parser: Parser) -> None:
    from ndg.report.render import REPORTS

    parser.add("run", "align or score run: id, a unique part of one, or last (default)")
    for kind in REPORTS:
        parser.add(f"--{kind}", f"write {kind} (default: into the run's folder)", nargs="?", const="", metavar="FILE")
    target = "draw only what implies this class (number or name) or literal, and what it implies"
    parser.add("--target", target, metavar="CLASS")
    parser.add("--around", "the same, for a literal", metavar="LAYER:UNIT", dest="target")
    parser.add("--fill", "fill nodes by this score of the graph, or by prior", metavar="METHOD|prior")
    parser.add("--verdict", "draw edges by their verdict when forced: alone or closure", metavar="WAY")
    parser.add_argument("--min-precision", type=float, metavar="P", help="leave out implications of lower precision")
    parser.add("--layers", "draw only these layers and the labels")
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument("--full", action="store_true", help="all edges, also those that follow from a path of others")
    whole.add_argument("--reduce", action="store_false", dest="full", help="their transitive reduction (default)")
    parser.add_flag("--no-labels", "leave out the labels")
    parser.add_flag("--hide-equivalent", "show one literal of each class of equivalent ones")
    parser.add("--score", "shade neurons by this method (default: the run's first)", metavar="METHOD")
    parser.add_number("--top", "draw only the K neurons of largest absolute score", "K")
    parser.add_number("--max-nodes", "draw at most N nodes (default: report.max_nodes)")
    parser.add_flag("--raw-csv", "write CSV cells as they are, also those that spreadsheets run as formulas")


def _train(parser: Parser) -> None:
    parser.choices = ("model.name", "data.name")
    parser.add("what", "configs by path or name (default: all whose data are present), and overrides")
    parser.add_number("--seed", "seed of initialisation, order and augmentation")
    parser.add("--seeds", "train once with each of these seeds")
    parser.add_flag("--resume", "continue the unfinished run of this config and seed")
    executor = "where several seeds are trained; auto: Ray where two fit at once or it has an address"
    _execution(parser, executor)


def _align(parser: Parser) -> None:
    parser.choices = ("studies", "criterion.name", "trial.interventions", "trial.values", "extract.binarizer")
    what = "configs (the best completed run of each), run ids, and overrides (default: every config's best run)"
    parser.add("what", what, metavar="[STUDY] CONFIG|RUN|KEY=VALUE")
    parser.add("--seeds", "the trainings with these seeds")
    parser.add_flag("--resume", "continue the interrupted trial of this network")
    _own_network(parser)
    parser.add("--layers", "layers of the graph: module paths or regular expressions")
    executor = "where the network runs, pairs are counted and units are changed; auto: the fastest"
    _execution(parser, executor)


def _score(parser: Parser) -> None:
    parser.choices = ("importance.methods", "of_graph")
    what = "configs (the best completed run of each), train or align runs, and overrides"
    parser.add("what", what, metavar="CONFIG|RUN|KEY=VALUE")
    parser.add(
        "--method",
        "methods, with options as in magnitude:side=outgoing; degree and ancestors score nodes of the graph; all: "
        "every method that reads the network (default: importance.methods)",
        nargs="+",
        metavar="METHOD",
    )
    layers = "module paths or regular expressions; PATH.heads for attention heads (default: layers of the graph)"
    parser.add("--layers", layers)
    parser.add("--target", "class to explain, by number or name (default: chosen by each method)", metavar="CLASS")
    parser.add("--baselines", "neutral state of a unit", choices=BASELINES)
    parser.add("--split", "examples to score on (default: importance.split)", choices=SPLITS)
    parser.add_number("--max-examples", "score on at most N examples, drawn by the seed")
    parser.add(
        "--scoreboard",
        "compare methods (default: all) with exact ablation, also on random weights; without --layers on all "
        "linear and convolution layers",
        nargs="*",
        metavar="METHOD",
    )
    parser.add("--seeds", "the trainings with these seeds")
    parser.add_flag("--resume", "continue the interrupted scoring of this network")
    _own_network(parser)
    executor = "where networks are scored, or the units of one ablated and permuted; auto: the fastest"
    _execution(parser, executor)


def _prune(parser: Parser) -> None:
    from ndg.compression.schedule import SCHEDULES

    parser.choices = ("importance.methods",)
    parser.add("what", "configs (the best completed run of each), train runs, and overrides")
    method = "score of the units, with options as in fitness:measure=variance, or random (default: magnitude)"
    parser.add("--method", method, metavar="METHOD", default="magnitude", dest="by")
    share = "share of the units, or of the weights, that is gone in the end (default: 0.5)"
    parser.add_argument("--share", type=float, default=0.5, metavar="SHARE", help=share)
    parser.add_number("--steps", "steps in which it goes (default: 1, one-shot)", default=1)
    parser.add("--schedule", "how much goes at each step (default: cubic)", choices=SCHEDULES, default="cubic")
    parser.add_number("--epochs", "epochs of fine-tuning after each step (default: 1)", default=1)
    rate = "learning rate of fine-tuning (default: that of the training)"
    parser.add_argument("--learning-rate", type=float, metavar="RATE", help=rate)
    parser.add_flag("--unstructured", "remove single weights instead of units")
    scope = "each layer loses the share, or all are ranked together (default: each; of weights: all)"
    parser.add("--scope", scope, choices=("each", "all"))
    parser.add("--layers", "layers to prune, by module path (default: all that can be)")
    parser.add_number("--draws", "random removals with the same steps, the control (default: 1)", default=1)
    parser.add_flag("--resume", "continue the interrupted pruning of this network")
    parser.add("--seeds", "the trainings with these seeds")
    _plain(parser)


def _efficiency(parser: Parser) -> None:
    from ndg.efficiency.importance import KINDS as IMPORTANCES

    what = "configs (the best completed run of each), train or align runs, and overrides; two are compared"
    parser.add("what", what, metavar="CONFIG|RUN|KEY=VALUE")
    parser.add("--layers", "module paths or regular expressions (default: all layers with weights)")
    importance = f"importance of the weights: {', '.join(IMPORTANCES)} (default: activation)"
    parser.add("--importance", importance, nargs="+", metavar="NAME", default=["activation"])
    examples = "measure activations on at most N training examples (default: 1000)"
    parser.add_number("--max-examples", examples, default=1000)
    parser.add("--seeds", "the trainings with these seeds")
    _own_network(parser)
    parser.add_flag("--resume", "continue the interrupted measurement of this network")
    _plain(parser)
    parser.add_flag("--apply", "remove the recommended units, save the smaller network and measure it")
    parser.add_flag("--csv", "the table of layers as CSV")
    parser.add_flag("--raw-csv", "write CSV cells as they are, also those that spreadsheets run as formulas")


def _compress(parser: Parser) -> None:
    from ndg.compression.methods import METHODS, OPTIONAL

    what = "configs (the best completed run of each), train or align runs, and overrides"
    parser.add("what", what, metavar="CONFIG|RUN|KEY=VALUE")
    budget = parser.add_mutually_exclusive_group()
    units = "share of the units that goes (default: 0.5)"
    budget.add_argument("--units", type=float, metavar="SHARE", help=units)
    budget.add_argument("--flops", type=float, metavar="SHARE", help="share of the FLOPs that stays at most")
    agreement = "least share of equal predictions on validation examples of the training split"
    budget.add_argument("--agreement", type=float, metavar="SHARE", help=agreement)
    methods = [*METHODS, *OPTIONAL]
    parser.add("--method", "how units are chosen (default: obs)", choices=methods, default="obs", dest="by")
    rivals = "compare with these methods at the same size, with and without repair (default: magnitude and random)"
    parser.add("--rivals", f"{rivals}; without names: all", nargs="*", metavar="METHOD")
    parser.add("--layers", "layers whose units may go, by module path (default: all that can be)")
    parser.add_flag("--no-repair", "leave the other weights as they are")
    parser.add_number("--distill", "label-free distillation steps after the repair (default: 0)", default=0)
    parser.add_number("--calibration", "training examples for covariances and repair (default: 1000)", default=1000)
    parser.add_flag("--resume", "continue the same compression where it was interrupted")
    parser.add("--out", "folder for the smaller network (default: in the run)", metavar="FOLDER")
    parser.add("--seeds", "the trainings with these seeds")
    _own_network(parser)
    _plain(parser)


def _own_network(parser: Parser) -> None:
    model = "your own network: package.module:function or file.py:function, which returns (network, {'train': loader, "
    parser.add("--model", f"{model}'test': loader}})", metavar="MODULE:FUNCTION")
    parser.add("--hf", "a local Hugging Face folder, on the data of data.name=...", metavar="FOLDER")


def _execution(parser: Parser, executor: str) -> None:
    """Add what decides where a command runs, and what it prints."""
    from ndg.executors import AUTO, EXECUTORS

    parser.add("--executor", executor, choices=(AUTO, *EXECUTORS), default=AUTO)
    parser.add("--ray-address", "address of a running Ray cluster", metavar="ADDRESS")
    parser.add_flag("--dry-run", "show what would be done and its cost; write nothing")
    _plain(parser, "device of the network and of pair counting")


def _plain(parser: Parser, device: str = "device of the network") -> None:
    """Add the options of every command that computes."""
    parser.add("--device", device)
    parser.add_flag("--smoke", "quick run by the config's smoke section, on generated data if needed")
    parser.add_flag("--print-config", "print the resolved config and stop")
    parser.add_flag("--json", "results as JSON")


SLOW: tuple[tuple[str, str, str, Callable[[Parser], None]], ...] = (
    ("train", "train the networks of configs and log the runs", "digits_mlp train.epochs=5 --seed 1", _train),
    ("align", "mine, try, score, log and draw trained networks", "digits_mlp criterion.alpha=50", _align),
    ("score", "score the units of trained networks", "digits_cnn --method gndi ablation", _score),
    ("prune", "remove units or weights in steps and train on", "digits_mlp --share 0.5 --steps 3", _prune),
    ("efficiency", "measure how much of each layer is used", "digits_mlp --json", _efficiency),
    ("compress", "make a smaller network with the same predictions", "digits_mlp --units 0.5", _compress),
    ("render", "draw or export the graph of a run", "last --pdf ndg.pdf --target 3", _render),
)
"""Commands with options from registries: name, help, example, and the function that adds the options."""
