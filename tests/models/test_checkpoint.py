"""Checkpoints are complete or rejected, and restore the saved network."""

import json

import pytest
import safetensors.torch
import torch

from ndg import models
from ndg.activations.batches import forward
from ndg.config import CNN, MLP, ViT
from ndg.data.inputs import Form
from ndg.errors import CheckpointError
from ndg.models import checkpoint

SHAPE = (1, 8, 8)
SMALL = {
    "mlp": MLP(widths=[20], latent=6),
    "cnn": CNN(channels=[3, 4], width=12, latent=6),
    "vit": ViT(width=8, depth=1, heads=2, mlp=8, latent=6),
}


@pytest.fixture
def saved(tmp_path):
    """File of an MLP of four classes."""
    path = tmp_path / "model.safetensors"
    network = models.build(SMALL["mlp"], SHAPE, 4, seed=3)
    checkpoint.save(path, network, SMALL["mlp"], Form.of(SHAPE), 4, {"epoch": 2})
    return path


@pytest.mark.parametrize("name", SMALL)
def test_a_loaded_network_computes_what_the_saved_one_did(name, tmp_path):
    network = models.build(SMALL[name], SHAPE, 4, seed=3)
    checkpoint.save(tmp_path / "model.safetensors", network, SMALL[name], Form.of(SHAPE), 4, {"epoch": 2})
    loaded, about = checkpoint.load(tmp_path / "model.safetensors")
    inputs = torch.rand(5, *SHAPE)
    with torch.no_grad():
        assert torch.equal(forward(network, inputs), forward(loaded, inputs))
    assert loaded.latent_layer == network.latent_layer
    assert not loaded.training
    assert about["epoch"] == 2


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint .*x\.safetensors does not exist; train first"):
        checkpoint.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="must be a whole safetensors file; it is truncated or damaged"):
        checkpoint.load(saved)


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="has no description, so another program wrote it"):
        checkpoint.load(path)
    for about in ({}, {"model": {"name": "mlp", "colour": 3}, "form": {}, "classes": 4}):
        checkpoint.write(path, {}, about)
        with pytest.raises(CheckpointError, match=r"must describe its network \(model, form, classes\)"):
            checkpoint.load(path)


def test_weights_of_another_network_are_refused_and_change_nothing(saved):
    tensors, _ = checkpoint.read(saved)
    wider = models.build(MLP(widths=[21], latent=6), SHAPE, 4, seed=0)
    before = {name: tensor.clone() for name, tensor in wider.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another network: expected encoder\.fc1\.weight of shape \(21, 64\)"):
        checkpoint.fill(wider, tensors, saved)
    assert all(torch.equal(before[name], tensor) for name, tensor in wider.state_dict().items())
    with pytest.raises(CheckpointError, match=r"expected encoder\.conv1\.weight of shape .*, got none"):
        checkpoint.fill(models.build(SMALL["cnn"], SHAPE, 4, seed=0), tensors, saved)
    deeper = models.build(MLP(widths=[20, 20], latent=6), SHAPE, 4, seed=0)
    with pytest.raises(CheckpointError, match=r"of another network"):
        checkpoint.fill(models.build(SMALL["mlp"], SHAPE, 4, seed=0), deeper.state_dict(), saved)


def test_another_number_of_classes_is_refused(saved):
    tensors, about = checkpoint.read(saved)
    ten = models.build(SMALL["mlp"], SHAPE, 10, seed=0)
    message = r"expected decoder\.out\.weight of shape \(10, 20\), got \(4, 20\); use the config"
    with pytest.raises(CheckpointError, match=message):
        checkpoint.fill(ten, tensors, saved)
    checkpoint.write(saved, tensors, {**about, "classes": 10})
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(saved)


def test_any_flipped_bit_is_found(saved):
    """Of the header, whose names and numbers may stay readable, and of the weights."""
    content = saved.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for at in [*range(0, start, 7), *range(start, len(content), 997), len(content) - 1]:
        saved.write_bytes(content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :])
        with pytest.raises(CheckpointError, match=r"must be a whole safetensors file; it is|must describe its network"):
            checkpoint.load(saved)


def test_exchanged_weights_are_found(saved):
    raw = saved.read_bytes()
    whole = raw[: 8 + int.from_bytes(raw[:8], "little")]
    weights = raw[len(whole) :]
    saved.write_bytes(whole + weights[4:8] + weights[:4] + weights[8:])
    with pytest.raises(CheckpointError, match="its content does not match its checksum; copy it again or train again"):
        checkpoint.read(saved)


def test_equal_networks_have_equal_files(saved, tmp_path):
    tensors, about = checkpoint.read(saved)
    for number in range(4):
        checkpoint.write(tmp_path / str(number), tensors, about)
        assert (tmp_path / str(number)).read_bytes() == saved.read_bytes()


def without_description_checksum(path):
    """Write a file as earlier versions did, with one checksum of everything."""
    tensors, about = checkpoint.read(path)
    text = json.dumps(about)
    text = f'{text[:-1]}, "checksum": "{checkpoint._checksum(tensors, text)}"}}'
    safetensors.torch.save_file(tensors, path, {"ndg": text})
    return about


@pytest.mark.parametrize("earlier", [False, True])
def test_no_network_is_built_from_a_damaged_description(earlier, saved, monkeypatch):
    """A flipped bit can make a width a million times as large."""
    if earlier:
        without_description_checksum(saved)
    raw = saved.read_bytes()
    assert raw.index(b"[20], ") < raw.index(b'"data_offsets"')
    saved.write_bytes(raw.replace(b"[20], ", b"[60], ", 1))
    built = []
    monkeypatch.setattr(models, "build", lambda *arguments: built.append(arguments))
    with pytest.raises(CheckpointError, match="its content does not match its checksum"):
        checkpoint.load(saved)
    assert not built


def test_damaged_weights_are_told_in_place_of_an_error_that_they_cause(saved):
    raw = bytearray(saved.read_bytes())
    raw[-1] ^= 1
    saved.write_bytes(raw)
    with pytest.raises(CheckpointError, match="its content does not match its checksum"), checkpoint.reading(saved):
        raise KeyError
    raw[-1] ^= 1
    saved.write_bytes(raw)
    with pytest.raises(KeyError), checkpoint.reading(saved):
        raise KeyError


def test_a_file_of_an_earlier_version_is_compared_with_its_one_checksum(saved):
    about = without_description_checksum(saved)
    assert checkpoint.load(saved)[1] == about
    raw = bytearray(saved.read_bytes())
    raw[-1] ^= 1
    saved.write_bytes(raw)
    with pytest.raises(CheckpointError, match="its content does not match its checksum"):
        checkpoint.load(saved)


def test_a_file_of_an_earlier_version_has_no_checksum_and_is_read(saved):
    tensors, about = checkpoint.read(saved)
    safetensors.torch.save_file(tensors, saved, {"ndg": json.dumps(about)})
    again, described = checkpoint.read(saved)
    assert described == about
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())
    checkpoint.load(saved)
