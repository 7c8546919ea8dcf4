"""The networks that a config can name, each with its settings."""

from __future__ import annotations

from dataclasses import dataclass, field

HEADS = ("sigmoid", "relu", "linear")
POOLINGS = ("first", "mean")


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
class ResNet:
    """A residual network with a 3 x 3 stem for small images (He et al. 2016); ResNet-18 has two blocks at four widths.

    `width` is that of the first stage and doubles from stage to stage.
    """

    name: str = "resnet"
    width: int = 64
    blocks: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    dropout: float = 0.0


@dataclass(frozen=True)
class ViT:
    """`transformers.ViTModel` with a head of `latent` sigmoids (or ReLUs) and a linear layer; `linear`: that alone.

    `pretrained` is a folder of a pretrained network, whose sizes stand above those given here. It sees pixels as the
    folder's `preprocessor_config.json` says, and its position embeddings are interpolated to images of another size.
    Such a network keeps its own dropout, and `dropout` is that of the head; else `dropout` is that of the transformer.
    """

    name: str = "vit"
    pretrained: str | None = None
    patch: int = 2
    width: int = 64
    depth: int = 4
    heads: int = 4
    mlp: int = 128
    latent: int = 32
    head: str = "sigmoid"
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class TransFG:
    """A vision transformer that selects parts (He et al. 2022): its last layer sees one token per attention head.

    `stride` below `patch` makes patches overlap. `contrast` is the weight of the contrastive loss, with `margin`; 0
    leaves it out. `head` is as that of a vision transformer; the paper's own is `linear`. `pretrained` is a folder of
    a vision transformer, whose sizes, but not `stride`, stand above those given here. Such a network keeps its own
    dropout, and `dropout` is that of the head; else `dropout` is that of the transformer.
    """

    name: str = "transfg"
    pretrained: str | None = None
    patch: int = 16
    stride: int = 12
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    latent: int = 768
    head: str = "sigmoid"
    contrast: float = 1.0
    margin: float = 0.4
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class Bert:
    """A text transformer with a dense head: `latent` sigmoids, or ReLUs, and a linear layer; `linear`: that alone.

    `pooling` reads the first token or the mean of all. `pretrained` is a folder of a pretrained network of the same
    family, whose sizes and dropout stand above those given here: then `dropout` acts in the head alone, before its
    dense layer (of a `linear` head: after the latents), whichever place the family gives it.
    """

    name: str = "bert"
    pretrained: str | None = None
    width: int = 128
    depth: int = 2
    heads: int = 4
    mlp: int = 256
    latent: int = 64
    head: str = "sigmoid"
    pooling: str = "first"
    dropout: float = 0.1
    latent_noise: float = 0.0


@dataclass(frozen=True)
class Roberta(Bert):
    """The same of the RoBERTa family, which tells the sentences of a pair apart by the separator alone."""

    name: str = "roberta"


@dataclass(frozen=True)
class DistilBert(Bert):
    """The same of the DistilBERT family, which tells the sentences of a pair apart by the separator alone."""

    name: str = "distilbert"


@dataclass(frozen=True)
class LSTM:
    """A recurrent network over tokens, whose last states go through `latent` sigmoids and a linear layer.

    `width` is that of the states of one direction.
    """

    name: str = "lstm"
    embedding: int = 128
    width: int = 128
    depth: int = 1
    bidirectional: bool = True
    latent: int = 32
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class GRU(LSTM):
    """The same with gated recurrent units (Cho et al. 2014)."""

    name: str = "gru"


NETWORKS = (MLP, CNN, ResNet, ViT, TransFG, Bert, Roberta, DistilBert, LSTM, GRU)
MODELS: dict[str, type] = {network.name: network for network in NETWORKS}
