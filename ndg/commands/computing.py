"""Options of the commands that compute, with choices from registries."""

from __future__ import annotations

from collections.abc import Callable

from ndg.commands.arguments import Parser
from ndg.config.validation import BASELINES, SPLITS


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
    parser.add_flag("--train", "first train each config that has no completed run")
    parser.add_flag("--resume", "continue the interrupted trial of this network; of several, complete ones stay")
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
