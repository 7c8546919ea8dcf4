"""Experiments as frozen dataclasses: the schema of `configs/*.yaml`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ndg.config.criterion import Criterion
from ndg.config.networks import MLP
from ndg.config.validation import check


@dataclass(frozen=True)
class Data:
    """Which examples. `seed` draws the splits, stratified by class; it is apart from the seed of a training.

    The fractions `validation` and `test` are not used where the publisher of a data set has set such a set apart, nor
    `test` where there is a validation set of which half is the test set. With a `limit` no split has more examples than
    that, but at least one of each class. Images are scaled to `size` (null: as they are, all alike) and cut to `crop`.
    Texts are cut at `length` tokens of the `tokenizer` in a folder, or of one with at most `vocabulary` tokens that is
    trained on the training texts. A csv has its text, or pair of texts, and label in `columns`.
    """

    name: str = "digits"
    dir: str | None = None
    seed: int = 0
    validation: float = 0.1
    test: float = 0.2
    limit: int | None = None
    size: int | None = None
    crop: int | None = None
    length: int = 128
    vocabulary: int = 8192
    tokenizer: str | None = None
    columns: list[str] = field(default_factory=lambda: ["text", "label"])


@dataclass(frozen=True)
class Train:
    """How a network is trained; rates are set per step.

    `optimizer` is `adamw`, or `sgd` with `momentum`. `schedule` is `constant`, `linear` (to zero) or
    `cosine`, after a linear `warmup` over a fraction of all steps, or `triangular`: up over the first half of the
    training and down over the second, whatever the warm-up.
    Parts that come from a pretrained network learn at `pretrained_rate` times the rate, all others at `new_rate` times.
    `precision` is `float32`, or `bfloat16` or `float16` for the forward passes of steps in mixed precision (weights and
    evaluation stay float32); `compile` is `torch.compile`. `keep_checkpoints` is `best`, `last`, or `every:K` epochs,
    which keeps the best as well. `tensorboard` writes events. `fitness` measures neurons after every epoch, which
    changes nothing: true, or the weights of its composite, as in {weights: 0.4, gradient: 0.4, activation: 0.2}.

    Training images are varied: `flip`, `pad` and cut, `shift`, `erase` a square, `noise`.

    `threads` is part of the config because float results depend on it; small networks train fastest on one.
    """

    epochs: int = 40
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.1
    clip: float = 1.0
    pretrained_rate: float = 1.0
    new_rate: float = 1.0
    label_smoothing: float = 0.0
    flip: bool = False
    pad: int = 0
    shift: float = 0.0
    erase: int = 0
    noise: float = 0.0
    patience: int = 20
    keep_checkpoints: str = "best"
    precision: str = "float32"
    compile: bool = False
    tensorboard: bool = False
    fitness: Any = False
    threads: int = 1


@dataclass(frozen=True)
class Extract:
    """Which neurons become booleans and how. `layers` are paths or regular expressions; none means the latent layer.

    `channels` of a convolution are read by `max`, `mean` or `any` over positions; `tokens` are `first`, `mean` or
    `every`, where each token is an example. Forward passes run in batches of exactly `compute_batch` examples on
    `threads` threads, so that float results do not depend on anything else.
    """

    layers: list[str] = field(default_factory=list)
    channels: str = "max"
    tokens: str = "first"
    binarizer: str = "auto"
    quantile: float = 0.5
    compute_batch: int = 256
    threads: int = 1


@dataclass(frozen=True)
class Mining:
    """Which pairs are judged and how many: `pairs` is `all`, `between` (layers), `within`, or pairs of layer names.

    More implications than `max_edges` are an error that proposes a stricter criterion. Of the training examples
    `max_examples` are drawn, by the seed of the training; null takes all.
    """

    pairs: Any = "all"
    max_edges: int = 50_000_000
    max_examples: int | None = None


@dataclass(frozen=True)
class Trial:
    """Interventions on trial, on which splits, with which seed for alternatives and controls.

    `layer` is the one that is intervened on; null where only one is extracted. `values` are written for booleans:
    `boolean` (0 and 1), `mean` (of the fitting examples with that boolean), `resample` (from one of them), or `auto`,
    which is `boolean` after a sigmoid and else `mean`. An edge of recall above `beta` is walked backwards as well; 1 is
    never. Alternatives and controls are drawn `draws` times. `graphs` are the control graphs: `reinitialised`,
    `random_inputs`, `shuffled_labels`.

    On the held-out split there are also the `curve` of aligned rates against neurons changed; `interchange`
    interventions, whose sources are among `pool` examples; every edge on trial (`edges`), which survives where its
    interventional precision is certainly at least `at_least`; and `minimal` interventions for so many examples, on each
    of which `budget` sets are tried.
    """

    interventions: list[str] = field(default_factory=lambda: ["Q", "G.1", "G.2"])
    splits: list[str] = field(default_factory=lambda: ["train", "validation", "test"])
    layer: str | None = None
    seed: int = 0
    values: str = "auto"
    beta: float = 1.0
    draws: int = 5
    graphs: list[str] = field(default_factory=lambda: ["reinitialised", "random_inputs", "shuffled_labels"])
    curve: bool = True
    interchange: bool = True
    pool: int = 1024
    edges: bool = True
    at_least: float = 0.9
    minimal: int = 500
    budget: int = 1024


@dataclass(frozen=True)
class Sweep:
    """What `align.py sweep` tries: every alpha with every recall threshold beta. Of the alphas the largest is taken at
    which Q aligns at least `goal` of the validation examples."""

    alphas: list[float] = field(
        default_factory=lambda: [
            1.01,
            *map(float, (2, 3, 4, 5, 10, 20, 30, 50, 80, 100, 200, 500, 1000, 5000, 100_000)),
        ]
    )
    betas: list[float] = field(default_factory=lambda: [1.0])
    goal: float = 0.95


@dataclass(frozen=True)
class Counterfactual:
    """How the part after the layer is trained on counterfactual latents, with which intervention's alternatives; `mix`
    is the share of counterfactual examples in a batch."""

    intervention: str = "Q"
    epochs: int = 5
    learning_rate: float = 1e-3
    mix: float = 0.5


@dataclass(frozen=True)
class Importance:
    """Scores written on the nodes: of `layers` (none: those of the graph), by `methods`, which are names, or names with
    options as in `magnitude:side=outgoing`.

    `split` is read, or of it `max_examples` that the seed draws (null: all). `target` is a class, null what a method
    takes by itself. `baselines` is the neutral state: `zero`, `mean` or `resample`. `n_steps` is the number of
    gradients along a path, where a method follows one; null takes as many as completeness needs. `scoreboard` judges
    methods against exact ablation: some of them, or true for all that there are; without `layers` on all linear and
    convolution layers but the last.
    """

    methods: list[str] = field(default_factory=lambda: ["gndi", "conductance"])
    layers: list[str] = field(default_factory=list)
    split: str = "validation"
    max_examples: int | None = None
    target: int | None = None
    baselines: str = "zero"
    n_steps: int | None = 50
    scoreboard: Any = False


@dataclass(frozen=True)
class Report:
    """Bounds of the picture: the largest number of drawn nodes, and seconds that layout may take."""

    max_nodes: int = 300
    timeout: float = 60.0


@dataclass(frozen=True)
class Paper:
    """What the publication of an experiment reports: test accuracy in [0, 1], or null, and where it says so."""

    accuracy: float | None = None
    source: str | None = None


@dataclass(frozen=True)
class Experiment:
    """One experiment, from data to report. `seed` is the seed of initialisation, order and augmentation.

    `smoke` holds what to change, as in the config itself, for a quick run that shows that everything works.
    """

    name: str = "experiment"
    seed: int = 0
    data: Data = field(default_factory=Data)
    model: Any = field(default_factory=MLP)
    train: Train = field(default_factory=Train)
    extract: Extract = field(default_factory=Extract)
    criterion: Criterion = field(default_factory=Criterion)
    mining: Mining = field(default_factory=Mining)
    trial: Trial = field(default_factory=Trial)
    sweep: Sweep = field(default_factory=Sweep)
    counterfactual: Counterfactual = field(default_factory=Counterfactual)
    importance: Importance = field(default_factory=Importance)
    report: Report = field(default_factory=Report)
    paper: Paper = field(default_factory=Paper)
    smoke: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything that can change a result (not where things lie)."""
        return _digest(self._portable())

    @property
    def training_digest(self) -> str:
        """The same of data, model and training alone, whatever the seed: runs of one config share it."""
        whole = self._portable()
        return _digest({key: whole[key] for key in ("data", "model", "train")})

    def at(self, alpha: float) -> Experiment:
        """The same experiment with this alpha alone."""
        return replace(self, criterion=replace(self.criterion, alpha=[alpha]))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_yaml(self, without: tuple[str, ...] = ()) -> str:
        """The resolved config as YAML, without some sections; `load` of the whole equals this experiment."""
        from omegaconf import OmegaConf

        return OmegaConf.to_yaml(
            OmegaConf.create({key: value for key, value in self.to_dict().items() if key not in without})
        )

    def _portable(self) -> dict[str, Any]:
        whole = replace(self, data=replace(self.data, dir=None)).to_dict()
        whole["store"] = {"uri": None}  # a section of older versions: without it, runs in existing logs would not match
        del whole["train"]["fitness"]  # it only measures
        return {key: value for key, value in whole.items() if key not in ("name", "paper", "smoke")}


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
