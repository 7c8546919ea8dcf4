"""Attention heads: what `X.heads` shows is what the module computes, and the network's logits stay what they were."""

import numpy as np
import pytest
import torch
from torch import nn

from ndg import models
from ndg.activations.batches import forward
from ndg.config import Bert, DistilBert, Roberta, TransFG, ViT
from ndg.data.inputs import TEXT, Form
from ndg.errors import LayerError
from ndg.gradients.tape import Tape, per_unit
from ndg.importance.score import score
from ndg.options import RunOptions
from ndg.units.resolve import resolve_layer

OPTIONS = RunOptions(batch=3)

WIDTH, HEADS, TOKENS = 12, 3, 5

MODULES = {
    "plain": {},
    "without bias": {"bias": False},
    "tokens first": {"batch_first": False},
    "other widths": {"kdim": 7, "vdim": 9},
    "bias to keys": {"add_bias_kv": True},
    "an empty key": {"add_zero_attn": True},
    "both": {"add_bias_kv": True, "add_zero_attn": True},
}


def attention(**options) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, **{"batch_first": True, **options}).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module


def tokens(module: nn.MultiheadAttention, count: int, width: int = WIDTH) -> torch.Tensor:
    shape = (4, count, width) if module.batch_first else (count, 4, width)
    return torch.randn(*shape, dtype=torch.float64)


def masks() -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    left_out = torch.zeros(4, TOKENS, dtype=torch.bool)
    left_out[1, 3:] = left_out[3, 4:] = True
    causal = torch.ones(6, TOKENS, dtype=torch.bool).triu(1)
    each = torch.randn(4 * HEADS, 6, TOKENS, dtype=torch.float64)
    return [
        {},
        {"key_padding_mask": left_out},
        {"attn_mask": causal},
        {"attn_mask": each},
        {"attn_mask": causal, "key_padding_mask": left_out},
        {"attn_mask": torch.randn(6, TOKENS, dtype=torch.float64), "key_padding_mask": left_out.double()},
    ]


@pytest.mark.parametrize("options", MODULES.values(), ids=MODULES)
def test_composed_attention_is_that_of_torch(options):
    module = attention(**options)
    query, key = tokens(module, 6), tokens(module, TOKENS, options.get("kdim", WIDTH))
    value = tokens(module, TOKENS, options.get("vdim", WIDTH))
    for mask in masks():
        for more in ({}, {"need_weights": False}, {"average_attn_weights": False}):
            expected, weights = module(query, key, value, **mask, **more)
            with resolve_layer(module, "heads").around():
                found, seen = module(query, key, value, **mask, **more)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(seen, weights)
    assert "forward" not in vars(module)
    assert list(module._modules) == ["out_proj"]


def by_hand(module: nn.MultiheadAttention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The head outputs of one example after the other, head by head, query by query."""
    size, found = WIDTH // HEADS, torch.zeros(len(x), x.shape[1], WIDTH, dtype=x.dtype)
    parts = [x @ w.T + b for w, b in zip(module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)]
    for example in range(len(x)):
        for head in range(HEADS):
            q, k, v = (part[example, :, head * size : (head + 1) * size] for part in parts)
            for asking in range(x.shape[1]):
                scores = torch.stack([q[asking] @ k[t] / size**0.5 for t in range(x.shape[1]) if mask[example, t]])
                values = torch.stack([v[t] for t in range(x.shape[1]) if mask[example, t]])
                found[example, asking, head * size : (head + 1) * size] = scores.softmax(0) @ values
    return found


class Attending(nn.Module):
    """Attention over tokens with padding, then the mean of those that are none."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.attention, self.out = attention(batch_first=batch_first), nn.Linear(WIDTH, 3).double()

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        given = x if self.attention.batch_first else x.transpose(0, 1)
        mixed, _ = self.attention(given, given, given, key_padding_mask=attention_mask == 0)
        mixed = mixed if self.attention.batch_first else mixed.transpose(0, 1)
        kept = mixed * attention_mask[:, :, None]
        return self.out(kept.sum(dim=1) / attention_mask.sum(dim=1, keepdim=True))


def padded() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    mask = (torch.arange(TOKENS) < torch.tensor([5, 2, 4])[:, None]).long()
    return {"x": torch.randn(3, TOKENS, WIDTH, dtype=torch.float64), "attention_mask": mask}


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_head_is_what_it_computes_and_padding_is_no_position(batch_first):
    model, inputs = Attending(batch_first), padded()
    heads = by_hand(model.attention, inputs["x"], inputs["attention_mask"]).detach()
    with Tape(model, ["attention.heads"]) as tape:
        logits = tape.run(inputs)
        torch.testing.assert_close(tape.raw["attention.heads"][0], heads)
        view = tape["attention.heads"]
        gradients = tape.gradients(logits[:, 1])["attention.heads"]
    expected = heads.masked_fill(inputs["attention_mask"][:, :, None] == 0, 0).unflatten(2, (HEADS, -1)).transpose(1, 2)
    torch.testing.assert_close(view, expected.flatten(2))
    # what is behind the heads is linear: weights of the two projections, shared by the tokens that are no padding
    slope = (model.out.weight[1] @ model.attention.out_proj.weight).detach().unflatten(0, (HEADS, 1, -1))
    share = inputs["attention_mask"] / inputs["attention_mask"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(gradients, (slope * share[:, None, :, None]).flatten(2))


def test_ablation_of_a_head_is_the_network_without_it():
    model, inputs = Attending(), padded()
    found = score(model, [inputs], "attention.heads", "ablation", target=1, options=OPTIONS)["attention.heads"]
    expected = []
    for head in range(HEADS):
        without = Attending()
        size = WIDTH // HEADS
        without.attention.out_proj.weight.data[:, head * size : (head + 1) * size] = 0
        expected.append((model(**inputs) - without(**inputs))[:, 1].mean().item())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


class Encoder(nn.Module):
    """torch's own encoder, whose layers have a fused form."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 16, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first)
        self.out = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.out(self.encoder(x, src_key_padding_mask=attention_mask == 0)[:, 0])


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_fused_form_of_encoder_layers_is_off_while_heads_are_seen_and_back_on_afterwards(norm_first):
    model = Encoder(norm_first).eval().requires_grad_(False)
    inputs = {"x": torch.randn(3, TOKENS, WIDTH), "attention_mask": padded()["attention_mask"]}
    path, before = "encoder.layers.1.self_attn.heads", torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        bare = model(**inputs)
        with Tape(model, [path]) as tape:
            torch.testing.assert_close(tape.run(inputs), bare, rtol=1e-5, atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled() == before
    damage = score(model, [inputs], path, "ablation", options=RunOptions(batch=4))[path]
    assert (damage > 1e-4).all()
    with torch.no_grad():
        assert torch.equal(model(**inputs), bare)


SMALL = {"width": 16, "depth": 2, "heads": 2, "mlp": 24, "latent": 6}
TEXTS = Form(TEXT, (9,), 30, 0, 1)
NETWORKS = {
    "vit": (ViT(**{**SMALL, "patch": 4}), (1, 8, 8), "vit.layers.1.attention", "o_proj"),
    "transfg": (TransFG(**SMALL, patch=4, stride=4), (1, 8, 8), "vit.layers.0.attention", "o_proj"),
    "bert": (Bert(**SMALL), TEXTS, "transformer.encoder.layer.1.attention.self", ""),
    "roberta": (Roberta(**SMALL), TEXTS, "transformer.encoder.layer.0.attention.self", ""),
    "distilbert": (DistilBert(**SMALL), TEXTS, "transformer.transformer.layer.1.attention", "out_lin"),
}


def inputs_of(form: Form | tuple[int, ...]) -> torch.Tensor | dict[str, torch.Tensor]:
    if isinstance(form, tuple):
        return torch.rand(3, *form, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 4, 6])
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.randint(2, 30, (3, 9), generator=torch.Generator().manual_seed(0)) * mask
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_of_the_networks_at_hand_are_what_their_projection_takes(name):
    config, form, owner, projection = NETWORKS[name]
    model, inputs, path = models.build(config, form, 3, seed=0), inputs_of(form), f"{owner}.heads"
    module = model.get_submodule(owner)
    taken = []
    if projection:
        handle = module.get_submodule(projection).register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    else:
        handle = module.register_forward_hook(lambda _, given, output: taken.append(output[0]))
    bare = forward(model, inputs).detach()
    handle.remove()
    with Tape(model, [path]) as tape:
        logits = tape.run(inputs)
        assert torch.equal(logits.detach(), bare)
        assert torch.equal(tape.raw[path][0], taken[0])
        view, gradients = tape[path], tape.gradients(logits[:, 1])[path]
    assert view.shape[1] == 2
    assert float(per_unit((view * gradients).abs()).sum()) > 0
    if isinstance(inputs, dict):
        out = (inputs["attention_mask"] == 0)[:, None, :, None].expand(-1, 2, -1, 8).flatten(2)
        assert (view[out] == 0).all()
        assert (gradients[out] == 0).all()
    first = torch.zeros_like(taken[0])
    first[..., :8] = 1
    expected = bare - _with(module, projection, taken[0] * (1 - first), model, inputs)
    np.testing.assert_allclose(
        score(model, [inputs], path, "ablation", options=OPTIONS)[path][0],
        expected.norm(dim=1).mean().item(),
        rtol=1e-3,
    )


def _with(module, projection, heads, model, inputs):
    """Logits when the projection is given other heads."""
    if projection:
        handle = module.get_submodule(projection).register_forward_pre_hook(lambda _, given: (heads,))
    else:
        handle = module.register_forward_hook(lambda _, given, output: (heads, *output[1:]))
    logits = forward(model, inputs).detach()
    handle.remove()
    return logits


class Own(nn.Module):
    """Attention of one's own: a number of heads, and a part that projects them, or one that does not say so."""

    def __init__(self, projection: str) -> None:
        super().__init__()
        self.num_heads, self.qkv = 2, nn.Linear(4, 12)
        self.add_module(projection, nn.Linear(4, 4))
        self.last = getattr(self, projection)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (6, 2)).transpose(1, 2).chunk(3, dim=1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.last(mixed.transpose(1, 2).flatten(2))[:, 0]


def test_attention_of_ones_own_is_known_by_its_names_or_refused_by_its_name():
    model = nn.Sequential(Own("proj"))
    with Tape(model, ["0.heads"]) as tape:
        tape.run(torch.randn(3, 5, 4))
        assert tape["0.heads"].shape == (3, 2, 10)
    with pytest.raises(LayerError, match=r"'0' is Own; there are none in this network; score the layer after its att"):
        resolve_layer(nn.Sequential(Own("outward")), "0.heads")
    with pytest.raises(LayerError, match=r"'out' is Linear; in this network they are at: attention\.heads$"):
        resolve_layer(Attending(), "out.heads")


def test_what_is_no_batch_of_sequences_is_refused():
    module, x = attention(), torch.zeros(5, 12, dtype=torch.float64)
    message = r"\(example, token, feature\).*; got \(5, 12\)"
    with resolve_layer(module, "heads").around(), pytest.raises(LayerError, match=message):
        module(x, x, x)
    assert "forward" not in vars(module)
    assert list(module._modules) == ["out_proj"]
