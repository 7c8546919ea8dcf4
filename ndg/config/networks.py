"""Settings of the networks that a config can name."""

from __future__ import annotations

from dataclasses import dataclass, field

HEADS = ("sigmoid", "relu", "linear")
POOLINGS = ("first", "mean")


@dataclass(frozen=True)
class MLP:
    """Dense ReLU layers, sigmoid latents, and a mirrored decoder.

    name: network
    widths: units of the dense layers
    latent: number of sigmoid latents
    dropout: share of units that is dropped in training
    latent_noise: standard deviation of noise before the latents in training
    """

    name: str = "mlp"
    widths: list[int] = field(default_factory=lambda: [128])
    latent: int = 32
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class CNN:
    """The MNIST network of Hu & Tian 2022, scaled to the input size.

    Convolutions, pooling, a dense layer, sigmoid latents, and a decoder.

    channels: channels of the convolutions
    width: units of the dense layer
    latent: number of sigmoid latents
    dropout: share of units that is dropped in training
    latent_noise: standard deviation of noise before the latents in training
    """

    name: str = "cnn"
    channels: list[int] = field(default_factory=lambda: [32, 64])
    width: int = 128
    latent: int = 32
    dropout: float = 0.0
    latent_noise: float = 0.0


@dataclass(frozen=True)
class ResNet:
    """Residual network with a 3 x 3 stem for small images (He et al. 2016).

    ResNet-18 has two blocks in each of four stages.

    width: channels of the first stage; they double at each further stage
    blocks: blocks of each stage
    dropout: share of units that is dropped in training
    """

    name: str = "resnet"
    width: int = 64
    blocks: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    dropout: float = 0.0


@dataclass(frozen=True)
class ViT:
    """Vision transformer with a head of latent units, or a `linear` head.

    Pixels are normalised by the `preprocessor_config.json` of a pretrained network, and position embeddings are
    interpolated to the image size.

    pretrained: folder of a pretrained network, whose sizes and dropout replace those given here; null: from scratch
    patch: pixels of the side of a patch
    width: units of a token
    depth: number of layers
    heads: attention heads of a layer
    mlp: units of the dense part of a layer
    latent: number of latents
    head: kind of the latents
    dropout: applies to the head of a pretrained network, else to the transformer
    latent_noise: standard deviation of noise before the latents in training
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
class TransFG(ViT):
    """Vision transformer whose last layer sees one token per head (He et al. 2022).

    pretrained: folder of a vision transformer, whose sizes (but stride) and dropout replace those given here; null:
      from scratch
    stride: pixels between patches; below `patch` they overlap
    head: kind of the latents; the paper's is `linear`
    contrast: weight of the contrastive loss; 0 leaves it out
    margin: margin of the contrastive loss
    """

    name: str = "transfg"
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    latent: int = 768
    stride: int = 12
    contrast: float = 1.0
    margin: float = 0.4


@dataclass(frozen=True)
class Bert:
    """Text transformer with a head of latent units, or a `linear` head.

    pretrained: folder of a pretrained network of this family, whose sizes and dropout replace those given here; null:
      from scratch
    width: units of a token
    depth: number of layers
    heads: attention heads of a layer
    mlp: units of the dense part of a layer
    latent: number of latents
    head: kind of the latents
    pooling: reads the first token or the mean of all
    dropout: of a pretrained network it applies to the head alone, before its dense layer (in a `linear` head after the
      latents)
    latent_noise: standard deviation of noise before the latents in training
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
    """The RoBERTa family, which separates two sentences by a token alone."""

    name: str = "roberta"


@dataclass(frozen=True)
class DistilBert(Bert):
    """The DistilBERT family, which separates two sentences by a token alone."""

    name: str = "distilbert"


@dataclass(frozen=True)
class LSTM:
    """Recurrent network over tokens, with sigmoid latents.

    embedding: units of a token
    width: units of the states of one direction
    depth: number of layers
    bidirectional: read the tokens in both directions
    latent: number of sigmoid latents
    dropout: share of units that is dropped in training
    latent_noise: standard deviation of noise before the latents in training
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
