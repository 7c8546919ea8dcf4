"""Rules for the values of an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndg.config.networks import HEADS, POOLINGS
from ndg.errors import ConfigError, nearest

if TYPE_CHECKING:
    from ndg.config.schema import Experiment

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant", "linear", "triangular")
PRECISIONS = ("float32", "bfloat16", "float16")
BASELINES = ("zero", "mean", "resample")
GRAPHS = ("reinitialised", "random_inputs", "shuffled_labels")


def check(experiment: Experiment) -> None:
    """Raise ConfigError naming the first key whose value breaks its rule."""
    data, train, extract, trial = experiment.data, experiment.train, experiment.extract, experiment.trial
    sweep, importance = experiment.sweep, experiment.importance
    rules = [
        (min(data.validation, data.test) > 0 and data.validation + data.test < 1, "data.validation, data.test",
         "fractions above 0 that leave examples to train on", (data.validation, data.test)),
        (0 <= experiment.seed < 2**63, "seed", "at least 0 and below 2**63", experiment.seed),
        (train.epochs >= 1, "train.epochs", "at least 1", train.epochs),
        (train.batch_size >= 1, "train.batch_size", "at least 1", train.batch_size),
        (train.learning_rate > 0, "train.learning_rate", "above 0", train.learning_rate),
        (train.optimizer in OPTIMIZERS, "train.optimizer", _either(OPTIMIZERS), train.optimizer),
        (train.schedule in SCHEDULES, "train.schedule", _either(SCHEDULES), train.schedule),
        (train.precision in PRECISIONS, "train.precision", _either(PRECISIONS), train.precision),
        (0 <= train.momentum < 1, "train.momentum", "inside [0, 1)", train.momentum),
        (train.pretrained_rate >= 0, "train.pretrained_rate", "at least 0, a factor of the rate",
         train.pretrained_rate),
        (train.new_rate > 0, "train.new_rate", "above 0, a factor of the rate", train.new_rate),
        (_is_keeping_rule(train.keep_checkpoints), "train.keep_checkpoints", "best, last, or every:K with K at least 1",
         train.keep_checkpoints),
        (train.pad >= 0, "train.pad", "at least 0 pixels", train.pad),
        (train.erase >= 0, "train.erase", "at least 0 pixels", train.erase),
        (data.limit is None or data.limit >= 1, "data.limit", "at least 1 example, or null", data.limit),
        (data.size is None or data.size >= 1, "data.size", "at least 1 pixel, or null", data.size),
        (data.crop is None or 1 <= data.crop <= (data.size or data.crop), "data.crop",
         "at least 1 pixel and at most data.size, or null", data.crop),
        (data.length >= 4, "data.length", "at least 4 tokens", data.length),
        (data.vocabulary >= 259, "data.vocabulary", "at least 259 tokens: all bytes and three signs", data.vocabulary),
        (len(data.columns) in (2, 3), "data.columns", "the names of one or two columns of text and of the label",
         data.columns),
        (0 <= train.warmup < 1, "train.warmup", "a fraction of the steps, in [0, 1)", train.warmup),
        (_is_fitness(train.fitness), "train.fitness",
         "true, false, or weights of the composite by measure, 0 or more and not all 0", train.fitness),
        (train.patience >= 1, "train.patience", "at least 1 epoch", train.patience),
        (train.threads >= 1, "train.threads", "at least 1", train.threads),
        (extract.compute_batch >= 1, "extract.compute_batch", "at least 1", extract.compute_batch),
        (extract.threads >= 1, "extract.threads", "at least 1", extract.threads),
        (0 < extract.quantile < 1, "extract.quantile", "inside (0, 1)", extract.quantile),
        (train.weight_decay >= 0, "train.weight_decay", "at least 0", train.weight_decay),
        (train.clip > 0, "train.clip", "above 0", train.clip),
        (0 <= train.label_smoothing < 1, "train.label_smoothing", "inside [0, 1)", train.label_smoothing),
        (train.shift >= 0, "train.shift", "at least 0 pixels", train.shift),
        (train.noise >= 0, "train.noise", "at least 0", train.noise),
        (len(trial.splits) > 0, "trial.splits", "at least one split", trial.splits),
        (0 < trial.beta <= 1, "trial.beta", "inside (0, 1], a recall", trial.beta),
        (trial.draws >= 1, "trial.draws", "at least 1", trial.draws),
        (trial.pool >= 2, "trial.pool", "at least 2 examples", trial.pool),
        (0 < trial.at_least < 1, "trial.at_least", "inside (0, 1), a precision", trial.at_least),
        (trial.minimal >= 0, "trial.minimal", "at least 0 examples", trial.minimal),
        (trial.budget >= 1, "trial.budget", "at least 1 set of neurons", trial.budget),
        (set(trial.graphs) <= set(GRAPHS), "trial.graphs", f"some of {', '.join(GRAPHS)}", trial.graphs),
        (len(sweep.alphas) > 0 and all(a > 1 for a in sweep.alphas), "sweep.alphas", "above 1", sweep.alphas),
        (len(sweep.betas) > 0 and all(0 < b <= 1 for b in sweep.betas), "sweep.betas", "inside (0, 1], recalls",
         sweep.betas),
        (0 < sweep.goal <= 1, "sweep.goal", "inside (0, 1], a rate", sweep.goal),
        (experiment.counterfactual.epochs >= 1, "counterfactual.epochs", "at least 1",
         experiment.counterfactual.epochs),
        (experiment.counterfactual.learning_rate > 0, "counterfactual.learning_rate", "above 0",
         experiment.counterfactual.learning_rate),
        (0 < experiment.counterfactual.mix < 1, "counterfactual.mix", "inside (0, 1), a share",
         experiment.counterfactual.mix),
        (len(experiment.criterion.alpha) > 0 and all(a > 1 for a in experiment.criterion.alpha), "criterion.alpha",
         "above 1, or independent nodes would imply each other", experiment.criterion.alpha),
        (0.5 < experiment.criterion.confidence <= 1, "criterion.confidence", "inside (0.5, 1]",
         experiment.criterion.confidence),
        (experiment.criterion.support >= 1, "criterion.support", "at least 1 example", experiment.criterion.support),
        (0.5 < experiment.criterion.bound < 1, "criterion.bound", "inside (0.5, 1)", experiment.criterion.bound),
        (0 < experiment.criterion.q < 0.5, "criterion.q", "inside (0, 0.5)", experiment.criterion.q),
        (experiment.mining.max_edges >= 0, "mining.max_edges", "at least 0", experiment.mining.max_edges),
        (experiment.mining.max_examples is None or experiment.mining.max_examples >= 1, "mining.max_examples",
         "at least 1, or null", experiment.mining.max_examples),
        (importance.n_steps is None or importance.n_steps >= 1, "importance.n_steps", "at least 1, or null",
         importance.n_steps),
        (importance.max_examples is None or importance.max_examples >= 1, "importance.max_examples",
         "at least 1, or null", importance.max_examples),
        ((importance.target or 0) >= 0, "importance.target", "a class, 0 or more, or null", importance.target),
        (importance.baselines in BASELINES, "importance.baselines", _either(BASELINES), importance.baselines),
        (_is_scoreboard(importance.scoreboard), "importance.scoreboard", "true, false, or a list of methods",
         importance.scoreboard),
        (experiment.report.max_nodes >= 1, "report.max_nodes", "at least 1", experiment.report.max_nodes),
        (experiment.report.timeout > 0, "report.timeout", "above 0 seconds", experiment.report.timeout),
    ]  # fmt: skip
    for holds, key, rule, got in rules:
        if not holds:
            raise ConfigError(f"{key} must be {rule}; got {got}")
    for alpha in experiment.criterion.alphas:
        experiment.criterion.rule(alpha)  # checks the parameters that a criterion has of its own
    for name, value in vars(experiment.model).items():
        holds, rule = _model_rule(name, value)
        if not holds:
            raise ConfigError(f"model.{name} must be {rule}; got {value}")
    paper = experiment.paper.accuracy
    if paper is not None and not 0 < paper <= 1:
        raise ConfigError(f"paper.accuracy must be inside (0, 1], or null; got {paper}")
    splits = ("train", "validation", "test")
    named = {"trial.splits": experiment.trial.splits, "importance.split": [experiment.importance.split]}
    for key, names in named.items():
        for split in names:
            if split not in splits:
                raise ConfigError(f"{key} must name splits; got {split!r}; {nearest(split, splits)}")


def _model_rule(name: str, value: Any) -> tuple[bool, str]:
    """Whether a setting of a network is valid, and its rule in words."""
    if name == "head":
        return value in HEADS, _either(HEADS)
    if name == "pooling":
        return value in POOLINGS, _either(POOLINGS)
    if name == "dropout":
        return 0 <= value < 1, "inside [0, 1)"
    if name in ("latent_noise", "contrast", "margin"):
        return value >= 0, "at least 0"
    sizes = value if isinstance(value, list) else [value]
    return all(isinstance(size, str) or size is None or size >= 1 for size in sizes), "at least 1"


def _is_keeping_rule(rule: str) -> bool:
    word, colon, epochs = rule.partition(":")
    return (word == "every" and epochs.isdecimal() and int(epochs) > 0) if colon else word in ("best", "last")


def _is_fitness(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    weights = list(value.values()) if isinstance(value, dict) else []
    numbers = all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and weight >= 0 for weight in weights
    )
    return numbers and any(weights) and all(isinstance(name, str) for name in value)


def _is_scoreboard(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
