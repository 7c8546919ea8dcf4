"""Data sets by name.

A new one is a file with `read(folder, settings) -> Pool` and a line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ndg.config import Data
from ndg.data import arrays, cifar, corpora, cub, folders, idx, images, tables, texts
from ndg.data.examples import SPLITS as SPLITS
from ndg.data.examples import Pool as Pool
from ndg.data.examples import Splits as Splits
from ndg.data.examples import divide, take
from ndg.data.inputs import Texts as Texts
from ndg.data.releases import MARKER
from ndg.data.sources import SOURCES
from ndg.data.tokenizer import Tokenizer as Tokenizer
from ndg.errors import DataError, nearest
from ndg.paths import path_of
from ndg.progress import log

CUT_WARNING = 0.01
"""Share of truncated training texts above which a warning is logged."""


@dataclass(frozen=True)
class Dataset:
    """Reader of a data set, and the files it needs below `data.dir`.

    All `files` must be in one of the `places`, with one of the `suffixes`; without files no folder is needed. A name
    may be a pattern (`images*.tgz`), or alternatives separated by `|`.
    """

    read: Callable[[Path, Data], Pool]
    files: tuple[str, ...] = ()
    places: tuple[str, ...] = (".",)
    suffixes: tuple[str, ...] = ("",)

    @property
    def needs(self) -> str:
        """Names of the needed files."""
        packed = [suffix for suffix in self.suffixes if suffix]
        return named(self.files) + (f" (or each with {' or '.join(packed)})" if packed else "")

    def home(self, above: Path) -> Path:
        """Place that lacks the fewest files, the first of ties."""
        return min((above / place for place in self.places), key=lambda folder: len(self.missing(folder)))

    def missing(self, folder: Path) -> list[str]:
        """Names of the files that a folder lacks."""
        return [
            names
            for names in self.files
            if not any(next(folder.glob(name + suffix), None) for name in names.split("|") for suffix in self.suffixes)
        ]


FASHION_PLACES = (".", "fashion_mnist", "fashion_mnist_5class")
CIFAR10_PLACES = (".", cifar.HOME10, f"cifar10/{cifar.HOME10}", "cifar10", f"cifar10_subset/{cifar.HOME10}")
DATASETS: dict[str, Dataset] = {
    "digits": Dataset(tables.bundled("digits")),
    "iris": Dataset(tables.bundled("iris")),
    "wine": Dataset(tables.bundled("wine")),
    "breast_cancer": Dataset(tables.bundled("breast_cancer")),
    "arrays": Dataset(arrays.read, arrays.FILES),
    "images": Dataset(folders.read, folders.FILES),
    "mnist": Dataset(idx.mnist, idx.FILES, (".", "mnist"), ("", idx.PACKED)),
    "mnist_even": Dataset(idx.mnist_even, idx.FILES, (".", "mnist"), ("", idx.PACKED)),
    "fashion_mnist": Dataset(idx.fashion_mnist, idx.FILES, FASHION_PLACES, ("", idx.PACKED)),
    "cifar10": Dataset(cifar.cifar10, cifar.FILES10, CIFAR10_PLACES),
    "cifar100": Dataset(cifar.cifar100, cifar.FILES100, (".", cifar.HOME100, f"cifar100/{cifar.HOME100}", "cifar100")),
    "cifar10_jpeg": Dataset(folders.cifar10_jpeg, folders.JPEG_FILES, (".", "cifar10_jpeg")),
    "cub200": Dataset(cub.read, cub.FILES, (".", "cub200", cub.HOME, f"cub200/{cub.HOME}", "cub_200_2011_subset")),
    "sst2": Dataset(corpora.sst2, corpora.SST2, (".", "sst2")),
    "snli": Dataset(corpora.snli, corpora.SNLI, (".", "snli", "snli_1.0", "snli_sample")),
    "allnli": Dataset(corpora.allnli, corpora.ALLNLI, (".", "allnli")),
    "mqnli": Dataset(corpora.mqnli, corpora.MQNLI, (".", "mqnli")),
    "sick": Dataset(corpora.sick, corpora.SICK, (".", "sick")),
    "devign": Dataset(corpora.devign, corpora.DEVIGN, (".", "devign")),
    "texts": Dataset(texts.read, texts.FILES, (".", "texts")),
}


def load(config: Data, tokenizer: str | Path | None = None) -> Splits:
    """Train, validation and test examples of a data set.

    They depend on `config.seed` alone. A published data set keeps its publisher's validation and test sets. Pixels are
    scaled to `config.size` and cut to `config.crop`; tables are standardised by their training rows; texts are
    tokenised by the tokenizer in the folder `tokenizer`, else in `config.tokenizer`, else by one trained on the
    training texts.

    `source` names generated files as such. Raises DataError for an unknown data set, missing or damaged files, an empty
    split, and a class that a split lacks.
    """
    if reason := absent(config):
        raise DataError(reason)
    dataset = DATASETS[config.name]
    above = Path(config.dir or ".")
    folder = dataset.home(above)
    pool = dataset.read(folder, config)
    pool = replace(pool, inputs=images.fitted(pool.inputs, config))
    marked = any((part / MARKER).is_file() for part in (folder, *folder.parents) if part.is_relative_to(above))
    if config.dir is not None and marked:
        pool = replace(pool, source=f"generated here, not real data: {pool.source}")
    rows = divide(pool, config.validation, config.test, config.seed, config.limit)
    if not isinstance(pool.inputs, Texts):
        return take(tables.standardised(pool, rows["train"]), rows)
    if tokenizer_folder := tokenizer or config.tokenizer:
        text_tokenizer = Tokenizer.load(tokenizer_folder)
    else:
        training = pool.inputs[rows["train"]]
        text_tokenizer = Tokenizer.trained(training.sentences, config.vocabulary, lower=not training.cased)
    splits = take(pool, rows, text_tokenizer, config.length)
    if (cut := splits.cut["train"]) > CUT_WARNING:
        log.warning("%s: %.1f%% of the training texts are cut at data.length=%d", config.name, 100 * cut, config.length)
    return splits


def absent(config: Data) -> str | None:
    """Reason why a data set cannot be read, or None."""
    if config.name not in DATASETS:
        return f"data.name must be a known data set; got {config.name!r}; {nearest(config.name, DATASETS)}"
    dataset = DATASETS[config.name]
    if not dataset.files:
        return None
    needs = f"data set {config.name!r} needs a folder with {dataset.needs}"
    remedy = "set data.dir=FOLDER to their folder"
    if len(dataset.places) > 1:
        remedy += f", or to the folder above {dataset.places[1]}"
    if config.name in SOURCES and SOURCES[config.name].files:
        remedy += f", or fetch them: ndg data get {config.name}"
    if config.dir is None:
        return f"{needs}; data.dir is not set; {remedy}"
    if not path_of(config.dir, "data.dir").is_dir():
        return f"{needs}; folder {config.dir!r} does not exist; {remedy}"
    home = dataset.home(Path(config.dir))
    missing = dataset.missing(home)
    return f"{needs}; {str(home)!r} lacks {named(missing)}; {remedy}" if missing else None


def named(files: Sequence[str]) -> str:
    """Names with commas, and `or` between alternatives."""
    return ", ".join(files).replace("|", " or ")
