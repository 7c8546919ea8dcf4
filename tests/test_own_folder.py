"""Networks of the user's own in a Hugging Face folder."""
# ruff: noqa: F811  (a fixture is imported, and named by its tests)

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ndg.config import Data, Experiment
from ndg.data import Texts, Tokenizer
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from tests.test_own_network import align, last, place  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders as `save_pretrained` writes them: a text classifier, an encoder, an image classifier; and csv texts."""
    import transformers

    place = tmp_path_factory.mktemp("hf")
    (place / "data").mkdir()
    texts = [
        (f"the {noun} is {word}", label)
        for noun in "abcdefghijklmnopqrstuvwx"
        for word, label in zip("uvwxyz", "011010", strict=True)
    ]
    rows = [f"{text},{label}" for text, label in texts]
    (place / "data" / "texts.csv").write_text("\n".join(["text,label", *rows]))
    words = Tokenizer.trained(Texts(tuple(text for text, _ in texts)).first, vocabulary=280)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(0)
    bert = transformers.BertConfig(vocab_size=words.vocabulary, max_position_embeddings=24, num_labels=2, **small)
    vit = transformers.ViTConfig(image_size=8, patch_size=4, num_channels=1, num_labels=10, **small)
    transformers.BertForSequenceClassification(bert).save_pretrained(place / "classifier")
    transformers.BertModel(bert).save_pretrained(place / "encoder")
    transformers.ViTForImageClassification(vit).save_pretrained(place / "images")
    (place / "images" / "preprocessor_config.json").write_text('{"image_mean": [0.5], "image_std": [0.25]}')
    for name in ("classifier", "encoder"):
        words.save(place / name)
        (place / name / "tokenizer_config.json").write_text('{"pad_token": "[PAD]", "model_max_length": 24}')
    return {name: place / name for name in ("classifier", "encoder", "images", "data")}


TEXTS = ("data.name=texts", "data.length=20", "extract.compute_batch=32", "criterion.alpha=2")


def test_a_text_classifier_of_a_folder_is_aligned(folders, place, capsys):
    words = ["--hf", str(folders["classifier"]), "--layers", "bert.pooler.activation", *TEXTS]
    assert align(place, *words, f"data.dir={folders['data']}") == 0
    record = last(place)
    assert record["name"] == "classifier"
    assert record.figure("results.network.type").endswith("BertForSequenceClassification")
    assert record.figure("results.data.classes") == 2
    assert set(record["results"]["scores"]) == {"gndi", "conductance"}
    assert set(record["results"]["trial"]) == {"q", "g1", "g2"}


def test_an_encoder_of_a_folder_has_a_graph_of_neurons_alone(folders, place):
    words = ["--hf", str(folders["encoder"]), "--layers", r"encoder\.layer\.\d+\.intermediate\.dense", *TEXTS]
    assert align(place, *words, f"data.dir={folders['data']}", "extract.tokens=mean") == 0
    record = last(place)
    assert NDG.load(record.folder / "ndg.json").nodes.labels == 0
    assert record.figure("results.data.classes") is None


def test_an_image_classifier_of_a_folder_sees_normalised_pixels(folders, place):
    from transformers import ViTForImageClassification

    from ndg.locations import Locations
    from ndg.workflows.own_network import of_folder

    subject, experiment = of_folder(str(folders["images"]), Experiment(), Locations.choose())
    assert experiment.data.size is None  # the digits are numbers of that size
    from ndg import data

    pixels, labels = next(iter(data.load(Experiment().data).test.loader()))
    seen, same = next(iter(subject.loaders["test"]))
    assert torch.equal(labels, same)
    assert torch.allclose(seen, (pixels - 0.5) / 0.25)
    assert isinstance(subject.network, ViTForImageClassification)
    words = ["--hf", str(folders["images"]), "--layers", "vit.layernorm", "data.name=digits", "trial.interventions=[]"]
    assert align(place, *words, "data.limit=100") == 0


@pytest.fixture
def named(folders, place):
    """A function that gives the subject of the text classifier, whose labels have these names, on named classes."""
    from ndg.locations import Locations
    from ndg.workflows.own_network import of_folder

    def subject(labels, classes):
        folder = shutil.copytree(folders["classifier"], place / "named", dirs_exist_ok=True)
        change(folder, id2label=dict(enumerate(labels)), label2id={label: n for n, label in enumerate(labels)})
        header, *rows = (folders["data"] / "texts.csv").read_text().splitlines()
        written = [f"{text},{classes[int(label)]}" for text, label in (row.rsplit(",", 1) for row in rows)]
        (place / "texts.csv").write_text("\n".join([header, *written]))
        experiment = Experiment(data=Data(name="texts", length=20, dir=str(place)))
        return of_folder(str(folder), experiment, Locations.choose())[0]

    return subject


def change(folder: Path, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def labels_of(subject):
    return torch.cat([labels for _, labels in subject.loaders["train"]])


def test_classes_are_numbered_as_the_network_numbers_its_labels(named, caplog):
    straight = named(["not_good", "very good"], ["not_good", "very good"])
    turned = named(["Very Good ", "NOT-good"], ["not_good", "very good"])
    assert straight.class_names == ("not_good", "very good")
    assert turned.class_names == ("very good", "not_good")
    assert torch.equal(labels_of(turned), 1 - labels_of(straight))
    assert 0 < labels_of(straight).sum() < len(labels_of(straight))
    inputs = [torch.cat([batch["input_ids"] for batch, _ in each.loaders["train"]]) for each in (straight, turned)]
    assert torch.equal(*inputs)
    assert not caplog.records


def test_labels_without_a_name_or_with_no_name_of_the_data_have_its_order(named, caplog):
    plain = named(["LABEL_0", "LABEL_1"], ["bad", "good"])
    assert plain.class_names == ("bad", "good")
    assert not caplog.records
    foreign = named(["positive", "negative"], ["0", "1"])
    assert foreign.class_names == ("0", "1")
    assert torch.equal(labels_of(foreign), labels_of(plain))
    (record,) = caplog.records
    assert "has the labels positive, negative" in record.getMessage()
    assert "the classes 0, 1: no name is the same, so the first label is taken to be the first" in record.getMessage()


@pytest.mark.parametrize("labels", [["bad", "neutral"], ["bad", "Bad"], ["LABEL_0", "good"]])
def test_labels_of_which_some_are_the_classes_are_refused(named, labels):
    with pytest.raises(ConfigError, match=rf"labels {labels[0]}, {labels[1]}, .* classes bad, good; correct id2label"):
        named(labels, ["bad", "good"])


def test_a_folder_is_read_by_its_own_tokenizer(folders, place, capsys):
    wordless = shutil.copytree(folders["classifier"], place / "wordless")
    (wordless / "tokenizer.json").unlink()
    words = ["--layers", "bert.pooler.activation", *TEXTS, f"data.dir={folders['data']}"]
    assert align(place, "--hf", str(wordless), *words) == 2
    assert "a network knows all tokens of its tokenizer" in capsys.readouterr().err
    strange = shutil.copytree(folders["classifier"], place / "strange")
    change(strange, pad_token_id=3)
    assert align(place, "--hf", str(strange), *words) == 2
    message = capsys.readouterr().err
    assert "needs its own tokenizer; the data are padded with token 0, the network in" in message
    assert f"set data.tokenizer={strange}" in message


def test_a_folder_whose_weights_do_not_fit_its_config_is_refused(folders, place, capsys):
    headless = shutil.copytree(folders["encoder"], place / "headless")
    change(headless, architectures=["BertForSequenceClassification"])
    words = ["--layers", "bert.pooler.activation", *TEXTS, f"data.dir={folders['data']}"]
    assert align(place, "--hf", str(headless), *words) == 2
    assert "must have all weights of its BertForSequenceClassification; 2 are missing" in capsys.readouterr().err
    deeper = shutil.copytree(folders["classifier"], place / "deeper")
    path = deeper / "model.safetensors"
    more = {"bert.encoder.layer.1.output.dense.bias": torch.ones(16)}
    safetensors.torch.save_file({**safetensors.torch.load_file(path), **more}, path, {"format": "pt"})
    assert align(place, "--hf", str(deeper), *words) == 2
    assert "1 have no place in BertForSequenceClassification, the first is bert.encoder" in capsys.readouterr().err
    relative = shutil.copytree(folders["classifier"], place / "relative")
    change(relative, position_embedding_type="relative_key")
    assert align(place, "--hf", str(relative), *words) == 2
    assert "must be 'absolute'; got 'relative_key'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_is_refused(folders, place, capsys):
    texts = [*TEXTS, f"data.dir={folders['data']}"]
    assert align(place, "--hf", str(folders["images"]), "--layers", "vit.layernorm", "data.name=iris") == 2
    capsys.readouterr()
    assert align(place, "--hf", str(place), *texts) == 2
    assert "--hf takes a folder that save_pretrained of transformers wrote" in capsys.readouterr().err
    pickled = place / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((folders["classifier"] / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"a pickle that must not be read")
    assert align(place, "--hf", str(pickled), *texts) == 2
    assert "pickles are never loaded" in capsys.readouterr().err
    damaged = place / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text((folders["classifier"] / "config.json").read_text())
    whole = (folders["classifier"] / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert align(place, "--hf", str(damaged), *texts) == 2
    assert "must have complete weights" in capsys.readouterr().err
    few = (folders["data"] / "texts.csv").read_text().splitlines()
    (place / "three").mkdir()
    rows = [row if number % 3 else row.rpartition(",")[0] + ",2" for number, row in enumerate(few[1:])]
    (place / "three" / "texts.csv").write_text("\n".join([few[0], *rows]))
    words = ["--hf", str(folders["classifier"]), "--layers", "bert.pooler.activation", *TEXTS]
    assert align(place, *words, f"data.dir={place / 'three'}") == 2
    assert "as many classes as the network tells apart; texts has 3 (0, 1, 2)" in capsys.readouterr().err
