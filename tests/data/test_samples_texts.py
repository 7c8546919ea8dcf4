"""Generated texts: readable, reproducible, and with a signal to learn."""

import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.data.samples import SAMPLES

NAMES = ("sst2", "snli", "allnli", "mqnli", "sick", "devign", "texts")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_what_is_written(tmp_path, name):
    for folder, seed in (("first", 0), ("again", 0), ("other", 1)):
        SAMPLES[name](tmp_path / folder, seed)
    assert contents(tmp_path / "first") == contents(tmp_path / "again")
    assert contents(tmp_path / "first") != contents(tmp_path / "other")


def bag(examples):
    """Tokens of each text, separately for first and second sentence."""
    batch, vocabulary = examples.inputs.batch(), examples.inputs.vocabulary
    places = batch["input_ids"] + vocabulary * batch.get("token_type_ids", 0)
    return torch.zeros(len(examples), 2 * vocabulary).scatter_(1, places, batch["attention_mask"].float())


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_read_and_can_be_learnt(tmp_path, name):
    from sklearn.linear_model import LogisticRegression

    SAMPLES[name](tmp_path, 0)
    assert data.absent(Data(name=name, dir=str(tmp_path))) is None
    splits = data.load(Data(name=name, dir=str(tmp_path), length=64, vocabulary=600))
    assert len(splits.train) >= 200
    assert splits.form.sentences == (2 if "nli" in name or name == "sick" else 1)
    if name != "texts":
        assert splits.sizes() == {
            "train": 380 if name == "snli" else 400,
            "validation": 76 if name == "snli" else 80,
            "test": 76 if name == "snli" else 80,
        }
    learnt = LogisticRegression(max_iter=200).fit(bag(splits.train), splits.train.labels)
    assert learnt.score(bag(splits.test), splits.test.labels) > 0.9
    assert splits.classes == {"sst2": 2, "devign": 2}.get(name, 3)


def test_samples_never_pass_for_the_publishers_files(tmp_path):
    for name in NAMES[:-1]:
        SAMPLES[name](tmp_path / name, 0)
        source = data.load(Data(name=name, dir=str(tmp_path / name), length=32, vocabulary=300)).source
        assert source.startswith("generated here, not real data: ")
        assert "not the publisher's files" in source or "no published sum" in source
