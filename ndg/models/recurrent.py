"""LSTM (Hochreiter & Schmidhuber 1997) and GRU (Cho et al. 2014) over tokens."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg.config import LSTM
from ndg.data.inputs import Form
from ndg.models.mlp import latent_input

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
TITLES = {"lstm": "LSTM (Hochreiter & Schmidhuber 1997)", "gru": "GRU (Cho et al. 2014)"}

Ids = Int64[Tensor, "example token"]
Sequences = Float[Tensor, "example token width"]


class RecurrentNet(nn.Module):
    """Embedding, recurrent layers, states (last of each direction), sigmoid latents, output.

    Texts are not packed by length: an example's result would depend on its neighbours in the last bit.
    """

    latent_layer = "latent"
    second_layer = "states"

    def __init__(self, config: LSTM, form: Form, classes: int) -> None:
        super().__init__()
        self.title = (
            f"{'bidirectional ' if config.bidirectional else ''}{TITLES[config.name]} of {config.depth} "
            f"{'layer' if config.depth == 1 else 'layers'}, width {config.width}, with {config.latent} sigmoid latents"
        )
        cell, directions = CELLS[config.name], 2 if config.bidirectional else 1
        self.embedding = nn.Embedding(form.vocabulary, config.embedding, padding_idx=form.padding)
        widths = [config.embedding, *[config.width * directions] * (config.depth - 1)]
        self.ahead = nn.ModuleList([cell(width, config.width, batch_first=True) for width in widths])
        self.back = nn.ModuleList([cell(w, config.width, batch_first=True) for w in widths if config.bidirectional])
        self.dropout = nn.Dropout(config.dropout)
        self.states = nn.Identity()
        before = latent_input(config.width * directions, config.latent, config.latent_noise)
        self.dense = nn.Sequential(OrderedDict(before))
        self.latent = nn.Sigmoid()
        self.out = nn.Linear(config.latent, classes)

    def forward(
        self, input_ids: Ids, attention_mask: Ids | None = None, token_type_ids: Ids | None = None
    ) -> Float[Tensor, "example label"]:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        lengths = mask.sum(dim=1)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        mirror = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)  # its own inverse
        tokens = self.embedding(input_ids)
        for depth in range(len(self.ahead)):
            both = [self.ahead[depth](self.dropout(tokens))[0]]
            if self.back:
                both.append(_gathered(self.back[depth](_gathered(self.dropout(tokens), mirror))[0], mirror))
            tokens = torch.cat(both, dim=2)
        width = self.ahead[-1].hidden_size
        last = [_gathered(tokens[:, :, :width], lengths[:, None] - 1)[:, 0]]
        if self.back:
            last.append(tokens[:, 0, width:])
        return self.out(self.latent(self.dense(self.dropout(self.states(torch.cat(last, dim=1))))))


def _gathered(sequences: Sequences, places: Int64[Tensor, "example place"]) -> Float[Tensor, "example place width"]:
    """Tokens at these places of each example."""
    return sequences.gather(1, places[:, :, None].expand(-1, -1, sequences.shape[2]))
