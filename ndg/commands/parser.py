"""The options of every command."""

from __future__ import annotations

import argparse

from ndg import __version__, commands

EXECUTORS = ("auto", "serial", "threads", "ray")
DEVICES = ("auto", "cpu", "cuda")
FORMATS = ("pdf", "svg", "png", "dot", "graphml", "gexf", "json", "csv", "parquet")


def parse(program: str, arguments: list[str]) -> argparse.Namespace:
    """The parsed options. Configs, runs and overrides may stand before, between and after options."""
    parser = make_parser(program)
    options, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(options, "what") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.what += rest
    return options


def make_parser(program: str) -> argparse.ArgumentParser:
    """The parser of `ndg`, or of a script for one of its commands."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Neuron dependency graphs: mine them, put them on trial, score, log and draw.",
        epilog="example: ndg train digits_mlp && ndg align digits_mlp && ndg runs",
    )
    parser.add_argument("--version", action="version", version=f"ndg {__version__}")
    kinds = parser.add_subparsers(metavar="COMMAND", required=True)
    common = _common()

    def command(name: str, help: str, example: str) -> argparse.ArgumentParser:
        prog = program if program != "ndg" else f"ndg {name}"
        subparser = kinds.add_parser(
            name,
            prog=prog,
            parents=[common],
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=f"example: {prog} {example}".rstrip(),
        )
        subparser.set_defaults(act=getattr(commands, name))
        return subparser

    _train(command("train", "train the networks of configs and log the runs", "digits_mlp train.epochs=5 --seed 1"))
    _align(command("align", "mine, try, score, log and draw trained networks", "digits_mlp criterion.alpha=50"))
    _score(command("score", "score the units of trained networks", "digits_cnn --method gndi ablation"))

    query = """'{"results.trial.q.test.aligned": {"$gt": 0.9}}'"""
    runs = command("runs", "list logged runs, newest first", f"--where {query}")
    runs.add_argument("--where", metavar="JSON", help="a MongoDB query")
    runs.add_argument("--limit", type=int, default=20, metavar="N", help="at most N runs (default: 20)")
    _json(runs, "whole run documents as JSON")

    show = command("show", "show one run", "last")
    _run(show, "run id, a unique part of one, or last (default)")
    _json(show, "the whole run document as JSON")

    _render(command("render", "draw or export the graph of a run", "last --pdf ndg.pdf --target 3"))

    diff = command("diff", "compare the graphs of align runs edge by edge", "RUN RUN --bootstraps 100 --csv FOLDER")
    diff.add_argument("run", metavar="RUN", nargs="+", help="two or more align runs: ids, or unique parts of ids")
    diff.add_argument("--by-number", action="store_true", help="match units by number instead of by their booleans")
    diff.add_argument(
        "--bootstraps",
        type=int,
        default=0,
        metavar="N",
        help="mine the first graph again from N resamples of its examples",
    )
    diff.add_argument("--csv", metavar="FOLDER", help="write edges, matched units and shares as CSV files")
    _json(diff)

    explain = command("explain", "explain the prediction for one example", "last --example 7 --target 3")
    _run(explain, "align run: id, a unique part of one, or last (default)")
    explain.add_argument("--example", type=int, required=True, metavar="I", help="number of the example in its split")
    explain.add_argument(
        "--target", type=int, metavar="C", help="another class: what would change the prediction to it"
    )
    explain.add_argument("--split", metavar="SPLIT", help="split of the example (default: the held-out one)")
    _json(explain)

    data = command("data", "list data sets, or download them from their publishers", "get mnist --data data")
    data.add_argument("action", choices=("list", "get"), help="list known data sets, or download some")
    data.add_argument("names", metavar="NAME", nargs="*", help="data sets (list: all by default)")
    _json(data)

    command("configs", "list the configs of this installation", "")
    command("doctor", "check versions, device, Ray, Graphviz, run log and data", "")
    return parser


def _common() -> argparse.ArgumentParser:
    """Options of every command."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("common")
    group.add_argument("--version", action="version", version=f"ndg {__version__}")
    group.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="print more messages")
    group.add_argument("--data", metavar="DIR", help="folder of data sets (default: NDG_DATA)")
    group.add_argument("--runs", metavar="DIR", help="folder of runs (default: NDG_RUNS, else runs)")
    group.add_argument(
        "--store", metavar="URI", help="run log: mongodb://... or a file (default: NDG_STORE, else RUNS/ndg.db)"
    )
    return parent


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="CONFIG|KEY=VALUE",
        help="configs by path or name (default: all whose data are present), and overrides",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of initialisation, order and augmentation")
    _seeds(parser, "train once with each of these seeds")
    _resume(parser, "continue the unfinished run of this config and seed")
    _executor(parser, "where several seeds are trained; auto: Ray where two fit at once or it has an address")
    _device(parser)
    _outputs(parser, dry_run=True)


def _align(parser: argparse.ArgumentParser) -> None:
    from ndg.workflows.studies import STUDIES

    lines = [f"  {name:16}{help}" for name, help in {"trial": "interventions (default)", **STUDIES}.items()]
    parser.description = "\n".join([f"{parser.description}", "", "studies, as the first word:", *lines])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "what",
        nargs="*",
        metavar="[STUDY] CONFIG|RUN|KEY=VALUE",
        help="configs (the best completed run of each), run ids, and overrides (default: every config's best run)",
    )
    _seeds(parser, "the trainings with these seeds")
    _resume(parser, "continue the interrupted trial of this network")
    _own_network(parser)
    parser.add_argument(
        "--layers", nargs="+", metavar="PATH", help="layers of the graph: module paths or regular expressions"
    )
    _executor(parser, "where the network runs, pairs are counted and units are changed; auto: the fastest")
    _device(parser)
    _outputs(parser, dry_run=True)


def _score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="CONFIG|RUN|KEY=VALUE",
        help="configs (the best completed run of each), train or align runs, and overrides",
    )
    parser.add_argument(
        "--method",
        nargs="+",
        metavar="METHOD",
        help="methods, with options as in magnitude:side=outgoing; degree and ancestors score nodes of the graph; all: "
        "every method that reads the network (default: importance.methods)",
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="PATH",
        help="module paths or regular expressions; PATH.heads for attention heads (default: layers of the graph)",
    )
    parser.add_argument("--target", type=int, metavar="C", help="class to explain (default: chosen by each method)")
    parser.add_argument("--baselines", choices=("zero", "mean", "resample"), help="neutral state of a unit")
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), help="examples to score on (default: importance.split)"
    )
    parser.add_argument("--max-examples", type=int, metavar="N", help="score on at most N examples, drawn by the seed")
    parser.add_argument(
        "--scoreboard",
        nargs="*",
        metavar="METHOD",
        help="compare methods (default: all) with exact ablation, also on random weights; without --layers on all "
        "linear and convolution layers",
    )
    _seeds(parser, "the trainings with these seeds")
    _resume(parser, "continue the interrupted scoring of this network")
    _own_network(parser)
    _executor(parser, "where networks are scored, or the units of one ablated and permuted; auto: the fastest")
    _device(parser)
    _outputs(parser, dry_run=False)


def _render(parser: argparse.ArgumentParser) -> None:
    _run(parser, "align or score run: id, a unique part of one, or last (default)")
    for kind in FORMATS:
        parser.add_argument(
            f"--{kind}", nargs="?", const="", metavar="FILE", help=f"write {kind} (default: into the run's folder)"
        )
    parser.add_argument(
        "--target", metavar="CLASS", help="draw only what implies this class or literal, and what it implies"
    )
    parser.add_argument("--score", metavar="METHOD", help="shade neurons by this method (default: the run's first)")
    parser.add_argument("--top", type=int, metavar="K", help="draw only the K neurons of largest absolute score")
    parser.add_argument("--max-nodes", type=int, metavar="N", help="draw at most N nodes (default: report.max_nodes)")


def _own_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="MODULE:FUNCTION",
        help="your own network: package.module:function or file.py:function, which returns (network, {'train': loader, "
        "'test': loader})",
    )
    parser.add_argument("--hf", metavar="FOLDER", help="a local Hugging Face folder, on the data of data.name=...")


def _executor(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--executor", choices=EXECUTORS, default="auto", help=help)
    parser.add_argument("--ray-address", metavar="ADDRESS", help="address of a running Ray cluster")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, default="auto", help="device of the network and of pair counting")


def _outputs(parser: argparse.ArgumentParser, dry_run: bool) -> None:
    parser.add_argument(
        "--smoke", action="store_true", help="quick run by the config's smoke section, on generated data if needed"
    )
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    if dry_run:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be done and its cost; write nothing"
        )
    _json(parser)


def _run(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help=help)


def _seeds(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--seeds", nargs="+", metavar="N", help=help)


def _resume(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--resume", action="store_true", help=help)


def _json(parser: argparse.ArgumentParser, help: str = "results as JSON") -> None:
    parser.add_argument("--json", action="store_true", help=help)
