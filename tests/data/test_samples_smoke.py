"""Generated files are complete and marked, or absent."""

from dataclasses import replace

import pytest

from ndg import data
from ndg.config import Data, Experiment
from ndg.data.samples import FOLDER, SAMPLES, with_data
from ndg.locations import Locations

EXPERIMENT = Experiment(data=Data(name="sst2", length=16, vocabulary=300))


@pytest.fixture
def where(tmp_path):
    return Locations(None, tmp_path / "runs", str(tmp_path / "ndg.db"))


def source(experiment):
    return data.load(experiment.data).source


def test_an_interrupted_writer_leaves_nothing(where, monkeypatch):
    def interrupted(folder, seed):
        (folder / "train.tsv").write_text("a fine film\t1\n")
        raise KeyboardInterrupt

    whole = SAMPLES["sst2"]
    monkeypatch.setitem(SAMPLES, "sst2", lambda folder, seed: (whole(folder, seed), interrupted(folder, seed)))
    with pytest.raises(KeyboardInterrupt):
        with_data(EXPERIMENT, where)
    assert list((where.runs / FOLDER).iterdir()) == []
    monkeypatch.setitem(SAMPLES, "sst2", whole)
    assert source(with_data(EXPERIMENT, where)).startswith("generated here, not real data: sst2, 400 + 80 + 80 ")
    assert [path.name for path in (where.runs / FOLDER).iterdir()] == ["sst2"]


def test_whole_files_are_kept_and_others_are_written_again(where):
    folder = where.runs / FOLDER / "sst2"
    with_data(EXPERIMENT, where)
    written = (folder / "train.tsv").stat().st_ino
    with_data(EXPERIMENT, where)
    assert (folder / "train.tsv").stat().st_ino == written
    for name in ("dev.tsv", "GENERATED.txt"):
        (folder / name).unlink()
        found = with_data(EXPERIMENT, where)
        assert source(found).startswith("generated here, not real data: sst2, 400 + 80 + 80 ")


def test_files_of_another_process_that_came_first_are_taken(where, monkeypatch):
    folder, whole = where.runs / FOLDER / "sst2", SAMPLES["sst2"]
    inodes = []

    def raced(part, seed):
        whole(part, seed)
        whole(folder, seed)
        inodes.append((folder / "train.tsv").stat().st_ino)

    monkeypatch.setitem(SAMPLES, "sst2", raced)
    with_data(EXPERIMENT, where)
    assert [(folder / "train.tsv").stat().st_ino] == inodes
    assert [path.name for path in folder.parent.iterdir()] == ["sst2"]


def test_real_files_at_hand_are_not_replaced(where, tmp_path):
    SAMPLES["sst2"](tmp_path / "data", 0)
    at_hand = replace(EXPERIMENT, data=replace(EXPERIMENT.data, dir=str(tmp_path / "data")))
    assert with_data(at_hand, where) is at_hand
    assert not (where.runs / FOLDER).exists()
