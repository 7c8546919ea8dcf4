"""TransFG (He et al. 2022), a transformer for fine-grained recognition.

Patches overlap; all layers but the last see all of them. The attention maps of those layers, multiplied head by head,
show which patch each head has carried most of to the first token. The last layer sees the first token and these parts
alone. A contrastive loss pulls the first tokens of one class together. The paper's own head is `head: linear`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg.config import TransFG
from ndg.data.inputs import Form
from ndg.errors import CheckpointError, ConfigError, ShapeError
from ndg.extras import require
from ndg.models.mlp import ending, origin
from ndg.models.vit import PatchClassifier, Plan, grid, pair, patch_text, plan_transformer

Tokens = Float[Tensor, "example token feature"]
Images = Float[Tensor, "example channel height width"]
Heads = Float[Tensor, "example head token part"]


class QueryKey(NamedTuple):
    """Queries and keys of one attention layer, per head, without its maps."""

    query: Heads
    key: Heads

    def maps(self, tokens: slice = slice(None)) -> Float[Tensor, "example head asking token"]:
        """Attention maps: the weight of each token for each of these tokens."""
        products = self.query[:, :, tokens] @ self.key.transpose(2, 3) * self.query.shape[-1] ** -0.5
        return products.softmax(dim=-1, dtype=torch.float32)


class Output(NamedTuple):
    """Logits, state of the first token, and selected tokens."""

    logits: Float[Tensor, "example label"]
    state: Float[Tensor, "example feature"]
    parts: Int64[Tensor, "example head"]


class PartTransformer(PatchClassifier):
    """Vision transformer that selects parts, then a classifier on its first token."""

    def __init__(self, config: TransFG, plan: Plan, patches: tuple[int, int], classes: int) -> None:
        super().__init__(config, plan, Encoder(plan.settings, patches, config.stride), classes)
        patch = pair(plan.settings["patch_size"])
        overlap = f"at stride {config.stride}" if config.stride < max(patch) else "side by side (no overlap)"
        loss = f"contrastive loss {config.contrast:g}" if config.contrast else "no contrastive loss"
        self.title = (
            f"TransFG (He et al. 2022): part selection, patches of {patch_text(patch)} {overlap}, {loss}; "
            f"{ending(config)}, {origin(config.pretrained)}"
        )
        self.contrast, self.margin = config.contrast, config.margin

    def forward(self, inputs: Images) -> Output:
        state, parts = self.vit(self.normalise(inputs))
        return Output(self.classifier(state), state, parts)

    def extra_loss(self, output: Output, labels: Int64[Tensor, " example"]) -> Float[Tensor, ""]:
        """Weighted contrastive loss, to be added to the cross entropy."""
        if not self.contrast:
            return output.logits.new_zeros(())
        return self.contrast * contrastive(output.state, labels, self.margin)


def build(config: TransFG, form: Form, classes: int, architecture: dict[str, Any] | None = None) -> PartTransformer:
    """Network with fresh weights, or those of a folder.

    ConfigError or ShapeError for a misfit.
    """
    plan = plan_transformer(config, form, architecture, config.stride)
    patch = pair(plan.settings["patch_size"])
    if config.stride > min(patch):
        raise ConfigError(
            f"model.stride must be at most the side of a patch, or pixels are lost; got {config.stride} and patches "
            f"of {patch[0]} x {patch[1]}; lower model.stride"
        )
    if plan.settings["num_hidden_layers"] < 2:
        raise ConfigError(
            "model.depth must be at least 2, since the layers before the last select parts; got "
            f"{plan.settings['num_hidden_layers']}; raise it, or use model.name=vit"
        )
    patches = grid((form.shape[1], form.shape[2]), patch, config.stride)
    network = PartTransformer(config, plan, patches, classes)
    if plan.weights is None:
        network.vit.apply(lambda module: _init(module, plan.settings["initializer_range"]))
    else:
        try:
            network.vit.load_state_dict({_ours(name): tensor for name, tensor in plan.weights.items()})
        except RuntimeError as error:
            raise CheckpointError(
                f"{config.pretrained} must hold the weights of a vision transformer; {str(error).splitlines()[-1]}; "
                "use model.name=vit, or another folder"
            ) from error
    return network


@torch.no_grad()
def select(layers: list[QueryKey]) -> Int64[Tensor, "example head"]:
    """Token that each head has carried most of to the first.

    Attention is multiplied from layer to layer. Only the first token's row of the product is needed, so it is computed
    backwards, with the maps of one layer at a time: all maps of an image of 448 pixels would take a gigabyte.
    """
    with torch.autocast(layers[0].query.device.type, enabled=False):
        row = layers[-1].maps(slice(1))
        for layer in reversed(layers[:-1]):
            row = row @ layer.maps()
        return row[:, :, 0, 1:].argmax(dim=-1) + 1


def contrastive(
    states: Float[Tensor, "example feature"], labels: Int64[Tensor, " example"], margin: float
) -> Float[Tensor, ""]:
    """Mean over ordered pairs: 1 - cosine in a class, its excess over `margin` across."""
    with torch.autocast(states.device.type, enabled=False):
        unit = F.normalize(states.float(), dim=1)
        cosines = unit @ unit.T
        same = labels[:, None] == labels[None, :]
        return torch.where(same, 1 - cosines, (cosines - margin).clamp(min=0)).mean()


class Encoder(nn.Module):
    """Vision transformer (names of `ViTModel`) whose last layer sees parts."""

    def __init__(self, settings: dict[str, Any], patches: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(settings, patches, stride)
        self.layers = nn.ModuleList([Layer(settings) for _ in range(settings["num_hidden_layers"])])
        self.layernorm = nn.LayerNorm(settings["hidden_size"], eps=settings["layer_norm_eps"])

    def forward(self, pixels: Images) -> tuple[Float[Tensor, "example feature"], Int64[Tensor, "example head"]]:
        """State of the first token, and the selected tokens."""
        tokens, attentions = self.embeddings(pixels), []
        for layer in self.layers[:-1]:
            tokens, attention = layer(tokens)
            attentions.append(attention)
        parts = select(attentions)
        chosen = tokens.gather(1, parts[:, :, None].expand(-1, -1, tokens.shape[2]))
        tokens, _ = self.layers[-1](torch.cat([tokens[:, :1], chosen], dim=1))
        return self.layernorm(tokens[:, 0]), parts


class Embeddings(nn.Module):
    """Class token and one token per patch, with positions."""

    def __init__(self, settings: dict[str, Any], patches: tuple[int, int], stride: int) -> None:
        super().__init__()
        width = settings["hidden_size"]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + patches[0] * patches[1], width))
        self.patch_embeddings = Patches(settings["num_channels"], width, pair(settings["patch_size"]), stride)
        self.dropout = nn.Dropout(settings["hidden_dropout_prob"])

    def forward(self, pixels: Images) -> Tokens:
        patches = self.patch_embeddings(pixels)
        if patches.shape[1] != self.position_embeddings.shape[1] - 1:
            raise ShapeError(
                f"images must have the network's size, of {self.position_embeddings.shape[1] - 1} patches; "
                f"got {tuple(pixels.shape)}, {patches.shape[1]} patches; scale or crop the images"
            )
        first = self.cls_token.expand(len(pixels), -1, -1).to(patches.dtype)
        return self.dropout(torch.cat([first, patches], dim=1) + self.position_embeddings)


class Patches(nn.Module):
    """Linear map of each patch."""

    def __init__(self, channels: int, width: int, patch: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, width, patch, stride)

    def forward(self, pixels: Images) -> Tokens:
        return self.projection(pixels).flatten(2).transpose(1, 2)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward part with shortcuts."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        require("transformers", "a vision transformer")
        from transformers.activations import ACT2FN

        width, inner, eps = settings["hidden_size"], settings["intermediate_size"], settings["layer_norm_eps"]
        self.attention = Attention(settings)
        self.layernorm_before = nn.LayerNorm(width, eps=eps)
        self.layernorm_after = nn.LayerNorm(width, eps=eps)
        dense = OrderedDict(fc1=nn.Linear(width, inner), activation_fn=ACT2FN[settings["hidden_act"]])
        self.mlp = nn.Sequential(dense | {"fc2": nn.Linear(inner, width)})
        self.dropout = nn.Dropout(settings["hidden_dropout_prob"])

    def forward(self, tokens: Tokens) -> tuple[Tokens, QueryKey]:
        mixed, attention = self.attention(self.layernorm_before(tokens))
        tokens = tokens + self.dropout(mixed)
        return tokens + self.dropout(self.mlp(self.layernorm_after(tokens))), attention


class Attention(nn.Module):
    """Multi-head attention between all tokens."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        width, bias = settings["hidden_size"], settings["qkv_bias"]
        self.heads = settings["num_attention_heads"]
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=bias) for _ in range(3))
        self.o_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(settings["attention_probs_dropout_prob"])

    def forward(self, tokens: Tokens) -> tuple[Tokens, QueryKey]:
        query, key, value = (self._split(project(tokens)) for project in (self.q_proj, self.k_proj, self.v_proj))
        attention = QueryKey(query, key)
        mixed = self.dropout(attention.maps().to(value.dtype)) @ value
        return self.o_proj(mixed.transpose(1, 2).flatten(2)), attention

    def _split(self, tokens: Tokens) -> Heads:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


_OLD = {
    "encoder.layer.": "layers.",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
"""Weight names in earlier versions of `transformers`, and here."""


def _ours(name: str) -> str:
    for old, new in _OLD.items():
        name = name.replace(old, new)
    return name


def _init(module: nn.Module, std: float) -> None:
    """Truncated normal weights of this deviation, zero biases."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Embeddings):
        nn.init.trunc_normal_(module.cls_token, std=std, a=-2 * std, b=2 * std)
        nn.init.trunc_normal_(module.position_embeddings, std=std, a=-2 * std, b=2 * std)
