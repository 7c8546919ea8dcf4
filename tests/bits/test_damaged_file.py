"""Damaged files of bits are told apart, by checksums that are compared by default."""

import dataclasses
import os
import struct

import numpy as np
import pytest

from ndg.bits import file_format
from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError
from tests.bits.test_file import NODES, THRESHOLDS, WORDS_AT, create, filled, resume, table


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bits.ndg"


def damage(path, at, content):
    with path.open("r+b") as opened:
        opened.seek(at)
        opened.write(content)


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (0, b"{", "holds no packed bits: expected .*NDGBITS.* at its start"),
        (8, struct.pack("<I", 7), "reads packed bits of version 1; .* has version 7; extract again"),
        (4100, b"XX", "its header does not match its checksum"),
        (30, b"XX", "its header does not match its checksum"),
        (512, b"\xff" * 2048, "none of its 4 commits matches its checksum"),
        (2570, b"XX", "its digest does not match its checksum"),
    ],
)
def test_a_file_that_is_damaged_is_told_apart(path, at, content, message):
    filled(path)
    resume(path).finish()
    damage(path, at, content)
    for use in (BitMatrix.open, resume):
        with pytest.raises(BitsError, match=message):
            use(path)


@pytest.mark.parametrize("size", [3, 20, 600, 4096, 4200, 8192, 8200])
def test_a_file_cut_anywhere_is_cut_short(path, size):
    filled(path)
    os.truncate(path, size)
    for use in (BitMatrix.open, resume):
        with pytest.raises(BitsError, match=rf"is truncated: expected .* bytes.*, got {size}"):
            use(path)


def test_damaged_bits_are_found_unless_verification_is_off(path):
    filled(path)
    digest = resume(path).finish().digest
    raw = path.read_bytes()
    damage(path, WORDS_AT, bytes([raw[WORDS_AT] ^ 1]))
    assert BitMatrix.open(path, verify=False) != BitMatrix.from_bool(table(200), NODES, THRESHOLDS)
    for use in (BitMatrix.open, resume):
        for verify in (None, True):
            with pytest.raises(BitsError, match=f"is damaged: its digest says {digest}, its bits "):
                use(path, verify=verify)
    resume(path, verify=False).close()


def test_damaged_bits_of_an_unfinished_file_are_found(path):
    filled(path)
    damage(path, WORDS_AT + 8, bytes([path.read_bytes()[WORDS_AT + 8] ^ 64]))
    for use in (BitMatrix.open, resume):
        with pytest.raises(BitsError, match="is damaged: its bits do not match their checksum; extract again"):
            use(path)
    assert len(BitMatrix.open(path, verify=False)) == 200


@pytest.mark.parametrize("finished", [False, True])
def test_files_of_earlier_versions_have_no_checksums_and_are_read_and_continued(path, monkeypatch, finished):
    encode = file_format.Header.encode
    with monkeypatch.context() as earlier:
        earlier.setattr(file_format.Header, "encode", lambda self: encode(dataclasses.replace(self, checksums=False)))
        filled(path, 130)
        if finished:
            resume(path).finish()
    assert b"checksums" not in path.read_bytes()
    assert (BitMatrix.open(path).to_bool() == table(130)).all()
    damage(path, WORDS_AT, bytes([path.read_bytes()[WORDS_AT] ^ 1]))
    if finished:
        with pytest.raises(BitsError, match="is damaged: its digest says "):
            BitMatrix.open(path)
    damage(path, WORDS_AT, bytes([path.read_bytes()[WORDS_AT] ^ 1]))
    with resume(path) as one:
        one.append(table(9, seed=1))
        bits = one.finish()
    assert bits == BitMatrix.from_bool(np.concatenate([table(130), table(9, seed=1)]), NODES, THRESHOLDS)
    assert BitMatrix.open(path) == bits


def test_commits_have_the_checksum_of_all_words_however_they_came(path, tmp_path):
    """Sums that are kept from commit to commit are those of all words at once."""
    values = table(700)
    with create(path, examples=700) as one:
        for part in np.split(values, [1, 64, 65, 300, 301, 640]):
            one.append(part)
            one.commit()
        pieces = one.finish()
    whole = BitMatrix.from_bool(values, NODES, THRESHOLDS)
    whole.save(tmp_path / "whole")
    assert pieces == whole
    checksums = [path.read_bytes()[at + 72 : at + 88] for path in (path, tmp_path / "whole") for at in (512, 1024)]
    assert checksums[2] in checksums[:2]
