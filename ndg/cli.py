"""The command line. Results go to stdout, messages to stderr; nothing heavy is imported before it is needed.

Exit codes: 0 done, 1 a failure, 2 a mistake in what was asked, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ndg import __version__, commands
from ndg.allocation import keep_blocks
from ndg.errors import NDGError
from ndg.locations import Locations
from ndg.progress import log
from ndg.runs.provenance import mask

EXECUTORS = ("auto", "serial", "ray")
DEVICES = ("auto", "cpu", "cuda")
FORMATS = ("pdf", "svg", "png", "dot", "graphml", "gexf", "json", "csv", "parquet")


def main(
    arguments: Sequence[str] | None = None,
    *,
    program: str = "ndg",
    data: str | None = None,
    runs: str | None = None,
    store: str | None = None,
) -> int:
    """The exit code of a command. `data`, `runs` and `store` are where things lie unless options say otherwise.

    A `program` other than ndg is a script for the one command that `arguments` begin with.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show a sign gets a question mark, not an error
            stream.reconfigure(errors="replace")
    keep_blocks()
    asked = _parse(_parser(program), sys.argv[1:] if arguments is None else list(arguments))
    _speak(asked)
    where = Locations.choose(asked.data or data, asked.runs or runs, asked.store or store)
    try:
        with _ended_politely():
            return asked.act(asked, where)
    except NDGError as error:
        return _stop(program, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _stop(program, _interrupted(asked), 130)
    except SystemExit as error:
        return _stop(program, _interrupted(asked), int(error.code or 0))
    except BrokenPipeError:  # a pager was closed; Python would complain again when it flushes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(program: str) -> argparse.ArgumentParser:
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
        one = kinds.add_parser(
            name,
            prog=prog,
            parents=[common],
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=f"example: {prog} {example}".rstrip(),
        )
        one.set_defaults(act=getattr(commands, name))
        return one

    train = command("train", "train the networks of configs and log the runs", "digits_mlp train.epochs=5 --seed 1")
    train.add_argument(
        "what",
        nargs="*",
        metavar="CONFIG|KEY=VALUE",
        help="configs, by path or by name (none: every one whose data are at hand), and overrides",
    )
    train.add_argument("--seed", type=int, metavar="N", help="seed of initialisation, order and augmentation")
    train.add_argument("--seeds", nargs="+", metavar="N", help="several trainings, with these seeds")
    train.add_argument("--resume", action="store_true", help="go on with the unfinished run of this config and seed")
    train.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="auto",
        help="who trains with several seeds; auto: Ray where two fit on this machine, or where it has an address",
    )
    train.add_argument("--ray-address", metavar="ADDRESS", help="a Ray cluster that is running")
    _outputs(train)

    from ndg.workflows.studies import STUDIES

    studies = "; ".join(f"{name}: {what}" for name, what in STUDIES.items())
    align = command("align", "mine, try, score, log and draw trained networks", "digits_mlp criterion.alpha=50")
    align.add_argument(
        "what",
        nargs="*",
        metavar="[STUDY] CONFIG|RUN|KEY=VALUE",
        help="configs (the best completed run of each) and run ids (none: the best run of every config), and "
        f"overrides; before them a study: trial (if none is named), or {studies}",
    )
    align.add_argument("--seeds", nargs="+", metavar="N", help="the trainings with these seeds")
    align.add_argument("--resume", action="store_true", help="go on with the trial of this network that was cut short")
    align.add_argument(
        "--model",
        metavar="MODULE:FUNCTION",
        help="a network of your own: a function, package.module:function or file.py:function, that returns "
        "(network, {'train': loader, 'test': loader})",
    )
    align.add_argument("--hf", metavar="FOLDER", help="a local Hugging Face folder, on the data of data.name=...")
    align.add_argument(
        "--layers", nargs="+", metavar="PATH", help="layers of the graph: module paths or regular expressions"
    )
    align.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="auto",
        help="who runs the network, counts pairs and intervenes; auto: Ray where it ends sooner, or has an address",
    )
    align.add_argument("--ray-address", metavar="ADDRESS", help="a Ray cluster that is running")
    _outputs(align)

    score = command(
        "score", "score the units of trained networks and log the scores", "digits_cnn --method gndi ablation"
    )
    score.add_argument(
        "what",
        nargs="*",
        metavar="CONFIG|RUN|KEY=VALUE",
        help="configs (the best completed run of each), train or align runs, and overrides",
    )
    score.add_argument(
        "--method",
        nargs="+",
        metavar="METHOD",
        help="names, with options as in magnitude:side=outgoing, degree and ancestors of the graph, or all that look "
        "at the network (else importance.methods)",
    )
    score.add_argument(
        "--layers",
        nargs="+",
        metavar="PATH",
        help="module paths or regular expressions, attention heads as PATH.heads (else the layers of the graph)",
    )
    score.add_argument("--target", type=int, metavar="C", help="a class (else what a method takes by itself)")
    score.add_argument("--baselines", choices=("zero", "mean", "resample"), help="the neutral state of a unit")
    score.add_argument("--split", choices=("train", "validation", "test"), help="examples (else importance.split)")
    score.add_argument("--max-examples", type=int, metavar="N", help="at most so many, drawn by the seed")
    score.add_argument(
        "--scoreboard",
        nargs="*",
        metavar="METHOD",
        help="judge these methods (none: all) against exact ablation, and on random weights; without --layers on all "
        "linear and convolution layers",
    )
    score.add_argument("--seeds", nargs="+", metavar="N", help="the trainings with these seeds")
    score.add_argument(
        "--resume", action="store_true", help="go on with the scoring of this network that was cut short"
    )
    score.add_argument("--model", metavar="MODULE:FUNCTION", help="a network of your own, as for `ndg align`")
    score.add_argument("--hf", metavar="FOLDER", help="a local Hugging Face folder, on the data of data.name=...")
    score.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="auto",
        help="who scores several networks, or ablates and permutes the units of one; auto: here, or where Ray has an "
        "address",
    )
    score.add_argument("--ray-address", metavar="ADDRESS", help="a Ray cluster that is running")
    score.add_argument("--device", choices=DEVICES, default="auto", help="where the network runs")
    score.add_argument("--smoke", action="store_true", help="the network of the config's quick run")
    score.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    score.add_argument("--json", action="store_true", help="results as JSON")

    query = """'{"results.trial.q.test.aligned": {"$gt": 0.9}}'"""
    runs = command("runs", "list the runs in the log, newest first", f"--where {query}")
    runs.add_argument("--where", metavar="JSON", help="a MongoDB query")
    runs.add_argument("--limit", type=int, default=20, metavar="N", help="at most N runs (default 20)")
    runs.add_argument("--json", action="store_true", help="whole documents")

    show = command("show", "show one run", "last")
    show.add_argument("run", metavar="RUN", nargs="?", default="last", help="a run id, part of one, or last")
    show.add_argument("--json", action="store_true", help="the whole document")

    render = command("render", "draw or export the graph of a run", "last --pdf ndg.pdf --target 3")
    render.add_argument(
        "run", metavar="RUN", nargs="?", default="last", help="an align or score run: id, part of one, or last"
    )
    for kind in FORMATS:
        render.add_argument(
            f"--{kind}", nargs="?", const="", metavar="FILE", help=f"write {kind} (else to the run's folder)"
        )
    render.add_argument(
        "--target", metavar="CLASS", help="only what implies this class, or a literal, and what it implies"
    )
    render.add_argument("--score", metavar="METHOD", help="shade by the scores of this method (else the run's first)")
    render.add_argument("--top", type=int, metavar="K", help="only the K neurons of largest absolute score")
    render.add_argument("--max-nodes", type=int, metavar="N", help="draw at most N nodes (else report.max_nodes)")

    diff = command("diff", "compare the graphs of align runs edge by edge", "RUN RUN --bootstraps 100 --csv FOLDER")
    diff.add_argument("run", metavar="RUN", nargs="+", help="two align runs or more: ids, or parts of ids")
    diff.add_argument("--by-number", action="store_true", help="take unit i of one network for unit i of the other")
    diff.add_argument(
        "--bootstraps", type=int, default=0, metavar="N", help="mine the first again from N draws of its examples"
    )
    diff.add_argument("--csv", metavar="FOLDER", help="write every edge, matched unit and share there")
    diff.add_argument("--json", action="store_true", help="results as JSON")

    explain = command("explain", "say what a graph says of one example", "last --example 7 --target 3")
    explain.add_argument("run", metavar="RUN", nargs="?", default="last", help="an align run: id, part of one, or last")
    explain.add_argument("--example", type=int, required=True, metavar="I", help="number of the example in its split")
    explain.add_argument("--target", type=int, metavar="C", help="another class: what would make it that one")
    explain.add_argument("--split", metavar="SPLIT", help="the split of the example (else the held-out one)")
    explain.add_argument("--json", action="store_true", help="results as JSON")

    data = command("data", "list the data sets, or fetch some from their publishers", "get mnist --data data")
    data.add_argument("action", choices=("list", "get"), help="list what is known and at hand, or get data sets")
    data.add_argument("names", metavar="NAME", nargs="*", help="data sets (list without any: all)")
    data.add_argument("--json", action="store_true", help="results as JSON")

    command("configs", "list the configs that ship", "")
    command("doctor", "check versions, device, Ray, Graphviz, run log and data", "")
    return parser


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """The parsed options; configs and overrides may stand before, between and after them."""
    asked, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(asked, "what") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        asked.what += rest
    return asked


def _common() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("common")
    group.add_argument("--version", action="version", version=f"ndg {__version__}")
    group.add_argument("-q", "--quiet", action="store_true", help="results and errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="more messages")
    group.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    group.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    group.add_argument(
        "--store", metavar="URI", help="run log: mongodb://... or a file (else NDG_STORE, else RUNS/ndg.db)"
    )
    return parent


def _outputs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", choices=DEVICES, default="auto", help="where the network runs and pairs are counted"
    )
    command.add_argument(
        "--smoke", action="store_true", help="a quick run by the config's smoke section, on generated files if need be"
    )
    command.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    command.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    command.add_argument("--json", action="store_true", help="results as JSON")


def _speak(asked: argparse.Namespace) -> None:
    """Messages to stderr: warnings only, information, or everything."""
    level = logging.WARNING if asked.quiet else logging.DEBUG if asked.verbose else logging.INFO
    log.setLevel(level)
    log.propagate = False
    for old in list(log.handlers):
        log.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    log.addHandler(handler)


class _Plain(logging.Formatter):
    """The message alone, without passwords; what is more than information says so."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return prefix + mask(record.getMessage())


@contextmanager
def _ended_politely() -> Iterator[None]:
    """While it lasts, SIGTERM ends the program as an exit does, so that a run is marked INTERRUPTED."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(asked: argparse.Namespace) -> str:
    resumes = asked.act in (commands.train, commands.align, commands.score) and not getattr(asked, "dry_run", False)
    return "interrupted" + ("; the same command with --resume goes on where it stopped" if resumes else "")


def _stop(program: str, message: str, code: int) -> int:
    print(f"{program}: {mask(message)}", file=sys.stderr)
    return code
