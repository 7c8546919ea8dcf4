"""From a network and a loader to packed booleans."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndg import extraction
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.extraction import ReadingSettings, estimate, extract
from ndg.nodes import LayerUnits, NodeSpace
from ndg.options import RunOptions

N = 300


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(32, 5))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N, 16, generator=generator), torch.randint(0, 5, (N,), generator=generator)


def batches(data, size):
    return list(zip(*(part.split(size) for part in data), strict=True))


def test_bits_are_the_predicted_label_and_the_neurons_above_their_threshold(net, data):
    bits = extract(net, batches(data, 64), layers=["0", "1"])
    assert bits.nodes == NodeSpace(5, (LayerUnits("0", 32), LayerUnits("1", 32)))
    net.eval()
    with torch.no_grad():
        before, logits = net[0](data[0]), net(data[0])
    expected = torch.cat([nn.functional.one_hot(logits.argmax(1), 5) > 0, before > 0, before.sigmoid() > 0.5], dim=1)
    assert (bits.to_bool() == expected.numpy()).all()
    assert bits.correct == int((logits.argmax(1) == data[1]).sum())
    assert bits.binarizer == "0: positive, 1: half"


@pytest.mark.parametrize("binarizer", ["auto", "median", "quantile"])
def test_the_users_batch_size_does_not_change_a_bit(net, data, binarizer):
    whole = extract(net, [data], layers=["1"], settings=ReadingSettings(binarizer=binarizer, quantile=0.25))
    for size in (1, 7, 256):
        assert (
            extract(
                net, batches(data, size), layers=["1"], settings=ReadingSettings(binarizer=binarizer, quantile=0.25)
            )
            == whole
        )
    rates = whole.to_bool("1").mean(axis=0)
    if binarizer != "auto":
        assert rates == pytest.approx(0.5 if binarizer == "median" else 0.75, abs=0.01)


def test_held_out_examples_are_binarised_like_the_first(net, data):
    fitted = extract(net, batches(data, 50), layers=["1"], settings=ReadingSettings(binarizer="median"))
    held_out = extract(net, [(data[0] + 1, data[1])], like=fitted)
    assert (held_out.thresholds == fitted.thresholds).all()
    assert held_out.nodes == fitted.nodes
    assert extract(net, [data], like=fitted) == fitted
    _ = fitted + held_out


def test_the_network_is_left_as_it_was(net, data):
    state = {key: value.clone() for key, value in net.state_dict().items()}
    extract(net, [data], layers=["1"])
    assert net.training
    assert net[2].training
    assert not any(module._forward_hooks for module in net.modules())
    assert all(state[key].equal(value) for key, value in net.state_dict().items())


def test_a_network_may_name_its_own_layer(net, data):
    with pytest.raises(LayerError, match="Sequential has no `latent_layer`; pass layers="):
        extract(net, [data])
    net.latent_layer = "1"
    assert extract(net, [data]).nodes.layers == (LayerUnits("1", 32),)


def test_a_value_that_is_not_a_number_names_layer_unit_and_example(net, data):
    with torch.no_grad():
        net[0].bias[7] = float("nan")
    with pytest.raises(LayerError, match=r"unit 7 of '1' is NaN at example 0; check the checkpoint"):
        extract(net, [data], layers=["1"])
    with torch.no_grad():
        net[0].bias[7] = 0
    data[0][270, 3] = float("nan")
    with pytest.raises(LayerError, match=r"unit 0 of '1' is NaN at example 270"):
        extract(net, batches(data, 64), layers=["1"])


def test_bad_requests_are_refused(net, data):
    with pytest.raises(DataError, match="the loader gave none; check the split"):
        extract(net, [], layers=["1"])
    with pytest.raises(DataError, match="an iterator can be read once"):
        extract(net, iter([data]), layers=["1"], settings=ReadingSettings(binarizer="median"))
    assert extract(net, iter([data]), layers=["1"]) == extract(net, [data], layers=["1"])
    with pytest.raises(LayerError, match="at least one layer"):
        extract(net, [data], layers=[])
    with pytest.raises(LayerError, match=r"no layer '9' in Sequential; there is: 0, 1, 2, 3"):
        extract(net, [data], layers=["9"])
    bits = extract(net, [data], layers=["1"])
    with pytest.raises(ShapeError, match="pass layers or like, not both"):
        extract(net, [data], layers=["1"], like=bits)
    other = nn.Sequential(nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 5))
    with pytest.raises(ShapeError, match=r"got 5 labels and \(8,\) units; use the graph of this network"):
        extract(other, [data], like=bits)
    six = nn.Sequential(nn.Unflatten(1, (1, 2, 2, 2, 2)), nn.Flatten(), nn.Linear(16, 5))
    with pytest.raises(LayerError, match=r"\(example, token, unit\); '0' gives \(256, 1, 2, 2, 2, 2\); choose another"):
        extract(six, [data], layers=["0"])


def test_fitted_thresholds_do_not_depend_on_how_many_layers_there_is_room_for(net, data, monkeypatch):
    whole = extract(net, batches(data, 50), layers=["0", "1", "3"], settings=ReadingSettings(binarizer="median"))
    monkeypatch.setattr(extraction, "FIT_BYTES", 1)
    assert (
        extract(net, batches(data, 50), layers=["0", "1", "3"], settings=ReadingSettings(binarizer="median")) == whole
    )


def test_thresholds_are_fitted_to_a_choice_of_many_examples(net, data, monkeypatch):
    monkeypatch.setattr(extraction, "FIT_EXAMPLES", 100)
    some = [
        extract(net, batches(data, size), layers=["1"], settings=ReadingSettings(binarizer="median"))
        for size in (1, 300)
    ]
    assert some[0] == some[1]
    assert (
        extract(net, [data], layers=["1"], settings=ReadingSettings(binarizer="median"), options=RunOptions(seed=1))
        != some[0]
    )
    assert some[0].to_bool("1").mean(axis=0) == pytest.approx(0.5, abs=0.2)


def test_an_estimate_says_what_an_extraction_does(net, data):
    expected = extract(net, [data], layers=["0", "1"])
    found = estimate(net, batches(data, 64), layers=["0", "1"])
    assert (found.examples, found.forwards, found.nodes) == (N, 2, len(expected.nodes))
    assert (found.pairs, found.bytes) == (69 * 68 // 2, expected.words.nbytes)
    assert found.seconds > 0
    assert found.to_dict()["nodes"] == 69
    rough = estimate(net, batches(data, 64), layers=["0", "1"], packs=False)
    assert replace(rough, seconds=found.seconds) == found
    assert estimate(net, [data], layers=["1"], settings=ReadingSettings(binarizer="median")).forwards == 4
    assert estimate(net, [data], layers=["1"], settings=ReadingSettings(max_examples=100)).examples == 100
    assert estimate(net, [data], like=expected).nodes == 69
    with pytest.raises(DataError, match="the loader gave none"):
        estimate(net, [], layers=["1"])
    with pytest.raises(DataError, match="an iterator can be read once"):
        estimate(net, iter([data]), layers=["1"])

    class Unknown:
        def __iter__(self):
            return iter(batches(data, 64))

    found = estimate(net, Unknown(), layers=["1"])
    assert (found.examples, found.forwards, found.bytes, found.seconds) == (None, None, None, None)
    assert found.nodes == 37


def test_labels_are_optional(net, data):
    assert extract(net, [data[0]], layers=["1"]).correct is None
    assert np.array_equal(extract(net, [data[0]], layers=["1"]).words, extract(net, [data], layers=["1"]).words)


@pytest.mark.parametrize("spoil", [lambda y: y[:, None], lambda y: y + 3, lambda y: y.float() + 0.7, lambda y: y - 1])
def test_labels_that_are_not_one_class_per_example_are_refused(net, data, spoil):
    with pytest.raises(DataError, match=r"true labels are one class from 0 to 4 per example; got torch"):
        extract(net, [(data[0], spoil(data[1]))], layers=["1"])


def test_a_batch_or_a_quantile_out_of_range_is_refused(net, data):
    with pytest.raises(ConfigError, match="at least 1 example; got batch=0"):
        extract(net, [data], layers=["1"], options=RunOptions(batch=0))
    with pytest.raises(ConfigError, match=r"inside \(0, 1\); got 2"):
        extract(net, [data], layers=["1"], settings=ReadingSettings(quantile=2.0))
