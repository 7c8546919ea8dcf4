"""Networks from a local folder: its weights, and nothing else, are used."""

import json
import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import transformers

from ndg import models
from ndg.activations.batches import forward
from ndg.config import Bert, DistilBert, Roberta, TransFG, ViT
from ndg.data.inputs import TEXT, Form
from ndg.errors import CheckpointError, ConfigError, ShapeError
from ndg.models import checkpoint
from tests.models.folders import SHARED, WORDS, edit

TEXTS = {"bert": Bert, "roberta": Roberta, "distilbert": DistilBert}
FORM, FORM_1 = Form(TEXT, (9,), 33, 0), Form(TEXT, (9,), 33, 1)
FORMS = {"bert": FORM, "roberta": FORM_1, "distilbert": FORM}
SHAPE = Form.of((3, 20, 12))
NETWORKS = {
    **{name: (name, kind(latent=5), FORMS[name]) for name, kind in TEXTS.items()},
    "bert, linear": ("bert", Bert(head="linear", pooling="mean"), FORM),
    "vit": ("vit", ViT(latent=5), SHAPE),
    "vit, bare": ("vit, bare", ViT(latent=5, head="relu"), SHAPE),
    "transfg": ("vit", TransFG(stride=3, latent=5), SHAPE),
}


def examples(form, count=4):
    generator = torch.Generator().manual_seed(0)
    if form.kind != TEXT:
        return torch.rand(count, *form.shape, generator=generator)
    mask = torch.arange(form.shape[0]) < (3 + torch.arange(count))[:, None]
    ids = torch.randint(2, form.vocabulary, (count, form.shape[0]), generator=generator)
    return {"input_ids": torch.where(mask, ids, form.padding), "attention_mask": mask.long()}


def built(folders, name, seed=0, **changes):
    where, settings, form = NETWORKS[name]
    settings = replace(settings, pretrained=str(folders[where][0]), **changes)
    return settings, form, models.build(settings, form, 3, seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_brings_the_network_back_without_the_folder(name, folders, tmp_path):
    where, settings, form = NETWORKS[name]
    folder = shutil.copytree(folders[where][0], tmp_path / "pretrained")
    settings = replace(settings, pretrained=str(folder))
    network = models.build(settings, form, 3, seed=5)
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, network, settings, form, 3, {"epoch": 1})
    shutil.rmtree(folder)
    loaded, about = checkpoint.load(path)
    with torch.no_grad():
        assert torch.equal(forward(loaded, examples(form)), forward(network, examples(form)))
    assert about["architecture"] == json.loads(json.dumps(network.architecture))
    assert loaded.pretrained_parts == network.pretrained_parts
    assert (loaded.latent_layer, loaded.second_layer) == (network.latent_layer, network.second_layer)
    with pytest.raises(ConfigError, match=r"must be a folder with config\.json.*cannot be read .*use another folder"):
        models.build(settings, form, 3, seed=5)


def test_a_checkpoint_that_lost_its_architecture_is_refused(folders, tmp_path):
    settings, form, network = built(folders, "bert")
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, network, settings, form, 3, {})
    tensors, about = checkpoint.read(path)
    for wrong in (None, {}, {"transformer": {**network.architecture["transformer"], "hidden_size": "wide"}}):
        changed = {key: value for key, value in about.items() if key != "architecture"}
        checkpoint.write(path, tensors, changed if wrong is None else {**changed, "architecture": wrong})
        with pytest.raises(CheckpointError, match=r"must describe its network \(model, form, classes\)"):
            checkpoint.load(path)


@pytest.mark.parametrize("name", TEXTS)
def test_the_states_of_a_text_are_those_of_the_pretrained_network(name, folders):
    _, form, network = built(folders, name)
    columns = examples(form)
    original = folders[name][1].base_model
    with torch.no_grad():
        state = original(**columns).last_hidden_state[:, 0]
        assert torch.allclose(network.head(state), forward(network, columns), atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "vit, bare"])
def test_the_states_of_an_image_are_those_of_the_pretrained_network_on_normalised_pixels(name, folders):
    folder, original = folders[name]
    network = models.build(ViT(pretrained=str(folder), latent=5), (3, 16, 16), 3, seed=0)
    pixels = examples(Form.of((3, 16, 16)))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.5, 0.25, 0.2]))
    seen = (pixels - mean) / std if name == "vit" else pixels  # one folder says how, the other does not
    with torch.no_grad():
        state = original.base_model(seen).last_hidden_state[:, 0]
        assert torch.allclose(network.classifier(state), network(pixels), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 20, 12), (3, 16, 32)])
def test_images_of_another_size_get_interpolated_positions(shape, folders):
    folder, original = folders["vit, bare"]
    network = models.build(ViT(pretrained=str(folder), latent=5), shape, 3, seed=0)
    pixels = examples(Form.of(shape))
    with torch.no_grad():
        state = original(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]
        assert torch.allclose(network.classifier(state), network(pixels), atol=1e-5)


def test_transfg_takes_the_weights_of_a_vision_transformer(folders):
    _, _, network = built(folders, "transfg")
    given = folders["vit"][1].vit.state_dict()
    own = network.vit.state_dict()
    same = {name for name in given if name in own and torch.equal(given[name], own[name])}
    assert set(given) == set(own) == same | {"embeddings.position_embeddings"}
    assert own["embeddings.position_embeddings"].shape == (1, 1 + 6 * 3, 12)  # each 3 pixels on 20 x 12
    assert torch.equal(own["embeddings.position_embeddings"][:, 0], given["embeddings.position_embeddings"][:, 0])
    assert network.normalise.mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])


def test_names_of_weights_in_folders_of_earlier_versions_are_known(folders, tmp_path):
    folder, _ = folders["vit"]
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    older = {}
    for name, tensor in safetensors.torch.load_file(folder / "model.safetensors").items():
        older[_earlier(name)] = tensor
    assert "vit.encoder.layer.1.attention.attention.query.weight" in older
    safetensors.torch.save_file(older, old / "model.safetensors", {"format": "pt"})
    for settings in (ViT(latent=5), TransFG(stride=3, latent=5)):
        new, before = (models.build(replace(settings, pretrained=str(f)), SHAPE, 3, seed=0) for f in (folder, old))
        assert all(torch.equal(new.state_dict()[name], value) for name, value in before.state_dict().items())


def _earlier(name):
    for new, old in (
        (".layers.", ".encoder.layer."),
        ("attention.o_proj", "attention.output.dense"),
        ("attention.q_proj", "attention.attention.query"),
        ("attention.k_proj", "attention.attention.key"),
        ("attention.v_proj", "attention.attention.value"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
    ):
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize("name", NETWORKS)
def test_pretrained_parts_are_the_same_for_every_seed_and_all_else_is_drawn(name, folders):
    (_, _, one), (_, _, two) = (built(folders, name, seed) for seed in (0, 1))
    (part,) = one.pretrained_parts
    for key, value in one.state_dict().items():
        drawn = not key.startswith((part + ".", "normalise.")) and value.std() > 0
        assert torch.equal(value, two.state_dict()[key]) != drawn, key
    assert len([key for key, _ in one.named_parameters() if not key.startswith(part + ".")]) in (2, 4)


def test_building_says_nothing_and_leaves_generators_and_the_package_as_they_were(folders, capfd):
    from transformers.utils import logging

    before = torch.get_rng_state(), logging.get_verbosity(), logging.is_progress_bar_enabled()
    for name in NETWORKS:
        built(folders, name)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (logging.get_verbosity(), logging.is_progress_bar_enabled())
    assert capfd.readouterr() == ("", "")


DROPOUT = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pretrained_network_keeps_its_sizes_and_dropout_and_the_head_has_that_of_the_config(name, folders, tmp_path):
    where, settings, form = NETWORKS[name]
    folder = shutil.copytree(folders[where][0], tmp_path / "folder")
    edit(folder, **({"dropout": 0.3, "attention_dropout": 0.2} if name == "distilbert" else DROPOUT))
    for rate in (0.0, 0.45):
        network = models.build(replace(settings, pretrained=str(folder), dropout=rate), form, 3, seed=0)
        path = tmp_path / "model.safetensors"
        checkpoint.save(path, network, replace(settings, pretrained=str(folder), dropout=rate), form, 3, {})
        for one in (network, checkpoint.load(path)[0]):
            (part,) = one.pretrained_parts
            inside = {module.p for module in one.get_submodule(part).modules() if isinstance(module, torch.nn.Dropout)}
            everywhere = {module.p for module in one.modules() if isinstance(module, torch.nn.Dropout)}
            assert 0.3 in inside
            assert everywhere - inside == ({rate} if rate else set())
            kept = one.architecture["transformer"]
            assert kept["dropout" if name == "distilbert" else "hidden_dropout_prob"] == 0.3
            assert kept["attention_dropout" if name == "distilbert" else "attention_probs_dropout_prob"] == 0.2
            assert kept["dim" if name == "distilbert" else "hidden_size"] == 12


def test_a_title_names_the_folder(folders):
    titles = {name: built(folders, name)[2].title for name in NETWORKS}
    assert titles["roberta"] == (
        "RoBERTa (Liu et al. 2019) of 2 layers; head of 5 sigmoid latents on the first token, from roberta"
    )
    assert titles["bert, linear"].endswith("linear head on the mean of the tokens, from bert")
    assert titles["vit"].endswith("without selection of parts, patches of 4; head of 5 sigmoid latents, from vit")
    assert titles["transfg"].endswith("contrastive loss 1; head of 5 sigmoid latents, from vit")


@pytest.mark.parametrize(("vocabulary", "fits"), [(9900, True), (9899, False), (10000, True), (400, False)])
def test_a_tokenizer_has_about_as_many_tokens_as_the_network_knows(vocabulary, fits, tmp_path):
    _large(tmp_path, 10_000)
    form = Form(TEXT, (9,), vocabulary, 0)
    if fits:
        models.build(Bert(pretrained=str(tmp_path)), form, 3, seed=0)
    else:
        with pytest.raises(ShapeError, match=rf"its own tokenizer; .* {vocabulary:,} tokens, .* knows 10,000; set"):
            models.build(Bert(pretrained=str(tmp_path)), form, 3, seed=0)


def test_a_small_network_may_be_wider_than_its_tokenizer_by_some_rows(tmp_path):
    _large(tmp_path, 200)
    models.build(Bert(pretrained=str(tmp_path)), Form(TEXT, (9,), 136, 0), 3, seed=0)
    with pytest.raises(ShapeError, match=r"have 135 tokens, .* knows 200"):
        models.build(Bert(pretrained=str(tmp_path)), Form(TEXT, (9,), 135, 0), 3, seed=0)


def _large(folder, rows):
    config = transformers.BertConfig(**{**SHARED, **WORDS, "vocab_size": rows})
    transformers.BertModel(config).save_pretrained(folder)
