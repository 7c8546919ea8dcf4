"""Sound archives are unpacked; damaged or hostile ones leave nothing behind."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest

from ndg.data import archives
from ndg.errors import DataError, OutputError

FILES = {"a/one.txt": b"1" * 3000, "a/b/two.png": bytes(range(256)) * 20, "three.txt": b""}
KINDS = ["x.tar", "x.tar.gz", "x.tgz", "x.zip"]


def tar(path, entries):
    """Archive of TarInfos, or of names and contents."""
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for entry, content in entries:
            if not isinstance(entry, tarfile.TarInfo):
                entry = tarfile.TarInfo(entry)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def pack(path, entries):
    """Archive of the kind of its name."""
    if path.suffix != ".zip":
        return tar(path, entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def nothing_came(tmp_path, archive):
    return [path for path in tmp_path.iterdir() if path != archive] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_packed_is_read_and_unpacked(tmp_path, kind):
    path = pack(tmp_path / kind, FILES.items())
    assert dict(archives.members(path)) == {PurePosixPath(name): content for name, content in FILES.items()}
    assert [name.name for name, _ in archives.members(path, (".txt",))] == ["one.txt", "three.txt"]
    written = archives.unpack(path, tmp_path / "new" / "folder")
    assert written == [tmp_path / "new" / "folder" / name for name in FILES]
    assert [file.read_bytes() for file in written] == list(FILES.values())
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == ["folder"]


def test_folders_and_dots_in_names_are_no_members(tmp_path):
    folder = tarfile.TarInfo("./a")
    folder.type = tarfile.DIRTYPE
    path = tar(tmp_path / "x.tar", [(folder, b""), ("./a/b.txt", b"b")])
    assert list(archives.members(path)) == [(PurePosixPath("a/b.txt"), b"b")]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.mkdir("a")
        archive.writestr("a/b.txt", b"b")
    assert list(archives.members(tmp_path / "x.zip")) == [(PurePosixPath("a/b.txt"), b"b")]


def test_a_packed_file_alone_becomes_that_file(tmp_path):
    (tmp_path / "words.tsv.gz").write_bytes(gzip.compress(b"words"))
    assert archives.unpack(tmp_path / "words.tsv.gz", tmp_path) == [tmp_path / "words.tsv"]
    assert (tmp_path / "words.tsv").read_bytes() == b"words"


def test_what_lies_in_the_folder_stays_and_is_not_written_over(tmp_path):
    path = pack(tmp_path / "x.zip", FILES.items())
    (tmp_path / "other").touch()
    archives.unpack(path, tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"x.zip", "other", "a", "three.txt"}
    (tmp_path / "three.txt").write_text("mine")
    with pytest.raises(DataError, match=r"to a folder without its members; .*/a exists already; remove it or choose"):
        archives.unpack(path, tmp_path)
    assert (tmp_path / "three.txt").read_text() == "mine"
    assert {each.name for each in tmp_path.iterdir()} == {"x.zip", "other", "a", "three.txt"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "c:evil", "a\\..\\evil", "..", "a/../b"]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, kind, name):
    path = pack(tmp_path / kind, [("good.txt", b"good"), (name, b"evil")])
    message = r"must have members with names below one folder; got '.*'; do not trust it"
    with pytest.raises(DataError, match=message):
        archives.unpack(path, tmp_path / "folder")
    assert nothing_came(tmp_path, path)
    with pytest.raises(DataError, match=message):
        list(archives.members(path))


def test_a_name_in_a_zip_that_ends_at_a_zero_is_refused(tmp_path):
    path = pack(tmp_path / "x.zip", [("good.txt_evil", b"evil")])
    path.write_bytes(path.read_bytes().replace(b"good.txt_evil", b"good.txt\0evil"))
    with pytest.raises(DataError, match=r"below one folder; got 'good\.txt\\x00evil'|must be a whole archive"):
        archives.unpack(path, tmp_path / "folder")
    assert nothing_came(tmp_path, path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    entry = tarfile.TarInfo("link")
    entry.type, entry.linkname = kind, "/etc/passwd"
    path = tar(tmp_path / "x.tar.gz", [("good.txt", b"good"), (entry, b""), ("link/evil", b"evil")])
    said = "a link" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "a device"
    with pytest.raises(DataError, match=rf"x\.tar\.gz must contain files and folders only; 'link' is {said}"):
        archives.unpack(path, tmp_path / "folder")
    assert nothing_came(tmp_path, path)


def test_a_link_in_a_zip_is_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = pack(tmp_path / "x.zip", [(entry, b"/etc/passwd")])
    with pytest.raises(DataError, match="must contain files and folders only; 'link' is a link"):
        archives.unpack(path, tmp_path / "folder")
    assert nothing_came(tmp_path, path)


@pytest.mark.parametrize("kind", [*KINDS[1:], "x.txt.gz"])
def test_an_archive_made_to_fill_a_disk_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "ROOM", 1 << 20)
    zeros = bytes(8 << 20)
    path = tmp_path / kind
    path.write_bytes(gzip.compress(zeros)) if kind == "x.txt.gz" else pack(path, [("zeros", zeros)])
    assert len(zeros) > 500 * path.stat().st_size
    with pytest.raises(DataError, match=r"may unpack to at most 1,\d{3},\d{3} bytes, 100 times its own.*got more"):
        archives.unpack(path, tmp_path / "folder")
    assert nothing_came(tmp_path, path)


def test_a_header_that_claims_more_than_comes_makes_no_room_for_it(tmp_path):
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        entry = tarfile.TarInfo("huge")
        entry.size, entry.type = 7 << 30, kind
        path = tmp_path / "x.tar"
        path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        with pytest.raises(DataError, match=r"x\.tar must be a whole archive, as its name says; .*; copy the archive"):
            archives.unpack(path, tmp_path / "folder")
        assert nothing_came(tmp_path, path)


@pytest.mark.parametrize("kind", [*KINDS, "x.txt.gz"])
def test_a_truncated_archive_is_refused_wherever_it_ends(tmp_path, kind):
    path = tmp_path / kind
    path.write_bytes(gzip.compress(FILES["a/b/two.png"])) if kind == "x.txt.gz" else pack(path, FILES.items())
    whole = path.read_bytes()
    end = len(whole) if kind != "x.tar" else whole.rindex(b"ustar") + 255  # nothing is lost with zeros at the end
    for length in {*range(0, end, max(1, end // 40)), end - 1, end - 9}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"must be a whole archive, as its name says; .+; copy the archive again"):
            archives.unpack(path, tmp_path / "folder")
        assert nothing_came(tmp_path, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_refused_or_harms_no_content(tmp_path, kind):
    path = pack(tmp_path / kind, FILES.items())
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            found = [content for _, content in archives.members(path)]
        except DataError:
            refused += 1
        else:
            assert kind == "x.tar" or found == list(FILES.values())  # a plain tar has no sums of contents
    assert refused > 15


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_comes_twice_or_is_a_file_and_a_folder_is_refused(tmp_path, kind):
    with pytest.warns(UserWarning, match="Duplicate name") if kind == "x.zip" else io.BytesIO():
        path = pack(tmp_path / kind, [("a", b"1"), ("a", b"2")])
    with pytest.raises(DataError, match="must have each member once; 'a' comes twice"):
        archives.unpack(path, tmp_path / "folder")
    pack(path, [("a", b"1"), ("a/b", b"2")])
    with pytest.raises(DataError, match="must have each name once; 'b' is a file and a folder"):
        archives.unpack(path, tmp_path / "folder")
    assert nothing_came(tmp_path, path)


def test_an_encrypted_zip_and_an_unknown_kind_are_named(tmp_path):
    path = pack(tmp_path / "x.zip", [("a", b"1")])
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    raw[6] |= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"must be a whole archive.*encrypted"):
        list(archives.members(path))
    with pytest.raises(DataError, match=r"must end in \.tar, .*; got .*x\.rar; give another"):
        list(archives.members(tmp_path / "x.rar"))
    with pytest.raises(DataError, match=r"gone\.zip must be a whole archive.*No such file"):
        list(archives.members(tmp_path / "gone.zip"))


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path):
    path = pack(tmp_path / "x.zip", FILES.items())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written: .*choose a writable folder"):
        archives.unpack(path, tmp_path / "file" / "folder")
