"""Data of the papers, and what of them is at hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Data:
    """Data of a publication, and the config that stands for them.

    `config` is trained with the overrides `settings`; None: the data at hand do not support the experiment. `why` says
    how the data or the network differ from the publication's. `long`: computing takes minutes to hours.
    """

    published: str
    config: str | None
    why: str
    settings: tuple[str, ...] = ()
    long: bool = False


ONE_CORE = ("train.threads=1", "extract.threads=1")
MNIST_SETTINGS = (
    "train.epochs=3", "train.batch_size=128", "train.learning_rate=0.002", "train.schedule=cosine", *ONE_CORE
)  # fmt: skip

DIGITS_MLP = Data("MNIST", "digits_mlp", "scikit-learn digits for MNIST, and a dense network")
DIGITS_CNN = Data("MNIST", "digits_cnn", "scikit-learn digits for MNIST")
MNIST = Data("MNIST", "mnist_cnn", "all of MNIST and the paper's network; 3 epochs, not 10", MNIST_SETTINGS, True)
MNIST_EVEN = Data("MNIST-even", "mnist_even_cnn", "all of MNIST and the paper's network; batches of 128, not 32",
                  ("train.epochs=2", "train.batch_size=128", *ONE_CORE), True)  # fmt: skip
SST2 = Data("SST-2", "sst2_small", "6,920 whole sentences and no pretrained network: a BERT of two layers from scratch",
            ONE_CORE, True)  # fmt: skip
SICK = Data("AllNLI", "sick_small", "4,500 pairs of SICK for AllNLI, and no pretrained network: a BERT of two layers "
            "from scratch, which learns little", ONE_CORE, True)  # fmt: skip
ALLNLI = Data("AllNLI", None, "not at hand: of SNLI two parts, of MNLI nothing, and no pretrained network")
CUB = Data("CUB-200", None, "not at hand: 50 of the 200 classes, 1,500 small training images, no pretrained network")
DEVIGN = Data("Devign", None, "not at hand: its test split alone, and no pretrained network")
SNLI = Data("SNLI", None, "not at hand: parts of its dev and test splits alone, and no pretrained network")
MQNLI = Data("MQNLI", None, "not at hand, and no pretrained network")
FASHION = Data("none", "fashion_cnn", "no publication: 5,000 images of 5 of the 10 classes of Fashion-MNIST, and the "
               "network of Hu & Tian 2022", ONE_CORE, True)  # fmt: skip
CIFAR10 = Data(
    "CIFAR-10", "cifar10_resnet18", "JPEG copies (1 in 7 images is at hand lossless), a quarter of the width, one "
    "epoch, 200 images scored",
    ("data.name=cifar10_jpeg", "model.width=16", "train.epochs=1", "importance.max_examples=200", *ONE_CORE), True,
)  # fmt: skip
DIGITS_FOR_CIFAR = Data("CIFAR-10", "digits_cnn", "scikit-learn digits and a small CNN for CIFAR-10 and a ResNet-18")
DENSE_FOR_CIFAR = Data("CIFAR-10", "digits_mlp", "scikit-learn digits and a dense network for CIFAR-10 and a ResNet-18")
CIFAR100 = Data("CIFAR-100", None, "not at hand")
WEIGHTS = Data("MNIST", "digits_mlp", "scikit-learn digits; whole units are removed here, single weights there")
WEIGHTS_OF_CIFAR = Data("CIFAR-10", None, "the source names neither its network nor what it removes")
DIGITS_FOR_IMAGENET = Data("ImageNet", "digits_cnn", "scikit-learn digits and a small CNN: no ImageNet, no Inception")
REVIEWS = Data("reviews", "sst2_small", "SST-2, and the 32 latents of a BERT of two layers, not the filters of a CNN",
               ONE_CORE, True)  # fmt: skip
DIGITS = Data("none", "digits_mlp", "no publication: our own table")

NDG_DATA = (DIGITS_MLP, DIGITS_CNN, MNIST, MNIST_EVEN, FASHION, SST2, SICK, ALLNLI, SNLI, MQNLI, CUB, DEVIGN)
"""Data of Hu & Tian 2022, digits first, and Fashion-MNIST."""
SETTINGS = {data.config: data.settings for data in (*NDG_DATA, CIFAR10) if data.config}
"""Settings with which the networks of each config are trained."""
