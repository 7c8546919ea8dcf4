"""Scores of heads, gates and tokens: what is fused is taken apart, padding has no score, windows are refused."""

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.config import LSTM
from ndg.data.inputs import Form
from ndg.errors import LayerError
from ndg.importance.score import score
from ndg.models import build

OPTIONS = ndg.RunOptions(batch=6)


class Encoder(nn.Module):
    """Two fused layers over tokens, the mean of the kept tokens, and logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        kept = attention_mask.bool()
        y = self.encoder(x, src_key_padding_mask=~kept)
        return self.out((y * kept[:, :, None]).sum(1) / kept.sum(1, keepdim=True))


def batch(examples: int = 6, tokens: int = 5) -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(1)
    lengths = torch.tensor([5, 4, 3, 5, 2, 1])[:examples]
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    return {"x": torch.randn(examples, tokens, 8, generator=made), "attention_mask": mask}


LAYERS = ["encoder.layers.1.linear1", "encoder.layers.0.norm1", "encoder.layers.0.self_attn.heads"]


@pytest.mark.parametrize("frozen", [False, True])
def test_fused_encoders_are_taken_apart(frozen):
    model = Encoder().eval().requires_grad_(not frozen)
    damage = score(model, [batch()], LAYERS, "ablation", options=OPTIONS)
    first = score(model, [batch()], LAYERS, "gndi", options=OPTIONS)
    for layer, units in zip(LAYERS, (12, 8, 2), strict=True):
        assert damage[layer].shape == first[layer].shape == (units,)
        assert np.count_nonzero(damage[layer] > 1e-4) >= units / 3
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_stands_at_padded_tokens_does_not_matter():
    model, data = Encoder().eval(), batch()
    other = {**data, "x": torch.where(data["attention_mask"][:, :, None].bool(), data["x"], torch.tensor(7.0))}
    for method in ("ablation", "gndi", "activation", "gradient_x_activation", "conductance"):
        settings = ndg.ScoreSettings(n_steps=4) if method == "conductance" else ndg.ScoreSettings()
        one, two = (score(model, [each], LAYERS[:1], method, settings=settings)[LAYERS[0]] for each in (data, other))
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_gates_of_both_directions_give_no_score_to_padding():
    settings = LSTM(width=4, embedding=3, latent=3, bidirectional=True)
    model = build(settings, Form("text", (5,), vocabulary=9), 3, 0).eval()
    ids, mask = torch.randint(1, 9, (6, 5)), batch()["attention_mask"]
    data = {"input_ids": torch.where(mask.bool(), ids, 0), "attention_mask": mask}
    names = [f"{owner}.0.gates" for owner in ("ahead", "back")]
    scores = score(model, [data], names, "gradient_x_activation", settings=ndg.ScoreSettings(each_position=True))
    for name in names:
        each = score(model, [data], name, "activation", settings=ndg.ScoreSettings(each_position=True))[name].reshape(
            16, 5
        )
        lengths = mask.sum(0).numpy()  # how many texts have a token at this place; both run from the first token on
        assert ((each > 0).sum(axis=0) == 16 * (lengths > 0)).all()
        short = {key: column[4:] for key, column in data.items()}  # texts of 2 and 1 tokens
        each = score(model, [short], name, "activation", settings=ndg.ScoreSettings(each_position=True))[name].reshape(
            16, 5
        )
        assert (each[:, 2:] == 0).all()
        assert (each[:, :2] > 0).all()
        assert scores[name].shape == (80,)


def test_gates_are_not_held_to_completeness():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lstm, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.lstm(x)[0][:, -1])

    found = score(Net(), [torch.randn(4, 5, 3)], "lstm.gates", "conductance")
    assert found.facts["completeness"][0]["cross"] is False
    assert (found.facts["steps"], found.facts["unfinished"]) == (50, 0)


def test_windows_are_refused():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            windows = x.reshape(-1, 2, 4)
            return self.out(self.attention(windows, windows, windows)[0].reshape(len(x), -1, 4).mean(1))

    with pytest.raises(LayerError, match=r"the first axis .* is the example; .* \(windows of an image"):
        score(Windows(), [torch.randn(3, 4, 4)], "attention.heads", "gndi")


def test_steps_of_a_backward_direction_are_masked_from_the_end():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lstm, self.out = nn.LSTM(3, 4, batch_first=True, bidirectional=True), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.out((self.lstm(x)[0] * attention_mask[:, :, None]).sum(1))

    data = {"x": torch.randn(3, 5, 3), "attention_mask": torch.tensor([[1, 1, 0, 0, 0]] * 3)}
    names = ["lstm.gates_l0", "lstm.gates_l0_reverse"]
    found = score(Net(), [data], names, "activation", settings=ndg.ScoreSettings(each_position=True))
    steps = [found[name].reshape(16, 5).any(axis=0).tolist() for name in names]  # in the order in which they run
    assert steps == [[True, True, False, False, False], [False, False, False, True, True]]


def test_layers_are_named_by_expressions_as_in_an_extraction():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    examples = [torch.randn(6, 3)]
    found = score(model, examples, ["[13]"], "gndi")
    assert list(found.values) == ["1", "3"]
    assert list(found.values) == [layer.name for layer in ndg.extract(model, examples, ["[13]"]).nodes.layers]
    assert list(score(model, examples, ["3", "[12]"], "gndi").values) == ["3", "1", "2"]
    with pytest.raises(LayerError, match="no layer '9' in Sequential"):
        score(model, examples, ["9"], "gndi")
