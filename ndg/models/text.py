"""Text transformers of three families with a head of latents (Hu & Tian 2022)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ndg.config import Bert
from ndg.data.inputs import Form
from ndg.errors import ShapeError
from ndg.models import pretrained
from ndg.models.mlp import ending, head, last_dense, origin

FAMILIES = {
    "bert": "BERT (Devlin et al. 2019)",
    "roberta": "RoBERTa (Liu et al. 2019)",
    "distilbert": "DistilBERT (Sanh et al. 2019)",
}
"""Names of the networks in reports."""

Ids = Int64[Tensor, "example token"]


class TextTransformer(nn.Module):
    """Transformer, pooling, head (latents, then logits); padding has no effect."""

    def __init__(self, config: Bert, settings: dict[str, Any], classes: int) -> None:
        super().__init__()
        depth = settings[_name(config, "num_hidden_layers")]
        self.title = (
            f"{FAMILIES[config.name]} of {depth} {'layer' if depth == 1 else 'layers'}; {ending(config)} on the "
            f"{'first token' if config.pooling == 'first' else 'mean of the tokens'}, {origin(config.pretrained)}"
        )
        self.transformer = pretrained.transformer(config.name, settings)
        self.pool = Pooling(config.pooling)
        self.head, latents = head(config, settings[_name(config, "hidden_size")], classes, config.dropout)
        self.latent_layer = f"head.{latents}"
        self.second_layer = last_dense(self.transformer, "transformer")
        self._segments = config.name == "bert" and settings["type_vocab_size"] > 1
        self._first_position = settings["pad_token_id"] + 1 if config.name == "roberta" else None
        if config.pretrained is not None:
            self.pretrained_parts: tuple[str, ...] = ("transformer",)
            self.architecture = {"transformer": settings}

    def forward(
        self, input_ids: Ids, attention_mask: Ids | None = None, token_type_ids: Ids | None = None
    ) -> Float[Tensor, "example label"]:
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask != 0
        extra: dict[str, Tensor] = {}
        if self._segments and token_type_ids is not None:
            extra["token_type_ids"] = token_type_ids
        if self._first_position is not None:  # the family counts from here and skips padding
            extra["position_ids"] = mask.cumsum(dim=1) * mask + self._first_position - 1
        # a mask of four axes is used unchanged; otherwise batches without padding would take another kernel, and an
        # example's result would depend on its neighbours in the last bit
        mask_4d = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        states = self.transformer(input_ids=input_ids, attention_mask=mask_4d, **extra).last_hidden_state
        return self.head(self.pool(states, mask))


class Pooling(nn.Module):
    """State of each text: its `first` token, or the `mean`."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(
        self, states: Float[Tensor, "example token width"], mask: Bool[Tensor, "example token"]
    ) -> Float[Tensor, "example width"]:
        if self.how == "first":
            return states[:, 0]
        unpadded = states.masked_fill(~mask[:, :, None], 0)
        return unpadded.sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def extra_repr(self) -> str:
        return self.how


def build(config: Bert, form: Form, classes: int, architecture: dict[str, Any] | None = None) -> TextTransformer:
    """Network with fresh weights, or those of a folder.

    ShapeError if texts do not fit.
    """
    weights = None
    if architecture is not None:
        settings = architecture["transformer"]
    elif config.pretrained is not None:
        settings, weights = pretrained.read(config.pretrained, config.name, config.name)
        pretrained.check_tokenizer(config.pretrained, form, settings["vocab_size"], settings["pad_token_id"])
        settings["pad_token_id"] = settings["pad_token_id"] or 0
    else:
        settings = _fresh(config, form)
    _check(config, form, settings)
    network = TextTransformer(config, settings, classes)
    if weights is not None:
        network.transformer.load_state_dict(weights)
    elif architecture is None:
        for module in network.transformer.modules():
            if isinstance(module, nn.Linear):  # the package's 0.02 is too narrow
                nn.init.normal_(module.weight, std=config.width**-0.5)
    return network


def _fresh(config: Bert, form: Form) -> dict[str, Any]:
    if config.width % config.heads:
        raise ShapeError(f"model.heads must divide model.width; got {config.heads} heads and width {config.width}")
    offset = form.padding + 1 if config.name == "roberta" else 0
    sizes = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
    }
    return {
        **{_name(config, key): size for key, size in sizes.items()},
        "vocab_size": form.vocabulary,
        "max_position_embeddings": form.shape[0] + offset,
        "pad_token_id": form.padding,
        **({} if config.name == "distilbert" else {"type_vocab_size": 2 if config.name == "bert" else 1}),
    }


_DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
"""DistilBERT's names of settings."""


def _name(config: Bert, key: str) -> str:
    return _DISTILBERT[key] if config.name == "distilbert" else key


def _check(config: Bert, form: Form, settings: dict[str, Any]) -> None:
    """Raise ShapeError unless the network has enough tokens and positions."""
    network = f"the network in {config.pretrained}" if config.pretrained else f"model.name={config.name}"
    if form.vocabulary > settings["vocab_size"]:
        raise ShapeError(
            f"a network must know all tokens of the tokenizer; the data have {form.vocabulary}, {network} knows "
            f"{settings['vocab_size']}; set data.tokenizer to the folder of the network"
        )
    offset = settings["pad_token_id"] + 1 if config.name == "roberta" else 0
    longest = settings["max_position_embeddings"] - offset
    if form.shape[0] > longest:
        raise ShapeError(
            f"a network needs a position for each token of a text; the data have {form.shape[0]}, {network} has "
            f"{longest}; set data.length to at most {longest}"
        )
