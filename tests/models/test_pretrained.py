"""Networks from a local folder: its weights, and nothing else, are used."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from ndg import models
from ndg.activations.batches import forward
from ndg.config import Bert, DistilBert, Roberta, TransFG, ViT
from ndg.data.inputs import TEXT, Form
from ndg.errors import CheckpointError, ConfigError, ShapeError
from ndg.models import checkpoint, pretrained

SHARED = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 16}
WORDS = {"vocab_size": 40, "max_position_embeddings": 20}
IMAGES = {**SHARED, "image_size": 16, "patch_size": 4, "num_channels": 3}
MAKERS = {
    "bert": lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**SHARED, **WORDS)),
    "roberta": lambda: transformers.RobertaForMaskedLM(transformers.RobertaConfig(**SHARED, **WORDS)),
    "distilbert": lambda: transformers.DistilBertModel(
        transformers.DistilBertConfig(**WORDS, dim=12, n_layers=2, n_heads=3, hidden_dim=16)
    ),
    "vit": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**IMAGES)),
    "vit, bare": lambda: transformers.ViTModel(transformers.ViTConfig(**IMAGES)),
}
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


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder per maker, with the network written there."""
    root = tmp_path_factory.mktemp("pretrained")
    written = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, make in MAKERS.items():
            network = make().eval()
            network.save_pretrained(root / name)
            written[name] = (root / name, network)
    pixels = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2]}
    (root / "vit" / "preprocessor_config.json").write_text(json.dumps(pixels))
    return written


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
    _set(folder, **({"dropout": 0.3, "attention_dropout": 0.2} if name == "distilbert" else DROPOUT))
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


def test_weights_of_other_heads_and_of_older_versions_are_left_out(folders, tmp_path):
    for name, prefix in (("bert", "bert."), ("vit", "vit."), ("distilbert", "")):
        where, settings, form = NETWORKS[name]
        folder = shutil.copytree(folders[where][0], tmp_path / name)
        inside = [
            f"{prefix}{each}" for each in ("embeddings.position_ids", "embeddings.mask_token", "pooler.dense.bias")
        ]
        _put(folder, *inside, "cls.predictions.bias", "lm_head.dense.weight", "vocab_projector.bias", "decoder.0.bias")
        one, two = (models.build(replace(settings, pretrained=str(f)), form, 3, 0) for f in (folder, folders[where][0]))
        assert all(torch.equal(two.state_dict()[key], value) for key, value in one.state_dict().items())


@pytest.mark.parametrize("name", ["vit", "vit, bare", "transfg", "distilbert", "roberta"])
def test_a_layer_more_than_the_config_says_is_refused(name, folders, tmp_path):
    where, settings, form = NETWORKS[name]
    folder = shutil.copytree(folders[where][0], tmp_path / "folder")
    _set(folder, **{"n_layers" if name == "distilbert" else "num_hidden_layers": 1})
    with pytest.raises(CheckpointError, match=r"only weights of its config\.json; 16 have no place"):
        models.build(replace(settings, pretrained=str(folder)), form, 3, seed=0)


@pytest.mark.parametrize(
    ("settings", "where", "form", "error", "message"),
    [
        (Roberta(), "bert", FORM, ConfigError, r"model\.name=roberta needs .* 'bert'; use model\.name=bert"),
        (Bert(), "distilbert", FORM, ConfigError, r"of the bert family; .* 'distilbert'; use model\.name=distilbert"),
        (TransFG(), "roberta", SHAPE, ConfigError, r"model\.name=transfg needs .* vit family; .*use model\.name=rob"),
        (Bert(), "vit", FORM, ConfigError, r"of the family 'vit'; use model\.name=vit or transfg"),
        (Bert(), "bert", replace(FORM, vocabulary=41), ShapeError, r"the data have 41, .*bert knows 40; set data\.tok"),
        (Bert(), "bert", FORM_1, ShapeError, r"its own tokenizer; .* with token 1, .*bert with 0; .*data\.tokenizer="),
        (Roberta(), "roberta", FORM, ShapeError, r"its own tokenizer; .* with token 0, .*roberta with 1; set data"),
        (Bert(), "bert", replace(FORM, shape=(21,)), ShapeError, r"have 21, .*has 20; set data\.length to at most 20"),
        (Roberta(), "roberta", replace(FORM_1, shape=(19,)), ShapeError, r"have 19, .*has 18; .* at most 18"),
        (ViT(), "vit", Form.of((1, 16, 16)), ShapeError, r"images of 3 channels; the data have 1; use such images"),
        (ViT(), "vit", Form.of((3, 16, 18)), ShapeError, r"patches of 4 on 16 x 18 pixels; set data\.size or data\.c"),
        (TransFG(stride=5), "vit", SHAPE, ConfigError, r"model\.stride must be at most .*got 5 and patches of 4 x 4"),
    ],
)
def test_folders_that_do_not_fit_the_config_or_the_data_are_named(settings, where, form, error, message, folders):
    with pytest.raises(error, match=message):
        models.build(replace(settings, pretrained=str(folders[where][0])), form, 3, seed=0)


class Bomb:
    """Pickle with a side effect."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_pickled_weights_are_refused_unread(folders, tmp_path):
    folder = shutil.copytree(folders["bert"][0], tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "gone off")))
    with pytest.raises(
        ConfigError, match=r"weights in model\.safetensors, since pickles are never loaded; .* has none"
    ):
        models.build(Bert(pretrained=str(folder)), FORM, 3, seed=0)
    assert not (tmp_path / "gone off").exists()


def test_of_a_config_only_sizes_are_taken(folders, tmp_path):
    folder = shutil.copytree(folders["bert"][0], tmp_path / "hostile")
    document = json.loads((folder / "config.json").read_text())
    more = {
        "auto_map": {"AutoModel": "code.Model"},
        "attn_implementation": "someone/kernels",
        "_attn_implementation": "someone/kernels",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "is_decoder": True,
        "torch_dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps({**document, **more}))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'gone off')!r}, 'w')")
    one, two = (models.build(Bert(pretrained=str(f)), FORM, 3, seed=0) for f in (folder, folders["bert"][0]))
    with torch.no_grad():
        assert torch.equal(forward(one, examples(FORM)), forward(two, examples(FORM)))
    assert not (tmp_path / "gone off").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: (f / "config.json").unlink(), ConfigError, r"must be a folder with config\.json; .*cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), ConfigError, r"config\.json cannot be read \(JSONDecodeError"),
        (lambda f: (f / "config.json").write_text("[1]"), ConfigError, r"config\.json contains a list; use another"),
        (lambda f: _set(f, model_type="llama"), ConfigError, r"'llama'; this package knows bert, roberta, distilbert"),
        (lambda f: _set(f, hidden_size="wide"), ConfigError, r"config\.json must contain the sizes of a bert network"),
        (lambda f: _set(f, hidden_size=24), CheckpointError, r"must have complete weights that fit its config\.json"),
        (
            lambda f: _set(f, num_hidden_layers=1),
            CheckpointError,
            r"only weights .*; 16 have no place in BertModel",
        ),
        (
            lambda f: _put(f, "bert.encoder.layer.0.attention.self.distance_embedding.weight"),
            CheckpointError,
            r"1 have no place in BertModel, the first is bert\.encoder\.layer\.0\.attention\.self\.distance_embedding",
        ),
        (
            lambda f: _set(f, position_embedding_type="relative_key"),
            ConfigError,
            r"position_embedding_type of .* must be 'absolute'; got 'relative_key'.*; use another network",
        ),
        (lambda f: _set(f, num_hidden_layers=3), CheckpointError, r"16 are missing, the first is encoder\.layer\.2"),
        (lambda f: _cut(f, 100), CheckpointError, r"must have complete weights that fit its config\.json"),
        (lambda f: _cut(f, -10), CheckpointError, r"must have complete weights that fit its config\.json"),
    ],
)
def test_damaged_folders_are_refused(change, error, message, folders, tmp_path):
    folder = shutil.copytree(folders["bert"][0], tmp_path / "damaged")
    change(folder)
    with pytest.raises(error, match=message):
        models.build(Bert(pretrained=str(folder)), FORM, 3, seed=0)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (
            {"image_mean": [0.5], "image_std": [0.5]},
            r"image_mean of .* must be 3 numbers, one per channel; got \[0\.5\]",
        ),
        ({"image_mean": [0, 0, 0], "image_std": [1, 0, 1]}, r"image_std of .*, above 0; got \[1, 0, 1\]; correct"),
        ({"image_mean": [0, 0, 0]}, r"image_std of .* must be 3 numbers.*; got None"),
        ({"rescale_factor": 0}, r"rescale_factor of .* must be a number above 0; got 0; correct the file"),
        ({"rescale_factor": "1/255"}, r"rescale_factor of .* must be a number above 0; got '1/255'"),
        ({"rescale_offset": True}, r"asks for rescale_offset as well; set it to false"),
        ([], r"preprocessor_config\.json must be a JSON object; .* contains a list"),
    ],
)
def test_a_wrong_description_of_pixels_is_refused(pixels, message, folders, tmp_path):
    folder = shutil.copytree(folders["vit"][0], tmp_path / "vit")
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    with pytest.raises(ConfigError, match=message):
        models.build(ViT(pretrained=str(folder)), SHAPE, 3, seed=0)


@pytest.mark.parametrize(
    "asked",
    [
        {"rescale_factor": 1 / 255},
        {"rescale_factor": 0.00392156862745098, "do_rescale": True},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 0.5, "do_normalize": False},
        {"do_normalize": False},
    ],
)
def test_pixels_are_rescaled_as_the_image_processor_does(asked, folders, tmp_path):
    folder = shutil.copytree(folders["vit"][0], tmp_path / "vit")
    asked = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2], **asked}
    (folder / "preprocessor_config.json").write_text(json.dumps(asked))
    network = models.build(ViT(pretrained=str(folder)), SHAPE, 3, seed=0)
    values = torch.randint(0, 256, (1, 3, 20, 12), generator=torch.Generator().manual_seed(0))
    expected = values * asked.get("rescale_factor", 1 / 255) if asked.get("do_rescale", True) else values.float()
    if asked.get("do_normalize", True):
        mean, std = (torch.tensor(asked[f"image_{name}"]).view(3, 1, 1) for name in ("mean", "std"))
        expected = (expected - mean) / std
    assert torch.allclose(network.normalise(values / 255), expected, rtol=1e-5, atol=1e-5)


def test_pixels_are_left_alone_where_the_folder_says_so(folders, tmp_path):
    folder = shutil.copytree(folders["vit"][0], tmp_path / "vit")
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False, "image_mean": [1, 1, 1]}))
    network = models.build(ViT(pretrained=str(folder)), SHAPE, 3, seed=0)
    assert isinstance(network.normalise, torch.nn.Identity)


def _set(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _put(folder, *names):
    path = folder / "model.safetensors"
    more = {name: torch.ones(2) for name in names}
    safetensors.torch.save_file({**safetensors.torch.load_file(path), **more}, path, {"format": "pt"})


def _cut(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"resample": 3}, "asks for resample=3, which is not done here"),
        ({"do_center_crop": True, "crop_size": 8}, "asks for do_center_crop=true, crop_size=8"),
        ({"size": {"shortest_edge": 8}}, "asks for size={'shortest_edge': 8}"),
        ({"size": {"height": 8, "width": 8}, "resample": 2, "do_center_crop": False}, ""),
        ({"do_resize": False, "resample": 3}, ""),
    ],
)
def test_steps_of_an_image_processor_that_are_not_taken_are_logged(tmp_path, caplog, asked, told):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(asked))
    pretrained.pixels(str(tmp_path), 3)
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)
