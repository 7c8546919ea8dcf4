"""Whatever stops a write, the old file or the new one is there whole, and nothing else is left."""

import os

import pytest

from ndg import atomic
from ndg.errors import OutputError


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_write_that_is_stopped_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, stop, where):
    path = atomic.write(tmp_path / "file", b"old")

    def stopped(*arguments):
        raise stop

    monkeypatch.setattr(os, where, stopped)
    with pytest.raises((KeyboardInterrupt, OutputError)) as raised:
        atomic.write(path, "new")
    if isinstance(stop, OSError):
        assert str(raised.value) == f"{path} cannot be written: No space left on device; {atomic.REMEDY}"
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_text_and_bytes_are_written_and_replaced(tmp_path):
    path = atomic.write(tmp_path / "new" / "file", "één\n")
    assert path.read_bytes() == "één\n".encode()
    assert atomic.write(path, b"\x00").read_bytes() == b"\x00"


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(OutputError, match="must be a file to be written; it is a folder; name a file in it"):
        atomic.write(tmp_path, "")


def test_a_folder_that_is_not_there_or_is_a_file_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written: No such file or directory; look elsewhere"):
        atomic.write(tmp_path / "no" / "file", "", parents=False, remedy="look elsewhere")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        atomic.write(tmp_path / "file" / "x", "")
    assert os.listdir(tmp_path) == ["file"]


def test_a_disk_that_fills_halfway_through_the_parts_leaves_the_old_file(tmp_path):
    path = atomic.write(tmp_path / "file", "old")

    def parts():
        yield "new" * 10**6
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"file cannot be written: No space left on device; free space"):
        atomic.write(path, parts())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
    assert atomic.write(path, (f"{number}\n" for number in range(3))).read_text() == "0\n1\n2\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError("no number")])
def test_a_block_that_does_not_end_well_leaves_the_old_file_and_its_error(tmp_path, stop):
    path = atomic.write(tmp_path / "file", "old")

    def stopped():
        with atomic.writing(path) as file:
            file.write(b"new")
            raise stop

    with pytest.raises(type(stop)):
        stopped()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
    with atomic.writing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
