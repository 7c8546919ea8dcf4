"""Checksums: the compiled kernel gives the sums of numpy, and any change of a word changes them."""

import sys

import numpy as np
import pytest

from ndg import checksums

SHAPES = (0, 5), (1, 1), (3, 7), (4, 8), (9, 512), (130, 3), (5, 0)


def words(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)


@pytest.fixture
def kernel(monkeypatch):
    """Sums of any size are added by the kernel."""
    from ndg import checksum_kernel

    assert "ndg.compiled" in sys.modules
    monkeypatch.setattr(checksums, "WORTH_KERNEL", 0)
    return checksum_kernel


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_adds_rows_and_columns(shape, kernel):
    sums = checksums.Sums(shape[0])
    for seed in (1, 2):
        sums.add(words(shape, seed))
    both = np.concatenate([words(shape, seed) for seed in (1, 2)], axis=1)
    assert np.array_equal(sums.rows, both.sum(axis=1, dtype=np.uint64))
    assert np.array_equal(sums.columns, both.sum(axis=0, dtype=np.uint64))


@pytest.mark.parametrize("view", ["plain", "read-only", "strided", "unaligned", "swapped"])
def test_the_kernel_is_left_out_where_words_lie_otherwise(view, kernel, monkeypatch):
    plain = words((64, 40))
    octets = np.zeros(plain.nbytes + 1, np.uint8)
    octets[1:] = plain.view(np.uint8).reshape(-1)
    wide = words((64, 80))
    wide[:, ::2] = plain
    views = {
        "plain": plain,
        "read-only": plain.copy(),
        "strided": wide[:, ::2],
        "unaligned": octets[1:].view(np.uint64).reshape(plain.shape),
        "swapped": plain.astype(plain.dtype.newbyteorder()),
    }
    views["read-only"].flags.writeable = False
    calls = []
    monkeypatch.setattr(kernel, "add", lambda *arrays, add=kernel.add: (calls.append(1), add(*arrays)))
    sums = checksums.Sums(64)
    sums.add(views[view])
    assert np.array_equal(sums.rows, plain.sum(axis=1, dtype=np.uint64))
    assert np.array_equal(sums.columns, plain.sum(axis=0, dtype=np.uint64))
    assert bool(calls) == (view in ("plain", "read-only"))


@pytest.mark.parametrize("least", [0, 1 << 60])
def test_any_flipped_bit_and_two_exchanged_words_change_a_checksum(least, kernel, monkeypatch):
    monkeypatch.setattr(checksums, "WORTH_KERNEL", least)
    content = words((3, checksums.ROW)).reshape(-1)
    parts = [content, b"tail"]
    sound = checksums.checksum(parts)
    assert checksums.joined(map(checksums.piece, parts)) == sound
    for at in range(0, content.size, 97):
        content[at] ^= np.uint64(1) << np.uint64(at % 64)
        assert checksums.checksum(parts) != sound
        content[at] ^= np.uint64(1) << np.uint64(at % 64)
        other = (at + 2 * checksums.ROW) % content.size
        content[[at, other]] = content[[other, at]]
        assert checksums.checksum(parts) != sound
        content[[at, other]] = content[[other, at]]
    assert checksums.checksum(parts) == sound
    assert checksums.checksum([content.tobytes() + b"tail"]) != sound
