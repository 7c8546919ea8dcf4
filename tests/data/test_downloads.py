"""Downloads from a local server: resumed, verified, mirrored, rejected."""

import gzip
import hashlib
import io
import re
import socket
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ndg import data
from ndg.config import Data
from ndg.data import DATASETS, downloads
from ndg.data.file_download import Patience, fetch
from ndg.data.sources import SOURCES, File, Source
from ndg.errors import DataError, DownloadError, OutputError
from tests.data import fixtures
from tests.data.server import served

CONTENT = np.random.default_rng(0).bytes(300_000)
SUM = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SICK = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")
SICK_HEADER = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
SOON = Patience(attempts=3, wait=0.0, timeout=10.0)
ONCE = Patience(attempts=1, wait=0.0, timeout=10.0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def shelf():
    with served(files={"file.bin": CONTENT}) as shelf:
        yield shelf


def file(*urls, sum=SUM, name="file.bin", plain=True, **more):
    return File(name, urls, sum, plain=plain, **more)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_file_comes_whole_and_is_not_asked_for_again(tmp_path, shelf, kind):
    wanted = file(shelf.url("file.bin"), sum=f"{kind}:{hashlib.new(kind, CONTENT).hexdigest()}")
    for _ in range(2):
        assert fetch(wanted, tmp_path / "new", SOON).read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["file.bin"]
    assert shelf.requests == [("/file.bin", None, None)]


def test_a_connection_that_ends_early_is_taken_up_where_it_ended(tmp_path, shelf):
    shelf.faults = [100_000, 50_000]
    assert fetch(file(shelf.url("file.bin")), tmp_path, SOON).read_bytes() == CONTENT
    assert [request[1:] for request in shelf.requests] == [
        (None, None),
        ("bytes=100000-", '"1"'),
        ("bytes=150000-", '"1"'),
    ]


def test_attempts_that_bring_more_do_not_count(tmp_path, shelf):
    shelf.faults = [40_000] * 7
    assert fetch(file(shelf.url("file.bin")), tmp_path, SOON).read_bytes() == CONTENT
    assert len(shelf.requests) == 8


def test_a_server_that_never_gets_further_is_given_up(tmp_path, shelf):
    shelf.ranges, shelf.faults = False, [100_000] * 20
    with pytest.raises(
        DownloadError, match=r"file\.bin must be downloaded completely.*ended at 100,000 of 300,000 bytes; check the"
    ):
        fetch(file(shelf.url("file.bin")), tmp_path, SOON)
    assert len(shelf.requests) == SOON.attempts
    assert (tmp_path / "file.bin.part").stat().st_size == 100_000


def test_the_next_command_goes_on_where_an_interrupted_one_stopped(tmp_path, shelf):
    shelf.faults, shelf.interrupts = [200_000], tmp_path / "file.bin.part"
    with pytest.raises(KeyboardInterrupt):
        fetch(file(shelf.url("file.bin")), tmp_path, SOON)
    done = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < done <= 200_000
    shelf.interrupts = None
    assert fetch(file(shelf.url("file.bin")), tmp_path, SOON).read_bytes() == CONTENT
    assert shelf.requests[1] == ("/file.bin", f"bytes={done}-", '"1"')
    assert names(tmp_path) == ["file.bin"]


def interrupted(shelf, folder):
    """Part that an interrupted command left."""
    shelf.faults = [100_000]
    with pytest.raises(DownloadError):
        fetch(file(shelf.url("file.bin")), folder, ONCE)
    shelf.requests.clear()


def test_a_server_without_parts_sends_all_again(tmp_path, shelf):
    interrupted(shelf, tmp_path)
    shelf.ranges = False
    assert fetch(file(shelf.url("file.bin")), tmp_path, ONCE).read_bytes() == CONTENT
    assert len(shelf.requests) == 1


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_file_that_changed_in_between_comes_anew(tmp_path, shelf, stubborn):
    interrupted(shelf, tmp_path)
    changed = CONTENT[::-1]
    shelf.files["file.bin"], shelf.version, shelf.stubborn = changed, '"2"', stubborn
    wanted = file(shelf.url("file.bin"), sum=f"md5:{hashlib.md5(changed).hexdigest()}")
    assert fetch(wanted, tmp_path, SOON).read_bytes() == changed
    assert shelf.requests[0][1:] == ("bytes=100000-", '"1"')


def test_a_file_that_became_shorter_than_the_part_comes_anew(tmp_path, shelf):
    interrupted(shelf, tmp_path)
    shelf.files["file.bin"], shelf.stubborn = CONTENT[:10], True
    wanted = file(shelf.url("file.bin"), sum=f"md5:{hashlib.md5(CONTENT[:10]).hexdigest()}")
    assert fetch(wanted, tmp_path, SOON).read_bytes() == CONTENT[:10]


@pytest.mark.parametrize("notes", ["", "[]", '{"url": 1, "version": 2, "total": 3}'])
def test_damaged_notes_of_a_part_mean_a_new_beginning(tmp_path, shelf, notes):
    interrupted(shelf, tmp_path)
    (tmp_path / "file.bin.part.json").write_text(notes)
    assert fetch(file(shelf.url("file.bin")), tmp_path, ONCE).read_bytes() == CONTENT
    assert shelf.requests == [("/file.bin", None, None)]


def test_what_is_not_the_publishers_is_removed_and_said(tmp_path, shelf):
    shelf.files["file.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(
        DataError, match=r"file\.bin must have the md5 sum \w{32}; got \w{32}; it came from http.*removed"
    ):
        fetch(file(shelf.url("file.bin")), tmp_path, SOON)
    assert names(tmp_path) == []
    assert len(shelf.requests) == 1


def test_a_page_of_words_is_no_archive_even_without_a_sum(tmp_path, shelf):
    shelf.files["page"] = b"<html>moved</html>"
    with pytest.raises(DataError, match=r"x\.tar\.gz must begin with b'\\x1f\\x8b', by its suffix; got b'<h'"):
        fetch(file(shelf.url("page"), name="x.tar.gz", sum=""), tmp_path, SOON)
    assert names(tmp_path) == []


def test_mirrors_are_asked_in_order_until_one_is_right(tmp_path, shelf):
    shelf.files["wrong"] = b"wrong"
    urls = [shelf.url(name) for name in ("absent", "wrong", "file.bin", "never")]
    assert fetch(file(*urls), tmp_path, SOON).read_bytes() == CONTENT
    assert [request[0] for request in shelf.requests] == ["/absent", "/wrong", "/file.bin"]


def test_the_mirror_of_the_part_is_asked_first(tmp_path, shelf):
    interrupted(shelf, tmp_path)
    assert fetch(file(shelf.url("other"), shelf.url("file.bin")), tmp_path, ONCE).read_bytes() == CONTENT
    assert shelf.requests == [("/file.bin", "bytes=100000-", '"1"')]


def test_every_address_that_failed_is_named(tmp_path, shelf):
    with pytest.raises(DownloadError, match=r"got http://\S+/a: HTTP 404 Not Found; http://\S+/b: HTTP 404") as error:
        fetch(file(shelf.url("a"), shelf.url("b")), tmp_path, SOON)
    assert error.value.exit_code == 1


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(tmp_path, shelf):
    shelf.faults = [503, 429]
    assert fetch(file(shelf.url("file.bin")), tmp_path / "a", SOON).read_bytes() == CONTENT
    shelf.requests.clear()
    shelf.faults = [403]
    with pytest.raises(DownloadError, match="HTTP 403 Forbidden"):
        fetch(file(shelf.url("file.bin")), tmp_path / "b", SOON)
    assert len(shelf.requests) == 1


def test_a_server_that_is_not_there_is_named(tmp_path):
    with served(files={}) as gone:
        url = gone.url("file.bin")
    with pytest.raises(DownloadError, match=rf"{re.escape(url)}: .*refused; check the network, and HTTPS_PROXY"):
        fetch(file(url), tmp_path, SOON)


def test_a_server_that_says_nothing_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(file(url), tmp_path, Patience(attempts=2, wait=0.0, timeout=0.1))


def test_a_proxy_of_the_environment_is_asked(tmp_path, shelf, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{shelf.port}")
    shelf.files["http://data.invalid/file.bin"] = CONTENT
    assert fetch(file("http://data.invalid/file.bin"), tmp_path, SOON).read_bytes() == CONTENT


def test_redirects_stay_on_the_network(tmp_path, shelf):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    shelf.places = {"moved": shelf.url("file.bin"), "local": secret.as_uri(), "old": "ftp://127.0.0.1/file.bin"}
    assert fetch(file(shelf.url("moved")), tmp_path / "a", SOON).read_bytes() == CONTENT
    for name in ("local", "old"):
        with pytest.raises(DownloadError, match=r"/(local|old): HTTP 302|must come by https or http"):
            fetch(file(shelf.url(name)), tmp_path / "b", SOON)
    assert not (tmp_path / "b" / "file.bin").exists()


@pytest.mark.parametrize("start", ["http://127.0.0.1:1/", "ftp://127.0.0.1/", "file:///etc/"])
def test_only_https_is_asked_unless_the_table_allows_more(tmp_path, start):
    with pytest.raises(DownloadError, match=rf"file\.bin must come by https; got {start}"):
        fetch(file(f"{start}file.bin", plain=False), tmp_path, SOON)


def test_a_file_that_does_not_fit_is_not_begun(tmp_path, shelf):
    shelf.length = 10**18
    with pytest.raises(
        OutputError, match=r"file\.bin needs 1000000000\.0 GB of free space in .*; there is .* GB; free"
    ):
        fetch(file(shelf.url("file.bin")), tmp_path, SOON)
    assert "file.bin" not in names(tmp_path)


def test_a_place_that_is_no_folder_is_an_error_of_output(tmp_path, shelf):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(OutputError, match=r"file\.bin cannot be written: .*; free space, or choose another folder"):
        fetch(file(shelf.url("file.bin")), tmp_path / "data", SOON)


def test_a_file_of_the_same_name_that_is_another_stays(tmp_path, shelf):
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"file\.bin must have the md5 sum .*; move it away, then run the same command"):
        fetch(file(shelf.url("file.bin")), tmp_path, SOON)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"
    assert shelf.requests == []


# Data sets: from the table to the folder in which the loader looks.


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


# The table itself.


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
