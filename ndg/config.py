"""Experiments as frozen dataclasses: the schema of `configs/*.yaml`, and the only reader of them.

OmegaConf reads YAML and dotted overrides (`criterion.alpha=50`) and converts types; every key is checked against these
classes. A scalar given for a list becomes a list of one. What a run did can be run again from its saved config.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from ndg.errors import ConfigError, nearest


@dataclass(frozen=True)
class Data:
    """Which examples. `seed` draws the splits, stratified by class; it is apart from the seed of a training.

    `test` is not used where the publisher of a data set has set a test set apart: that is taken whole.
    """

    name: str = "digits"
    dir: str | None = None
    seed: int = 0
    validation: float = 0.1
    test: float = 0.2


@dataclass(frozen=True)
class MLP:
    """Dense layers with ReLU, `latent` sigmoid units, and a decoder of the same widths backwards."""

    name: str = "mlp"
    widths: list[int] = field(default_factory=lambda: [128])
    latent: int = 32
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class CNN:
    """The MNIST network of Hu & Tian 2022, scaled to the input: convolutions, pool, dense, sigmoid latents, decoder."""

    name: str = "cnn"
    channels: list[int] = field(default_factory=lambda: [32, 64])
    width: int = 128
    latent: int = 32
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class ViT:
    """`transformers.ViTForImageClassification` from a config, with a head of `latent` sigmoids and a linear layer."""

    name: str = "vit"
    patch: int = 2
    width: int = 64
    depth: int = 4
    heads: int = 4
    mlp: int = 128
    latent: int = 32
    dropout: float = 0.0
    latent_noise: float = 0.0


MODELS: dict[str, type] = {"mlp": MLP, "cnn": CNN, "vit": ViT}


@dataclass(frozen=True)
class Train:
    """AdamW with linear warm-up (a fraction of all steps) and a cosine or constant schedule; rates are per step.

    `threads` is part of the config because float results depend on it; small networks train fastest on one.
    """

    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup: float = 0.1
    clip: float = 1.0
    label_smoothing: float = 0.0
    shift: float = 0.0
    noise: float = 0.0
    patience: int = 20
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
class Criterion:
    """When an approximate implication holds.

    `paper` and `ratio` read `alpha`, of which several are mined from one count; `confidence` reads `confidence` and
    `support`; `wilson` reads `bound`; `fisher` reads `confidence`, `support` and `q`.
    """

    name: str = "paper"
    alpha: list[float] = field(default_factory=lambda: [20.0])
    confidence: float = 0.95
    support: int = 10
    bound: float = 0.95
    q: float = 0.05


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

    `layer` is the one that is intervened on; null where only one is extracted.
    """

    interventions: list[str] = field(default_factory=lambda: ["Q", "G.1", "G.2"])
    splits: list[str] = field(default_factory=lambda: ["train", "test"])
    layer: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Importance:
    """Scores written on the nodes. `steps` is the number of quadrature points of conductance."""

    methods: list[str] = field(default_factory=lambda: ["gndi", "conductance"])
    split: str = "validation"
    steps: int = 50


@dataclass(frozen=True)
class Report:
    """Bounds of the picture: the largest number of drawn nodes, and seconds that layout may take."""

    max_nodes: int = 300
    timeout: float = 60.0


@dataclass(frozen=True)
class Store:
    """Where runs are logged: `mongodb://...`, a file path, or null for the location's default."""

    uri: str | None = None


@dataclass(frozen=True)
class Experiment:
    """One experiment, from data to report. `seed` is the seed of initialisation, order and augmentation."""

    name: str = "experiment"
    seed: int = 0
    data: Data = field(default_factory=Data)
    model: Any = field(default_factory=MLP)
    train: Train = field(default_factory=Train)
    extract: Extract = field(default_factory=Extract)
    criterion: Criterion = field(default_factory=Criterion)
    mining: Mining = field(default_factory=Mining)
    trial: Trial = field(default_factory=Trial)
    importance: Importance = field(default_factory=Importance)
    report: Report = field(default_factory=Report)
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything that can change a result (not where things lie)."""
        return _digest(self._portable())

    @property
    def training_digest(self) -> str:
        """The same of data, model and training alone, whatever the seed: runs of one config share it."""
        whole = self._portable()
        return _digest({key: whole[key] for key in ("data", "model", "train")})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_yaml(self) -> str:
        """The resolved config as YAML; `load` of it equals this experiment."""
        from omegaconf import OmegaConf

        return OmegaConf.to_yaml(OmegaConf.create(self.to_dict()))

    def _portable(self) -> dict[str, Any]:
        whole = replace(self, store=Store(), data=replace(self.data, dir=None)).to_dict()
        whole.pop("name")
        return whole


def load(source: str | Path | dict[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a YAML file (or a dictionary), with dotted overrides applied.

    Raises ConfigError for a missing file, an unknown key (naming the nearest valid one), or a value of the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    where = "config" if isinstance(source, dict) else str(source)
    for override in overrides:
        if not override.partition("=")[0] or "=" not in override:
            raise ConfigError(f"an override is written key=value, as in criterion.alpha=50; got {override!r}")
    try:
        document: Any = OmegaConf.create(source) if isinstance(source, dict) else OmegaConf.load(source)
        if OmegaConf.is_dict(document):
            document = OmegaConf.merge(document, OmegaConf.from_dotlist(list(overrides)))
        plain = OmegaConf.to_container(document, resolve=True)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {where}; `ndg configs` lists those that ship") from error
    except (OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        raise ConfigError(f"{where} cannot be read as YAML: {_first_line(error)}") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{where} must hold keys and values at the top; got a {type(plain).__name__}")
    model = plain.get("model") or {}
    name = model.get("name", MLP.name) if isinstance(model, dict) else model
    if not isinstance(name, str) or name not in MODELS:
        raise ConfigError(f"model.name must be a known model; got {name!r}; {nearest(str(name), MODELS)}")
    schema_of = Experiment(model=MODELS[name]())
    _match(plain, schema_of, "")
    schema = OmegaConf.structured(schema_of)
    OmegaConf.set_readonly(schema, False)
    for key in schema:
        if OmegaConf.is_config(schema[key]):
            OmegaConf.set_readonly(schema[key], False)
    try:
        return OmegaConf.to_object(OmegaConf.merge(schema, plain))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{getattr(error, 'full_key', None) or where}: {_first_line(error)}") from error


def configs() -> dict[str, Path]:
    """Name and path of every config that ships: package data when installed, `configs/` in a checkout."""
    here = Path(__file__).parent
    folder = next((f for f in (here / "configs", here.parent / "configs") if f.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name: str) -> Path:
    """The config file of that path, or the shipped config of that name."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = configs()
    if path.stem in shipped and path.suffix in ("", ".yaml", ".yml") and len(path.parts) <= 2:
        return shipped[path.stem]
    raise ConfigError(f"there is no config file {name!r} and none of that name ships; {nearest(path.stem, shipped)}")


def _match(given: dict[Any, Any], schema: Any, prefix: str) -> None:
    """Check keys against a dataclass, and turn scalars into lists where the schema has a list."""
    valid = {f.name: getattr(schema, f.name) for f in fields(schema)}
    for key, value in given.items():
        full = f"{prefix}{key}"
        if key not in valid:
            hint = _elsewhere(str(key), schema, prefix) or nearest(full, [prefix + name for name in valid])
            raise ConfigError(f"no key {full!r} in a config; {hint}")
        expected = valid[key]
        if is_dataclass(expected):
            if not isinstance(value, dict):
                keys = ", ".join(f.name for f in fields(expected))
                raise ConfigError(f"{full} must hold keys ({keys}); got {value!r}")
            _match(value, expected, f"{full}.")
        elif isinstance(expected, list) and not isinstance(value, list):
            given[key] = [value]


def _elsewhere(key: str, schema: Any, prefix: str) -> str:
    """Where a misplaced key does exist, such as `alpha` at the top level."""
    if prefix:
        return ""
    sections = {f.name: getattr(schema, f.name) for f in fields(schema)}
    homes = [f"{name}.{key}" for name, section in sections.items() if is_dataclass(section) and hasattr(section, key)]
    return f"nearest: {', '.join(homes)}" if homes else ""


def _check(experiment: Experiment) -> None:
    data, train, extract, trial = experiment.data, experiment.train, experiment.extract, experiment.trial
    rules = [
        (min(data.validation, data.test) > 0 and data.validation + data.test < 1, "data.validation, data.test",
         "fractions above 0 that leave examples to train on", (data.validation, data.test)),
        (0 <= experiment.seed < 2**63, "seed", "at least 0 and below 2**63", experiment.seed),
        (train.epochs >= 1, "train.epochs", "at least 1", train.epochs),
        (train.batch_size >= 1, "train.batch_size", "at least 1", train.batch_size),
        (train.learning_rate > 0, "train.learning_rate", "above 0", train.learning_rate),
        (train.schedule in ("cosine", "constant"), "train.schedule", "cosine or constant", train.schedule),
        (0 <= train.warmup < 1, "train.warmup", "a fraction of the steps, in [0, 1)", train.warmup),
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
        (len(trial.interventions) > 0, "trial.interventions", "at least one", trial.interventions),
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
        (experiment.importance.steps >= 1, "importance.steps", "at least 1", experiment.importance.steps),
        (experiment.report.max_nodes >= 1, "report.max_nodes", "at least 1", experiment.report.max_nodes),
        (experiment.report.timeout > 0, "report.timeout", "above 0 seconds", experiment.report.timeout),
    ]  # fmt: skip
    for holds, key, rule, got in rules:
        if not holds:
            raise ConfigError(f"{key} must be {rule}; got {got}")
    for name, size in vars(experiment.model).items():
        sizes = size if isinstance(size, list) else [size]
        if name in ("dropout", "latent_noise"):
            holds, rule = size >= 0 and (size < 1 or name == "latent_noise"), "inside [0, 1)"
            rule = rule if name == "dropout" else "at least 0"
        else:
            holds, rule = all(isinstance(one, str) or one >= 1 for one in sizes), "at least 1"
        if not holds:
            raise ConfigError(f"model.{name} must be {rule}; got {size}")
    splits = ("train", "validation", "test")
    for key, given in (("trial.splits", experiment.trial.splits), ("importance.split", [experiment.importance.split])):
        for split in given:
            if split not in splits:
                raise ConfigError(f"{key} must name splits; got {split!r}; {nearest(split, splits)}")


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
