"""Networks that do what modules seldom do: memory that is shared, hooks and patches of their own, parts in script."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.importance.experiments.curves import CurveSettings, ablation_curves
from ndg.importance.score import score
from ndg.importance.scores import Scores
from ndg.importance.settings import ScoreSettings
from ndg.options import RunOptions


class Unusual(nn.Module):
    """A convolution whose output goes on by `way`."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.first, self.second = way, nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.same, self.norm = nn.ReLU(inplace=True), nn.Identity(), nn.BatchNorm2d(4)
        self.block, self.out = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.out(getattr(self, self.way)(h if self.way == "added_in_place" else self.norm(h)).mean(dim=(2, 3)))

    def in_place(self, h: torch.Tensor) -> torch.Tensor:
        h.mul_(0.5)
        h.add_(self.second(h))
        return self.second(h)

    def added_in_place(self, h: torch.Tensor) -> torch.Tensor:
        y = self.norm(h)
        y += h
        z = self.second(y)
        z += y
        return functional.relu_(z)

    def written_by_index(self, h: torch.Tensor) -> torch.Tensor:
        h[:, :2] *= 3
        h[:, 3] = 0.3
        return self.second(h)

    def written_by_view(self, h: torch.Tensor) -> torch.Tensor:
        h.flatten(2).relu_()
        h.detach().clamp_(max=1)
        return self.second(h)

    def pooled_view(self, h: torch.Tensor) -> torch.Tensor:
        pooled = functional.adaptive_avg_pool2d(h, 1)
        functional.relu_(pooled.flatten(1))
        return h + pooled

    def kept_before(self, h: torch.Tensor) -> torch.Tensor:
        before = h
        return self.second(self.act(h)) + before

    def handed_on(self, h: torch.Tensor) -> torch.Tensor:
        return self.second(self.same(h)) + h

    def handed_on_by_name(self, h: torch.Tensor) -> torch.Tensor:
        return self.second(self.same(input=h)) + h

    def changed_by_a_block(self, h: torch.Tensor) -> torch.Tensor:
        return self.second(self.block(h)) + h

    def both_terms(self, h: torch.Tensor) -> torch.Tensor:
        return h.relu() + h + self.second(h)

    def where_the_maximum_is(self, h: torch.Tensor) -> torch.Tensor:
        return functional.max_unpool2d(*functional.max_pool2d(h, 2, return_indices=True), 2)

    def mean_of_all(self, h: torch.Tensor) -> torch.Tensor:
        return h + 0 * h.mean(dim=None, keepdim=True)


WAYS = [
    ("in_place", ["first", "norm"]),
    ("added_in_place", ["first", "second"]),
    ("written_by_index", ["first", "norm"]),
    ("written_by_view", ["first", "norm"]),
    ("pooled_view", ["norm"]),
    ("kept_before", ["norm", "act", "second"]),
    ("handed_on", ["norm", "same", "second"]),
    ("changed_by_a_block", ["norm", "block", "second"]),
    ("both_terms", ["norm"]),
    ("where_the_maximum_is", ["norm"]),
    ("mean_of_all", ["norm"]),
]


def slow_ablation(model: nn.Module, x: torch.Tensor, layer: str, units: int) -> np.ndarray:
    """A hook sets one channel of what the layer gives, in a full pass; nothing else is touched."""
    damages = []
    for unit in range(units):

        def silence(module, arguments, output, unit=unit):
            written = output.clone()
            written[:, unit] = 0
            return written

        with torch.no_grad():
            before = model(x)
            handle = dict(model.named_modules())[layer].register_forward_hook(silence)
            damages.append(torch.linalg.vector_norm((before - model(x)).double(), dim=1).mean().item())
            handle.remove()
    return np.array(damages)


def slow_gndi(model: nn.Module, x: torch.Tensor, layer: str, units: int) -> np.ndarray:
    """The same for a small part of each channel, which is the derivative."""
    scores = []
    for unit in range(units):

        def shrink(module, arguments, output, unit=unit):
            written = output.clone()
            written[:, unit] *= 1 - 1e-6
            return written

        with torch.no_grad():
            before = model(x)
            handle = dict(model.named_modules())[layer].register_forward_hook(shrink)
            scores.append(torch.linalg.vector_norm(before - model(x), dim=1).mean().item() / 1e-6)
            handle.remove()
    return np.array(scores)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("way", "layer"), [(way, layer) for way, layers in WAYS for layer in layers])
def test_ablation_is_that_of_a_hook_in_full_passes(way, layer, memory):
    model = Unusual(way).eval().to(memory_format=memory)
    x = torch.randn(5, 2, 4, 4).to(memory_format=memory)
    expected = slow_ablation(model, x, layer, 4)
    for rows in (256, 2):
        np.testing.assert_allclose(
            score(model, [x], layer, "ablation", options=RunOptions(batch=rows))[layer], expected, rtol=1e-4, atol=1e-6
        )


WITH_GRADIENTS = [("kept_before", "act"), ("handed_on", "same"), ("handed_on_by_name", "same"), ("both_terms", "norm")]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("way", "layer"), WITH_GRADIENTS)
def test_gradients_are_those_of_what_a_layer_gives_not_of_its_memory(way, layer, frozen):
    model, x = Unusual(way).eval().double().requires_grad_(not frozen), torch.randn(5, 2, 4, 4).double()
    np.testing.assert_allclose(score(model, [x], layer, "gndi")[layer], slow_gndi(model, x, layer, 4), rtol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_of_a_tuple_are_those_of_its_first_element(frozen):
    class Pair(nn.Module):
        def forward(self, x):
            first = 2 * x
            return first, 10 * first

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.pair = nn.Linear(3, 3), Pair()

        def forward(self, x):
            first, second = self.pair(self.dense(x))
            return first + second

    model, x = Model().requires_grad_(not frozen), torch.randn(4, 3)
    found = score(model, [x], "pair", "gndi")["pair"]
    np.testing.assert_allclose(found, (2 * model.dense(x)).abs().mean(dim=0).detach(), rtol=1e-5)
    np.testing.assert_allclose(found, score(model, [x], "pair", "ablation")["pair"], rtol=1e-5)


def test_channels_of_a_convolution_over_sequences_are_units_and_so_are_those_after_it():
    model = nn.Sequential(nn.Conv1d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 2)).eval()
    x = torch.randn(7, 3, 9)
    with Tape(model, ["0", "1", "2"]) as tape:
        for _ in range(2):
            tape.run(x)
            assert [tuple(tape[layer].shape) for layer in "012"] == [(7, 5, 7), (7, 5, 7), (7, 5, 1)]
    for layer in "01":
        np.testing.assert_allclose(score(model, [x], layer, "ablation")[layer], slow_ablation(model, x, layer, 5), 1e-5)


def test_units_on_the_last_of_four_axes_are_refused():
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = nn.LayerNorm(3), nn.Linear(3, 2)

        def forward(self, x):
            return self.out(self.norm(x.permute(0, 2, 3, 1)).mean(dim=(1, 2)))

    with pytest.raises(LayerError, match="units are the last axis"):
        score(Last(), [torch.randn(4, 3, 2, 2)], "norm")


@pytest.mark.parametrize("hook", [lambda *given: 2 * given[2] + 1, lambda *given: given[2].mul_(2).add_(1)])
def test_hooks_that_change_a_layer_count_once(hook):
    model, x = Unusual("both_terms").eval(), torch.randn(5, 2, 4, 4)
    model.norm.register_forward_hook(hook)
    expected = slow_ablation(model, x, "norm", 4)
    np.testing.assert_allclose(score(model, [x], "norm", "ablation")["norm"], expected, rtol=1e-4)
    assert len(model.norm._forward_hooks) == 1


def test_a_patched_forward_is_used_and_stays():
    model, x = Unusual("both_terms").eval(), torch.randn(5, 2, 4, 4)
    plain = model.norm.forward
    model.norm.forward = patched = lambda x: plain(x) + 1
    expected = slow_ablation(model, x, "norm", 4)
    found = score(model, [x], "norm", "ablation", options=RunOptions(batch=2))
    np.testing.assert_allclose(found["norm"], expected, rtol=1e-4)
    assert model.norm.forward is patched


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_scripted_layer_is_refused_and_layers_beside_it_are_scored():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Linear(4, 2)).eval()
    x = torch.randn(5, 3)
    expected = score(model, [x], "0", "ablation")["0"]
    model[1] = torch.jit.script(model[1])
    np.testing.assert_allclose(score(model, [x], "0", "ablation")["0"], expected, rtol=1e-5)
    for layer in ("1", "1.1"):
        with pytest.raises(LayerError, match=f"'{layer}' is scripted; choose the module that it was made from"):
            score(model, [x], layer)


class Text(nn.Module):
    """Means over all tokens, padding or not, and a recurrence that reads padding from the end."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.dense = nn.Embedding(9, 6), nn.Linear(6, 4)
        self.gru, self.out = nn.GRU(4, 3, batch_first=True, bidirectional=True), nn.Linear(6, 3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.out(self.gru(self.dense(self.embed(input_ids)))[0].mean(dim=1))


@pytest.mark.parametrize(("layer", "units"), [("dense", 4), ("gru.gates_l0", 9), ("gru.gates_l0_reverse", 9)])
def test_a_group_of_one_unit_is_its_ablation_also_beside_padding(layer, units):
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]])
    texts = [{"input_ids": torch.randint(9, (3, 5)), "attention_mask": mask}]
    model = Text().eval()
    expected = score(model, texts, layer, "ablation", settings=ScoreSettings(baselines=0.2))
    for unit in range(units):
        best = Scores("best", {layer: np.eye(units)[unit]}, {layer: 0.0}, "none", "none", 3)
        curves = ablation_curves(
            model,
            texts,
            {"best": best},
            settings=CurveSettings(shares=[1 / units], orders=["top"], draws=0, baselines=0.2),
        )
        assert curves.rows()[1]["shift"] == pytest.approx(expected[layer][unit], rel=1e-4, abs=1e-6)
