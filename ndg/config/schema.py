"""Experiments as frozen dataclasses, the schema of `configs/*.yaml`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from os import PathLike, fspath
from typing import Any

from ndg.config.criterion import Criterion
from ndg.config.networks import MLP
from ndg.config.validation import check
from ndg.errors import check_list


@dataclass(frozen=True)
class Data:
    """Examples and their splits.

    name: data set
    dir: folder of its files; null: that of --data or NDG_DATA
    seed: draws the splits, stratified by class, independently of the training's seed
    validation: fraction; ignored where the publisher provides such a split
    test: fraction; ignored likewise; half of a published validation set serves as test set if there is none
    limit: most examples of each split, at least one of each class; null: all
    size: pixels to which images are scaled; null: unchanged, all of one size
    crop: pixels to which images are cut; null: not at all
    length: tokens at which texts are cut
    vocabulary: most tokens of a tokenizer that is trained on the training texts
    tokenizer: folder of a tokenizer; null: that of the pretrained network, else one is trained
    columns: of a CSV file: one or two texts, and the label
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

    def __post_init__(self) -> None:
        for name in ("dir", "tokenizer"):
            if isinstance(path := getattr(self, name), PathLike):
                object.__setattr__(self, name, fspath(path))
        check_list(self.columns, "data.columns")


@dataclass(frozen=True)
class Apoptosis:
    """Removal of the least fit units, or residual blocks, while a network is trained.

    fitness: score of the units, written as in importance.methods, such as `fitness:measure=taylor`, or `random`; null:
      nothing is removed
    share: share of the units that is removed at each time; of `block`, one block is
    every: epochs between removals
    start: epochs before the first removal
    floor: share of the units of each layer, or of the blocks, that stays; each layer keeps at least 2 units
    remove: `unit`, or `block`: a residual block
    scope: `each` layer loses the share, or `all` layers are ranked together
    layers: layers that lose units, by module path; none: all whose units can be removed
    """

    fitness: str | None = None
    share: float = 0.1
    every: int = 1
    start: int = 1
    floor: float = 0.1
    remove: str = "unit"
    scope: str = "each"
    layers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Train:
    """Training of a network; rates are set per step.

    epochs: at most so many
    batch_size: examples of a step
    optimizer: AdamW, or SGD with momentum
    learning_rate: highest rate of the schedule
    momentum: of SGD
    weight_decay: decoupled for AdamW
    schedule: `linear` ends at zero, `triangular` rises over the first half and falls over the second, without warm-up
    warmup: fraction of all steps over which the rate rises linearly
    clip: largest norm of the gradient of a step
    pretrained_rate: factor of the rate of pretrained parts
    new_rate: factor of the rate of all other parts
    label_smoothing: share of a label that is spread over all classes
    flip: mirror half of the training images
    pad: black pixels on every side of a training image, which is then cut to its size at a random place
    shift: most pixels by which training images are moved, fractions included
    erase: side of a grey square in training images, in pixels
    noise: standard deviation of Gaussian noise on training images
    patience: epochs without a better one after which training stops
    keep_checkpoints: `every:K` epochs also keeps the best
    precision: of the forward passes of steps; weights and evaluation stay float32
    compile: use torch.compile
    tensorboard: write events
    fitness: measure neurons after every epoch without changing the training; weights are those of its composite, as in
      {weights: 0.4, gradient: 0.4, activation: 0.2}
    threads: float results depend on it; small networks train fastest on one
    apoptosis: removal of units during training
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
    apoptosis: Apoptosis = field(default_factory=Apoptosis)


@dataclass(frozen=True)
class Extract:
    """Neurons to read as booleans.

    layers: module paths or regular expressions; none: the latent layer
    channels: channels of a convolution are read by `max`, `mean` or `any` over positions
    tokens: `first`, `mean`, or `every`, where each token is an example
    binarizer: the threshold of a neuron; `auto`: 0.5 after a sigmoid, else 0
    quantile: of the binarizer `quantile`
    compute_batch: examples of a forward pass, exactly, so that float results depend on nothing else
    threads: of a forward pass
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
    """Pairs to judge.

    pairs: `all`, `between` (layers), `within`, or pairs of layer names
    max_edges: more implications are an error that suggests a stricter criterion
    max_examples: training examples drawn by the training's seed; null: all
    """

    pairs: Any = "all"
    max_edges: int = 50_000_000
    max_examples: int | None = None


@dataclass(frozen=True)
class Trial:
    """Interventions to try, on which splits, and their controls.

    `curve`, `interchange`, `edges` and `minimal` run on the held-out split only.

    interventions: none: no trial
    splits: splits to try them on
    layer: the layer that is changed; null: the only extracted one
    seed: draws alternatives and controls
    values: values for booleans: `boolean` (0 and 1), `mean` (of the fitting examples with that boolean), `resample`
      (from one of them), or `auto`: `boolean` after a sigmoid, else `mean`
    kept_at_least: least share of correct predictions that survive binarising; below it there is no verdict
    beta: edges with a recall above it are also followed backwards; 1: none
    draws: number of draws of alternatives and controls
    graphs: control graphs
    curve: count aligned examples against changed neurons
    interchange: try interchange interventions
    pool: examples from which interchange interventions take their sources
    edges: try every edge
    at_least: an edge survives where its interventional precision is significantly at least this, on examples on which
      neither end holds
    minimal: examples for minimal interventions
    budget: most sets that are tried for each of them
    """

    interventions: list[str] = field(default_factory=lambda: ["Q", "G.1", "G.2"])
    splits: list[str] = field(default_factory=lambda: ["train", "validation", "test"])
    layer: str | None = None
    seed: int = 0
    values: str = "auto"
    kept_at_least: float = 0.9
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


ALPHAS = (1.01, *map(float, (2, 3, 4, 5, 10, 20, 30, 50, 80, 100, 200, 500, 1000, 5000, 100_000)))


@dataclass(frozen=True)
class Sweep:
    """The grid of `align.py sweep`.

    alphas: alphas to mine at
    betas: recall thresholds to try
    goal: the largest alpha is chosen at which Q aligns at least this share of the validation examples
    """

    alphas: list[float] = field(default_factory=lambda: list(ALPHAS))
    betas: list[float] = field(default_factory=lambda: [1.0])
    goal: float = 0.95


@dataclass(frozen=True)
class Counterfactual:
    """Training of the decoder on counterfactual latents.

    intervention: how latents are changed
    epochs: number of epochs
    learning_rate: of Adam
    mix: share of counterfactual examples in a batch
    """

    intervention: str = "Q"
    epochs: int = 5
    learning_rate: float = 1e-3
    mix: float = 0.5


@dataclass(frozen=True)
class Importance:
    """Scores of units.

    methods: names, or names with options as in `magnitude:side=outgoing`
    layers: layers to score; none: those of the graph
    split: examples to score on
    max_examples: examples of the split drawn by the seed; null: all
    target: a class, by number or name; null leaves it to the method
    baselines: neutral state of a unit
    n_steps: gradients along a path, for methods that follow one; null: as many as completeness needs
    scoreboard: compare methods (true: all) with exact ablation; without `layers` on all linear and convolution layers
      but the last
    """

    methods: list[str] = field(default_factory=lambda: ["gndi", "conductance"])
    layers: list[str] = field(default_factory=list)
    split: str = "validation"
    max_examples: int | None = None
    target: int | str | None = None
    baselines: str = "zero"
    n_steps: int | None = 50
    scoreboard: Any = False


@dataclass(frozen=True)
class Report:
    """Bounds of the picture, and tables.

    max_nodes: most nodes that are drawn
    timeout: seconds of layout
    raw_csv: leave cells of CSV files as they are, without `'` before what a spreadsheet may run as a formula
    """

    max_nodes: int = 300
    timeout: float = 60.0
    raw_csv: bool = False


@dataclass(frozen=True)
class Paper:
    """The published result.

    accuracy: test accuracy in [0, 1]
    source: where it is published
    """

    accuracy: float | None = None
    source: str | None = None


@dataclass(frozen=True)
class Experiment:
    """One experiment, from data to report, without secrets.

    name: name of its runs
    seed: of initialisation, order and augmentation
    smoke: changes, written as in a config, for a quick run that shows that everything works

    >>> experiment = ndg.load_config({"name": "mine", "data": {"name": "iris"}}, ["seed=3"])
    >>> experiment.name, experiment.seed, experiment.data.name
    ('mine', 3, 'iris')
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
        """Sixteen hexadecimal digits of all that can change a result."""
        return _digest(self._portable())

    @property
    def training_digest(self) -> str:
        """Digest of data, model and training, without the seed."""
        whole = self._portable()
        return _digest({key: whole[key] for key in ("data", "model", "train")})

    def at(self, alpha: float) -> Experiment:
        """The same experiment with this alpha alone."""
        return replace(self, criterion=replace(self.criterion, alpha=[alpha]))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_yaml(self, without: tuple[str, ...] = ()) -> str:
        """The resolved config as YAML with its schema number, without some sections."""
        from ndg.config.dump import dump
        from ndg.config.migration import KEY, READABLE

        return dump({KEY: READABLE[-1]} | {key: value for key, value in self.to_dict().items() if key not in without})

    def _portable(self) -> dict[str, Any]:
        whole = replace(self, data=replace(self.data, dir=None)).to_dict()
        whole["store"] = {"uri": None}  # a section of older versions: without it, runs in existing logs would not match
        del whole["train"]["fitness"]  # it only measures
        if self.train.apoptosis.fitness is None:
            del whole["train"]["apoptosis"]  # nothing is removed, and older versions had no such key
        if self.trial.kept_at_least == Trial.kept_at_least:
            del whole["trial"]["kept_at_least"]  # older versions had no such key
        del whole["report"]["raw_csv"]  # changes how tables are written, not what they say
        return {key: value for key, value in whole.items() if key not in ("name", "paper", "smoke")}


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
