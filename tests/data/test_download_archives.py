"""Data sets that are downloaded: archives that are unpacked, and the table of sources."""

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ndg import data
from ndg.config import Data
from ndg.data import DATASETS, downloads
from ndg.data.file_download import Patience
from ndg.data.sources import SOURCES, File, Source
from ndg.errors import DataError
from tests.data import fixtures
from tests.data.server import served
from tests.data.test_downloads import CONTENT, names

SICK = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")

SICK_HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"

SOON = Patience(attempts=3, wait=0.0, timeout=10.0)


@pytest.fixture
def shelf():
    with served(files={"file.bin": CONTENT}) as shelf:
        yield shelf


def packed(folder, top):
    """Folder as a tar.gz with that name at the top."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(folder, top)
    return stream.getvalue()


@pytest.fixture
def cifar(tmp_path, shelf):
    """Sources with CIFAR-10 in one archive on the shelf."""
    fixtures.write_cifar10(tmp_path / "made", [np.arange(10)] * 5, np.arange(10))
    shelf.files["c.tar.gz"] = packed(tmp_path / "made", "cifar-10-batches-py")
    return table(shelf)


def table(shelf):
    source = SOURCES["cifar10"]
    (archive,) = source.files
    found = f"md5:{hashlib.md5(shelf.files['c.tar.gz']).hexdigest()}"
    local = File("c.tar.gz", (shelf.url("c.tar.gz"),), found, 1, archive.inside, archive.holds, plain=True)
    return {"cifar10": Source(source.what, source.licence, source.cite, source.folder, (local,))}


def test_files_that_stay_packed_are_fetched_into_their_place_and_read(tmp_path, shelf):
    fixtures.write_idx(tmp_path / "made", np.arange(10), np.arange(10))
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    shelf.files |= made
    files = tuple(
        File(name, (shelf.url(name),), f"md5:{hashlib.md5(raw).hexdigest()}", plain=True) for name, raw in made.items()
    )
    local = {"mnist": Source("", "", folder="mnist", files=files)}
    got = downloads.get("mnist", tmp_path / "data", local, SOON)
    assert got.fetched == tuple(made)
    assert got.found == (
        "mnist, 10 + 10 examples, not the publisher's files, "
        "not the whole release (10 of 60,000 train examples; 10 of 10,000 test examples)"
    )
    assert (got.classes, got.hint) == (10, "")
    assert data.absent(Data(name="mnist", dir=str(tmp_path / "data"))) is None
    (tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert downloads.get("mnist", tmp_path / "data", local, SOON).fetched == ("t10k-labels-idx1-ubyte.gz",)


def test_an_archive_is_unpacked_read_and_not_fetched_again(tmp_path, shelf, cifar):
    home = tmp_path / "data" / "cifar10" / "cifar-10-batches-py"
    got = downloads.get("cifar10", tmp_path / "data", cifar, SOON)
    assert got.text() == (
        f"cifar10: fetched c.tar.gz (verified by md5) into {home}\n"
        "  cifar10, 50 + 10 examples, not the publisher's files, "
        "not the whole release (50 of 50,000 train examples; 10 of 10,000 test examples); 10 classes"
    )
    assert names(home) == names(tmp_path / "made")
    shelf.requests.clear()
    again = downloads.get("cifar10", tmp_path / "data", cifar, SOON)
    assert again.text().startswith(f"cifar10: already complete in {home}\n")
    assert shelf.requests == []


def test_an_archive_that_was_not_wholly_unpacked_is_unpacked_again(tmp_path, shelf, cifar):
    home = tmp_path / "data" / "cifar10" / "cifar-10-batches-py"
    downloads.get("cifar10", tmp_path / "data", cifar, SOON)
    (home / "c.tar.gz").write_bytes(shelf.files["c.tar.gz"])
    (home / "data_batch_2").unlink()
    shelf.requests.clear()
    assert downloads.get("cifar10", tmp_path / "data", cifar, SOON).fetched == ("c.tar.gz",)
    assert names(home) == names(tmp_path / "made")
    assert shelf.requests == []


def test_only_what_is_wanted_comes_out_of_archives(tmp_path, shelf):
    files = []
    for part in ("train", "trial", "test_annotated"):
        lines = [f"{row}\ta {part}\tb {part}\t3.5\t{label}" for row, label in enumerate(SICK)]
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(f"SICK_{part}.txt", "\n".join([SICK_HEADER, *lines]) + "\n")
            archive.writestr("readme.txt", f"another in each: {part}")
        shelf.files[part] = stream.getvalue()
        files.append(File(f"{part}.zip", (shelf.url(part),), inside="", holds=(f"SICK_{part}.txt",), plain=True))
    got = downloads.get("sick", tmp_path, {"sick": Source("", "", folder="sick", files=tuple(files))}, SOON)
    assert got.checked == "no official checksum, counts are checked on reading"
    assert got.found.startswith("sick, 3 + 3 + 3 examples")
    assert names(tmp_path / "sick") == ["SICK_test_annotated.txt", "SICK_train.txt", "SICK_trial.txt"]


def test_a_copy_that_is_found_before_is_told(tmp_path, cifar):
    fixtures.write_cifar10(tmp_path / "data", [np.arange(10)], np.arange(10))
    got = downloads.get("cifar10", tmp_path / "data", cifar, SOON)
    home = tmp_path / "data" / "cifar10" / "cifar-10-batches-py"
    assert got.hint == f"{tmp_path / 'data'} takes precedence; set data.dir={home}"


def test_files_of_ones_own_are_never_written_over(tmp_path, shelf, cifar):
    home = tmp_path / "data" / "cifar10" / "cifar-10-batches-py"
    home.mkdir(parents=True)
    (home / "data_batch_1").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"have all of batches\.meta, .* or none; got data_batch_1; move these away"):
        downloads.get("cifar10", tmp_path / "data", cifar, SOON)
    assert shelf.requests == []
    (home / "c.tar.gz").write_bytes(shelf.files["c.tar.gz"])
    with pytest.raises(DataError, match=r"data_batch_1 must equal .* in c\.tar\.gz, or not exist; it differs; move"):
        downloads.get("cifar10", tmp_path / "data", cifar, SOON)
    assert names(home) == ["c.tar.gz", "data_batch_1"]
    assert (home / "data_batch_1").read_bytes() == b"mine"


def test_an_archive_without_a_file_is_removed(tmp_path, shelf, cifar):
    (tmp_path / "made" / "test_batch").unlink()
    shelf.files["c.tar.gz"] = packed(tmp_path / "made", "cifar-10-batches-py")
    with pytest.raises(DataError, match=r"gz must contain .*; it lacks test_batch; it was removed; run the same"):
        downloads.get("cifar10", tmp_path / "data", table(shelf), SOON)
    assert names(tmp_path / "data" / "cifar10" / "cifar-10-batches-py") == []


def test_an_archive_that_would_write_elsewhere_is_refused_and_removed(tmp_path, shelf, cifar):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"), io.BytesIO())
    shelf.files["c.tar.gz"] = stream.getvalue()
    with pytest.raises(DataError, match=r"escaped.*it was removed"):
        downloads.get("cifar10", tmp_path / "data", table(shelf), SOON)
    assert not list(tmp_path.rglob("escaped"))
    assert names(tmp_path / "data" / "cifar10" / "cifar-10-batches-py") == []


def test_a_data_set_that_cannot_be_read_says_what_is_wrong_with_it(tmp_path, shelf):
    raw = gzip.compress(b"split\tdataset\tfilename\tsentence1\tsentence2\tlabel\ntrain\tSNLI\tx\ta\tb\tmaybe\n")
    shelf.files["a"] = raw
    local = {"allnli": Source("", "", folder="allnli", files=(File("AllNLI.tsv.gz", (shelf.url("a"),), plain=True),))}
    with pytest.raises(DataError, match=r"AllNLI\.tsv\.gz, line 2 must have a class as 'label'; got 'maybe'"):
        downloads.get("allnli", tmp_path, local, SOON)


def test_names_are_corrected_and_what_has_no_download_says_why():
    with pytest.raises(DataError, match=r"a data set must be a known name; got 'minst'; nearest: mnist"):
        downloads.source_of("minst")
    with pytest.raises(DataError, match=r"'digits' has no download; it is bundled with scikit-learn"):
        downloads.source_of("digits")
    with pytest.raises(DataError, match=r"'texts' has no download; it is data of your own"):
        downloads.source_of("texts")
    with pytest.raises(DataError, match=r"'devign' has no download; .*github\.com/microsoft/CodeXGLUE"):
        downloads.source_of("devign")


def test_every_data_set_has_its_source():
    assert set(SOURCES) == set(DATASETS)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_leads_to_where_the_loader_looks(name, tmp_path):
    source = SOURCES[name]
    assert bool(source.files) != bool(source.instead)
    if not source.files:
        return
    dataset = DATASETS[name]
    assert source.folder in {str(Path(place)) for place in dataset.places}
    home = tmp_path / source.folder
    home.mkdir(parents=True)
    for each in (each for file in source.files for each in file.results):
        (home / each).touch()
    assert dataset.missing(home) == []
    assert dataset.home(tmp_path) == home
    assert "; set data.dir=FOLDER" in data.absent(Data(name=name))
    assert data.absent(Data(name=name)).endswith(f", or fetch them: ndg data get {name}")


@pytest.mark.parametrize("name", SOURCES)
def test_addresses_are_safe_and_sums_well_formed(name):
    for file in SOURCES[name].files:
        assert re.fullmatch(r"(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?", file.sum)
        assert file.urls
        assert (file.inside is None) == (not file.holds)
        for url in file.urls:
            assert url.startswith("http://" if file.plain and not url.startswith("https") else "https://")
