"""Folders of pretrained networks that are refused, and the pixels that they ask for."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ndg import models
from ndg.activations.batches import forward
from ndg.config import Bert, Roberta, TransFG, ViT
from ndg.data.inputs import TEXT, Form
from ndg.errors import CheckpointError, ConfigError, ShapeError
from ndg.models import pretrained
from tests.models.folders import add, cut, edit
from tests.models.test_pretrained import NETWORKS, examples

FORM, FORM_1 = Form(TEXT, (9,), 33, 0), Form(TEXT, (9,), 33, 1)

SHAPE = Form.of((3, 20, 12))


def test_weights_of_other_heads_and_of_older_versions_are_left_out(folders, tmp_path):
    for name, prefix in (("bert", "bert."), ("vit", "vit."), ("distilbert", "")):
        where, settings, form = NETWORKS[name]
        folder = shutil.copytree(folders[where][0], tmp_path / name)
        inside = [
            f"{prefix}{each}" for each in ("embeddings.position_ids", "embeddings.mask_token", "pooler.dense.bias")
        ]
        add(folder, *inside, "cls.predictions.bias", "lm_head.dense.weight", "vocab_projector.bias", "decoder.0.bias")
        one, two = (models.build(replace(settings, pretrained=str(f)), form, 3, 0) for f in (folder, folders[where][0]))
        assert all(torch.equal(two.state_dict()[key], value) for key, value in one.state_dict().items())


@pytest.mark.parametrize("name", ["vit", "vit, bare", "transfg", "distilbert", "roberta"])
def test_a_layer_more_than_the_config_says_is_refused(name, folders, tmp_path):
    where, settings, form = NETWORKS[name]
    folder = shutil.copytree(folders[where][0], tmp_path / "folder")
    edit(folder, **{"n_layers" if name == "distilbert" else "num_hidden_layers": 1})
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
        (
            lambda f: edit(f, model_type="llama"),
            ConfigError,
            r"'llama'; this package knows bert, roberta, distilbert",
        ),
        (
            lambda f: edit(f, hidden_size="wide"),
            ConfigError,
            r"config\.json must contain the sizes of a bert network",
        ),
        (
            lambda f: edit(f, hidden_size=24),
            CheckpointError,
            r"must have complete weights that fit its config\.json",
        ),
        (
            lambda f: edit(f, num_hidden_layers=1),
            CheckpointError,
            r"only weights .*; 16 have no place in BertModel",
        ),
        (
            lambda f: add(f, "bert.encoder.layer.0.attention.self.distance_embedding.weight"),
            CheckpointError,
            r"1 have no place in BertModel, the first is bert\.encoder\.layer\.0\.attention\.self\.distance_embedding",
        ),
        (
            lambda f: edit(f, position_embedding_type="relative_key"),
            ConfigError,
            r"position_embedding_type of .* must be 'absolute'; got 'relative_key'.*; use another network",
        ),
        (
            lambda f: edit(f, num_hidden_layers=3),
            CheckpointError,
            r"16 are missing, the first is encoder\.layer\.2",
        ),
        (lambda f: cut(f, 100), CheckpointError, r"must have complete weights that fit its config\.json"),
        (lambda f: cut(f, -10), CheckpointError, r"must have complete weights that fit its config\.json"),
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


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"resample": 3}, "asks for resample=3, which is not done here"),
        ({"do_center_crop": True, "crop_size": 8}, "asks for do_center_crop=true, crop_size=8"),
        ({"size": {"shortest_edge": 8}}, "asks for size={'shortest_edge': 8}"),
        ({"size": {"height": 8, "width": 8}, "resample": 2, "do_center_crop": False}, ""),
        ({"do_resize": False, "resample": 3}, "asks for do_resize=false, which is not done here"),
    ],
)
def test_steps_of_an_image_processor_that_are_not_taken_are_logged(tmp_path, caplog, asked, told):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(asked))
    pretrained.pixels(str(tmp_path), 3)
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)
