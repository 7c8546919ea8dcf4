"""Recombination: hybrids by hand, the same bits however they are computed, and clear errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.causal import recombine
from ndg.causal.later import later_layers
from ndg.causal.recombination import POOL, Recombination, givers, mixed
from ndg.errors import BitsError, ConfigError, DataError, LayerError
from ndg.options import RunOptions

HYBRIDS = 700


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3)).eval()


@pytest.fixture(scope="module")
def loader():
    torch.manual_seed(1)
    x = torch.randn(150, 8)
    return [(part, torch.zeros(len(part), dtype=torch.long)) for part in x.split(64)]


def by_hand(network, loader, mode, seed):
    """Booleans of the hybrids, made one by one as the definition says."""
    with torch.no_grad():
        latent = network[:2](torch.cat([x for x, _ in loader]))
        numbers = np.arange(HYBRIDS)
        hybrids = latent[numbers % len(latent)].clone()
        for number in numbers:
            if mode == "mix":
                source = givers(seed, numbers[[number]], len(latent), 1)[0, 0]
                units = np.flatnonzero(mixed(seed, numbers[[number]], latent.shape[1])[0])
                hybrids[number, units] = latent[source, units]
            else:
                sources = givers(seed, numbers[[number]], len(latent), latent.shape[1])[0]
                hybrids[number] = latent[sources, np.arange(latent.shape[1])]
        hidden = network[2](hybrids)
        logits = network[4](network[3](hidden))
    label = np.eye(3, dtype=bool)[logits.argmax(dim=1).numpy()]
    return np.hstack([label, hybrids.numpy() > 0.5, hidden.numpy() > 0])


@pytest.mark.parametrize("mode", ["mix", "independent"])
def test_hybrids_are_those_of_the_definition(network, loader, mode):
    bits = recombine(network, loader, "1", mode, HYBRIDS, options=RunOptions(seed=3))
    assert [layer.name for layer in bits.nodes.layers] == ["1", "2"]
    np.testing.assert_array_equal(bits.to_bool(), by_hand(network, loader, mode, 3))


@pytest.mark.parametrize("mode", ["mix", "independent"])
@pytest.mark.parametrize("options", [{"batch": 7}, {"batch": 64}, {"executor": "threads"}], ids=str)
def test_bits_do_not_depend_on_batches_or_executor(network, loader, mode, options):
    whole = recombine(network, loader, "1", mode, HYBRIDS, options=RunOptions(batch=150))
    assert recombine(network, loader, "1", mode, HYBRIDS, options=RunOptions(**options)).digest == whole.digest


def test_ray_gives_the_same_bits(network, loader, ray_session):
    serial = recombine(network, loader, "1", "mix", HYBRIDS, options=RunOptions(executor="serial", batch=32))
    ray = recombine(network, loader, "1", "mix", HYBRIDS, options=RunOptions(executor="ray", batch=32))
    assert ray.digest == serial.digest


def test_fewer_hybrids_than_examples_take_drawn_bases(network, loader):
    bits = recombine(network, loader, "1", n=40)
    assert bits.examples == 40
    assert recombine(network, loader, "1", n=40, options=RunOptions(batch=16)).digest == bits.digest
    assert recombine(network, loader, "1", n=40, options=RunOptions(seed=1)).digest != bits.digest


def test_a_recombination_goes_on_from_its_journal(network, loader, tmp_path, monkeypatch):
    path, ran = tmp_path / "journal", []
    options = RunOptions(batch=32, executor="serial", journal=path)
    whole = recombine(network, loader, "1", "mix", HYBRIDS, options=options)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))  # as if it had been killed before the last two batches
    run = Recombination.run
    monkeypatch.setattr(Recombination, "run", lambda study, batch: ran.append(batch.start) or run(study, batch))
    assert recombine(network, loader, "1", "mix", HYBRIDS, options=options).digest == whole.digest
    assert ran == [96, 128]


def test_hybrids_of_equal_examples_change_no_bit(network):
    x = torch.randn(1, 8).expand(20, 8).contiguous()
    loader = [(x, torch.zeros(20, dtype=torch.long))]
    plain = ndg.extract(network, loader, ["1", "2"])
    for mode in ("mix", "independent"):
        np.testing.assert_array_equal(
            recombine(network, loader, "1", mode, 60, like=plain).to_bool()[:20], plain.to_bool()
        )


def test_a_mix_takes_one_unit_to_all_but_one():
    sizes = mixed(0, np.arange(4000), 5).sum(axis=1)
    assert set(sizes) == {1, 2, 3, 4}
    assert abs(np.bincount(sizes)[1:] / 4000 - 0.25).max() < 0.03
    assert mixed(0, np.arange(3), 1).all()


def test_the_bits_are_mined_like_any_others(network, loader):
    graph = ndg.mine(recombine(network, loader, "1", "independent", HYBRIDS), "paper", alpha=5)
    assert isinstance(graph, ndg.NDG)
    assert recombine(network, loader, "1", "mix", 50, like=graph).nodes == graph.nodes


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4 * 16, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.relu(self.fc(torch.relu(self.conv(x)).flatten(1))))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.gru(x)[0].mean(dim=1))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(6, 3, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))


@pytest.mark.parametrize(
    ("made", "layer", "shape"),
    [
        (Convolutional, "conv", (1, 6, 6)),
        (Recurrent, "gru", (4, 3)),
        (Recurrent, "gru.gates", (4, 3)),
        (Attending, "attention.heads", (4, 6)),
    ],
)
@pytest.mark.parametrize("mode", ["mix", "independent"])
def test_every_kind_of_layer_is_recombined(made, layer, shape, mode):
    torch.manual_seed(0)
    model = made().eval()
    x = torch.randn(30, *shape)
    loader = [(x, torch.zeros(30, dtype=torch.long))]
    settings = ndg.ReadingSettings(tokens="mean")
    bits = recombine(model, loader, layer, mode, 90, settings=settings)
    assert bits.examples == 90
    assert (
        recombine(model, loader, layer, mode, 90, settings=settings, options=RunOptions(batch=8)).digest == bits.digest
    )
    plain = ndg.extract(model, loader, like=bits)
    assert (bits.to_bool()[:30] != plain.to_bool()).any()


def test_later_layers_are_those_with_weights_between_the_layer_and_the_logits(network, loader):
    assert later_layers(network, loader, "1") == ["2"]
    assert later_layers(network, loader, "0") == ["2"]
    assert later_layers(network, loader, "3") == []


def test_what_cannot_be_recombined_is_named(network, loader):
    with pytest.raises(ConfigError, match="mode of recombination is mix or independent; got 'both'"):
        recombine(network, loader, "1", "both")
    for n in (0, 1.5, True):
        with pytest.raises(ConfigError, match="number of hybrids is a whole number of at least 1"):
            recombine(network, loader, "1", n=n)
    with pytest.raises(DataError, match="the loader gave 1; give at least 2"):
        recombine(network, [(torch.zeros(1, 8), torch.zeros(1, dtype=torch.long))], "1")
    with pytest.raises(LayerError, match="no layer 'nosuch'"):
        recombine(network, loader, "nosuch")
    bits = ndg.extract(network, loader, ["1"])
    with pytest.raises(LayerError, match="one of `like`, 1; got '2'"):
        recombine(network, loader, "2", like=bits)
    other = nn.Sequential(nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3))
    with pytest.raises(BitsError, match="of the network that gave `like`"):
        recombine(other, loader, "1", like=bits)
    shuffling = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*loader[0]), shuffle=True)
    with pytest.raises(DataError, match="shuffle=False"):
        recombine(network, shuffling, "1")


def test_a_layer_after_the_logits_is_refused():
    class Behind(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.logits, self.behind = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(3, 3)

        def forward(self, x):
            logits = self.logits(torch.relu(self.a(x)))
            self.behind(logits)
            return logits

    with pytest.raises(LayerError, match="before the logits"):
        recombine(Behind(), [(torch.randn(9, 4), torch.zeros(9, dtype=torch.long))], "behind")


def test_the_pool_is_bounded():
    assert POOL == 16_384
