"""Downloads from a local server: resumed, verified, mirrored, rejected."""

import hashlib
import re
import socket

import numpy as np
import pytest

from ndg.data.file_download import Patience, fetch
from ndg.data.sources import File
from ndg.errors import DataError, DownloadError, OutputError
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


# The table itself.
