"""Rules for the values of an experiment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ndg.config.limits import check_values
from ndg.config.networks import HEADS, POOLINGS
from ndg.errors import ConfigError, check_list, nearest

if TYPE_CHECKING:
    from ndg.config.schema import Experiment

Rule = tuple[str, Callable[[Any], bool]]
"""A rule in words, and the function that tests a value."""

SCHEDULES = ("cosine", "constant", "linear", "triangular")
BASELINES = ("zero", "mean", "resample")
SPLITS = ("train", "validation", "test")
GRAPHS = ("reinitialised", "random_inputs", "shuffled_labels")


def _at_least(least: int, what: str = "", null: bool = False) -> Rule:
    words = f"at least {least}{what}{', or null' if null else ''}"
    return words, lambda value: (null and value is None) or value >= least


def _above(low: float | int, what: str = "") -> Rule:
    return f"above {low:g}{what}", lambda value: value > low


def _at_most(most: int) -> Rule:
    return f"at most {most:,}", lambda value: value <= most


def _inside(interval: str, what: str = "", words: str = "inside ") -> Rule:
    """A number inside an interval such as (0, 1]."""
    low, high = map(float, interval[1:-1].split(","))

    def test(value: Any) -> bool:
        above = value >= low if interval[0] == "[" else value > low
        return bool(above and (value <= high if interval[-1] == "]" else value < high))

    return f"{words}{interval}{what}", test


def _one_of(*words: str) -> Rule:
    return f"{', '.join(words[:-1])} or {words[-1]}", lambda value: value in words


def _each(rule: Rule, words: str) -> Rule:
    """One or more values that keep a rule, each once."""
    return f"{words}; each value once", lambda values: len(set(values)) == len(values) > 0 and all(map(rule[1], values))


def _is_fitness(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    weights = list(value.values()) if isinstance(value, dict) else []
    numbers = all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and weight >= 0 for weight in weights
    )
    return numbers and any(weights) and all(isinstance(name, str) for name in value)


def _is_pairs(value: Any) -> bool:
    if isinstance(value, str):
        return True
    pairs = value if isinstance(value, list | tuple) else []
    names = [name for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2 for name in pair]
    return len(names) == 2 * len(pairs) > 0 and all(isinstance(name, str) for name in names)


def _is_scoreboard(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list) and all(isinstance(name, str) for name in value))


SHARED: list[tuple[Rule, str]] = [
    (_at_least(1), "train.epochs train.batch_size train.threads extract.compute_batch extract.threads"),
    (_at_least(1), "trial.draws counterfactual.epochs report.max_nodes"),
    (_at_least(0), "train.weight_decay train.noise mining.max_edges"),
    (_above(0), "train.learning_rate train.clip counterfactual.learning_rate"),
    (_inside("[0, 1)"), "train.momentum train.label_smoothing"),
    (_at_least(0, " pixels"), "train.pad train.erase train.shift"),
    (_at_least(1, " epoch"), "train.patience train.apoptosis.every train.apoptosis.start"),
    (_at_least(1, null=True), "mining.max_examples importance.n_steps importance.max_examples"),
]
"""Rules of several keys."""

RULES: dict[str, Rule] = {
    **{key: rule for rule, keys in SHARED for key in keys.split()},
    "seed": ("at least 0 and below 2**63", lambda seed: 0 <= seed < 2**63),
    "train.optimizer": _one_of("adamw", "sgd"),
    "train.schedule": _one_of(*SCHEDULES),
    "train.precision": _one_of("float32", "bfloat16", "float16"),
    "train.pretrained_rate": _at_least(0, ", a factor of the rate"),
    "train.new_rate": _above(0, ", a factor of the rate"),
    "train.keep_checkpoints": (
        "best, last, or every:K with K at least 1",
        lambda rule: bool(re.fullmatch(r"best|last|every:0*[1-9]\d*", rule)),
    ),
    "data.limit": _at_least(1, " example", null=True),
    "data.size": _at_least(1, " pixel", null=True),
    "data.length": _at_least(4, " tokens"),
    "data.vocabulary": _at_least(259, " tokens: all bytes and three signs"),
    "data.columns": ("the names of one or two columns of text and of the label", lambda names: len(names) in (2, 3)),
    "train.warmup": _inside("[0, 1)", words="a fraction of the steps, in "),
    "train.fitness": ("true, false, or weights of the composite by measure, 0 or more and not all 0", _is_fitness),
    "train.apoptosis.share": _inside("(0, 1)", ", a share of the units"),
    "train.apoptosis.floor": _inside("[0, 1)", ", a share of the units"),
    "train.apoptosis.remove": _one_of("unit", "block"),
    "train.apoptosis.scope": _one_of("each", "all"),
    "extract.quantile": _inside("(0, 1)"),
    "mining.pairs": ("all, between, within, or a list of pairs of layer names", _is_pairs),
    "trial.splits": ("at least one split, each once", lambda names: 0 < len(names) == len(set(names))),
    "trial.interventions": ("names, each once", lambda names: len(names) == len(set(names))),
    "trial.beta": _inside("(0, 1]", ", a recall"),
    "trial.pool": _at_least(2, " examples"),
    "trial.at_least": _inside("(0, 1)", ", a precision"),
    "trial.kept_at_least": _inside("[0, 1]", ", a share"),
    "trial.minimal": _at_least(0, " examples"),
    "trial.budget": _at_least(1, " set of neurons"),
    "trial.graphs": (f"some of {', '.join(GRAPHS)}", lambda names: set(names) <= set(GRAPHS)),
    "sweep.alphas": _each(_above(1), "above 1"),
    "sweep.betas": _each(_inside("(0, 1]"), "inside (0, 1], recalls"),
    "sweep.goal": _inside("(0, 1]", ", a rate"),
    "counterfactual.mix": _inside("(0, 1)", ", a share"),
    "criterion.alpha": _each(_above(1), "above 1, or independent nodes would imply each other"),
    "criterion.confidence": _inside("(0.5, 1]"),
    "criterion.support": _at_least(1, " example"),
    "criterion.bound": _inside("(0.5, 1)"),
    "criterion.q": _inside("(0, 0.5)"),
    "importance.target": ("a class, 0 or more, or null", lambda target: isinstance(target, str) or (target or 0) >= 0),
    "importance.baselines": _one_of(*BASELINES),
    "importance.scoreboard": ("true, false, or a list of methods", _is_scoreboard),
    "report.timeout": _above(0, " seconds"),
}
MOST: dict[int, str] = {
    1024: "train.threads extract.threads train.pad train.erase train.shift",
    10_000: "trial.draws counterfactual.epochs",
    16_384: "data.size data.crop",
    100_000: "importance.n_steps report.timeout",
    1_000_000: "train.epochs train.batch_size extract.compute_batch data.length data.vocabulary trial.budget",
}
"""Largest values of keys whose cost in time or memory grows with them."""

WIDEST, DEEPEST = 1_000_000, 1000
"""Largest size of a layer, and most layers."""

MODEL_RULES: dict[str, Rule] = {
    "head": _one_of(*HEADS),
    "pooling": _one_of(*POOLINGS),
    "dropout": _inside("[0, 1)"),
    **dict.fromkeys(("latent_noise", "contrast", "margin"), _at_least(0)),
}


def check(experiment: Experiment) -> None:
    """Raise ConfigError naming the first key whose value breaks its rule."""
    data, paper = experiment.data, experiment.paper.accuracy
    for name, section in vars(experiment).items():
        for each in fields(section) if is_dataclass(section) else ():
            if str(each.type).startswith("list["):
                check_list(getattr(section, each.name), f"{name}.{each.name}")
    fractions = (data.validation, data.test)
    rule = "fractions above 0 that leave examples to train on"
    _keep("data.validation, data.test", fractions, (rule, lambda parts: min(parts) > 0 and sum(parts) < 1))
    for key, known in RULES.items():
        _keep(key, attrgetter(key)(experiment), known)
    for most, keys in MOST.items():
        for key in keys.split():
            _keep(key, attrgetter(key)(experiment) or 0, _at_most(most))
    if data.crop is not None:
        rule = "at least 1 pixel and at most data.size, or null"
        _keep("data.crop", data.crop, (rule, lambda crop: 1 <= crop <= (data.size or crop)))
    for alpha in experiment.criterion.alphas:
        experiment.criterion.rule(alpha)  # checks the parameters that a criterion has of its own
    for name, value in vars(experiment.model).items():
        _keep(f"model.{name}", value, MODEL_RULES.get(name, ("at least 1", _are_sizes)))
        sizes = value if isinstance(value, list) else [value]
        _keep(f"the layers of model.{name}", len(sizes), _at_most(DEEPEST))
        for size in sizes:
            if isinstance(size, int):
                _keep(f"model.{name}", size, _at_most(DEEPEST if name == "depth" else WIDEST))
    if paper is not None and not 0 < paper <= 1:
        raise ConfigError(f"paper.accuracy must be inside (0, 1], or null; got {paper}")
    named = [("trial.splits", split) for split in experiment.trial.splits]
    for key, split in [*named, ("importance.split", experiment.importance.split)]:
        if split not in SPLITS:
            raise ConfigError(f"{key} must name splits; got {split!r}; {nearest(split, SPLITS)}")
    check_values(experiment.to_dict())


def _keep(key: str, value: Any, rule: Rule) -> None:
    words, test = rule
    try:
        good = test(value)
    except TypeError:  # a value of another type
        good = False
    if not good:
        raise ConfigError(f"{key} must be {words}; got {value}")


def _are_sizes(value: Any) -> bool:
    sizes = value if isinstance(value, list) else [value]
    return all(isinstance(size, str) or size is None or size >= 1 for size in sizes)
