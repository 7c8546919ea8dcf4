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


@dataclass(frozen=True)
class Data:
    """Examples and their splits.

    `seed` draws the splits, stratified by class, independently of the training's seed. The fractions `validation` and
    `test` are ignored where the publisher provides such a split; half of a published validation set serves as the test
    set if there is none. `limit` bounds the examples of each split, but keeps at least one of each class. Images are
    scaled to `size` (null: unchanged, all of one size) and cropped to `crop`. Texts are cut at `length` tokens of the
    `tokenizer` in a folder, or of one with at most `vocabulary` tokens trained on the training texts. `columns` of a
    CSV file are one or two texts and the label.
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


@dataclass(frozen=True)
class Train:
    """Training of a network; rates are set per step.

    `optimizer` is `adamw`, or `sgd` with `momentum`. `schedule` is `constant`, `linear` (to zero) or `cosine`, after a
    linear `warmup` over a fraction of all steps, or `triangular`: up over the first half of the training and down over
    the second, without warm-up. Pretrained parts learn at `pretrained_rate` times the rate, other parts at `new_rate`
    times. `precision` is `float32`, or `bfloat16` or `float16` for the forward passes of steps (mixed precision;
    weights and evaluation stay float32). `compile` uses `torch.compile`. `keep_checkpoints` is `best`, `last`, or
    `every:K` epochs, which also keeps the best. `tensorboard` writes events. `fitness` measures neurons after every
    epoch without changing the training: true, or weights of its composite, as in {weights: 0.4, gradient: 0.4,
    activation: 0.2}.

    Training images are augmented: `flip`, `pad` and crop, `shift`, `erase` a square, `noise`.

    `threads` is in the config because float results depend on it; small networks train fastest on one.
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
    """Neurons to read as booleans. `layers` are paths or regular expressions; none means the latent layer.

    `channels` of a convolution are read by `max`, `mean` or `any` over positions. `tokens` are `first`, `mean` or
    `every`, where each token is an example. Forward passes run in batches of exactly `compute_batch` examples on
    `threads` threads, so that float results depend on nothing else.
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
    """Pairs to judge: `pairs` is `all`, `between` (layers), `within`, or pairs of layer names.

    More implications than `max_edges` are an error that suggests a stricter criterion. `max_examples` training examples
    are drawn by the training's seed; null takes all.
    """

    pairs: Any = "all"
    max_edges: int = 50_000_000
    max_examples: int | None = None


@dataclass(frozen=True)
class Trial:
    """Interventions to try, on which splits, and their controls.

    `layer` is changed; null means the only extracted layer. `values` replace booleans: `boolean` (0 and 1), `mean` (of
    the fitting examples with that boolean), `resample` (from one of them), or `auto`: `boolean` after a sigmoid, else
    `mean`. Edges with a recall above `beta` are also followed backwards; with 1, none is. Alternatives and controls are
    drawn `draws` times. There is no verdict where fewer than `kept_at_least` of the correct predictions survive
    binarising. `graphs` are control graphs: `reinitialised`, `random_inputs`, `shuffled_labels`.

    Only on the held-out split: `curve` counts aligned examples against changed neurons. `interchange` interventions
    take their sources from `pool` examples. `edges` tries every edge; one survives where its interventional precision
    is significantly at least `at_least`. `minimal` is the number of examples for minimal interventions, with up to
    `budget` sets tried for each.
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
    """The grid of `align.py sweep`: alphas and recall thresholds (betas).

    The largest alpha is chosen at which Q aligns at least `goal` of the validation examples.
    """

    alphas: list[float] = field(default_factory=lambda: list(ALPHAS))
    betas: list[float] = field(default_factory=lambda: [1.0])
    goal: float = 0.95


@dataclass(frozen=True)
class Counterfactual:
    """Training of the decoder on counterfactual latents.

    `mix` is the share of counterfactual examples in a batch.
    """

    intervention: str = "Q"
    epochs: int = 5
    learning_rate: float = 1e-3
    mix: float = 0.5


@dataclass(frozen=True)
class Importance:
    """Scores of units in `layers` (none: layers of the graph) by `methods`.

    Methods are names, or names with options as in `magnitude:side=outgoing`. Scores read `split`, or `max_examples` of
    it drawn by the seed (null: all). `target` is a class; null leaves it to the method. `baselines` is the neutral
    state: `zero`, `mean` or `resample`. `n_steps` is the number of gradients along a path, for methods that follow one;
    null takes as many as completeness needs. `scoreboard` compares methods with exact ablation: a list, or true for
    all; without `layers` on all linear and convolution layers but the last.
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
    """Bounds of the picture: drawn nodes, seconds of layout."""

    max_nodes: int = 300
    timeout: float = 60.0


@dataclass(frozen=True)
class Paper:
    """The published test accuracy in [0, 1] and its source."""

    accuracy: float | None = None
    source: str | None = None


@dataclass(frozen=True)
class Experiment:
    """One experiment, from data to report, without secrets.

    `seed` is the seed of initialisation, order and augmentation. `smoke` holds changes, written as in a config, for a
    quick run that shows that everything works.
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
        """The resolved config as YAML, without some sections."""
        from ndg.config.dump import dump

        return dump({key: value for key, value in self.to_dict().items() if key not in without})

    def _portable(self) -> dict[str, Any]:
        whole = replace(self, data=replace(self.data, dir=None)).to_dict()
        whole["store"] = {"uri": None}  # a section of older versions: without it, runs in existing logs would not match
        del whole["train"]["fitness"]  # it only measures
        if self.trial.kept_at_least == Trial.kept_at_least:
            del whole["trial"]["kept_at_least"]  # older versions had no such key
        return {key: value for key, value in whole.items() if key not in ("name", "paper", "smoke")}


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
