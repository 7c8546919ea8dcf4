"""Compiled packing against one bit at a time, for all starts, layouts and threads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ndg.bits import kernel, packing
from ndg.bits.packing import cuts, pack, pack_above, place, tail_mask, trues, unpack, zeros
from tests.references.bits import above, words_of

ROOT = Path(__file__).parent.parent.parent
EDGES = [0.0, -0.0, 1e-50, -1e-50, 1e-45, 0.1, -0.1, 1.5, 3.4028235e38, 1e39, -1e39, np.inf, -np.inf, np.nan]


def bits_from(words, start, count):
    return unpack(words, start + count).T[start:]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 200])
def test_booleans_go_in_at_every_start_bit_and_come_out_again(count):
    values = np.random.default_rng(count).random((count, 5)) < 0.5
    for start in range(130):
        words = zeros(5, -(-(start + count) // 64) + 1)
        words[:, : -(-start // 64)] = ~np.uint64(0)
        pack(values, words, start)
        assert bits_from(words, 0, start).all(), "earlier bits stay"
        assert (bits_from(words, start, count) == values).all()
        after = unpack(words, words.shape[1] * 64)[:, start + count :]
        assert not after.any() or count == 0


@settings(max_examples=60)
@given(st.integers(0, 700), st.integers(1, 4), st.integers(0, 130), st.integers(0, 2**32 - 1))
def test_packing_is_the_slow_packing(count, wide, start, seed):
    values = np.random.default_rng(seed).random((count, wide)) < 0.5
    words = zeros(wide, -(-(start + count) // 64))
    pack(values, words, start)
    before = np.zeros((start, wide), bool)
    assert (words == words_of(np.concatenate([before, values]))).all()


@pytest.mark.parametrize("nodes", [1, kernel.STRIPE - 1, kernel.STRIPE, kernel.STRIPE + 1, 2 * kernel.STRIPE + 90])
def test_stripes_and_groups_of_words_meet_at_any_number_of_nodes_and_threads(nodes):
    draw = np.random.default_rng(nodes)
    values = draw.standard_normal((1100, nodes), dtype=np.float32)
    thresholds = draw.standard_normal(nodes)
    expected = values > thresholds
    for threads in (1, 2, 3, 64):
        words, same = zeros(nodes, 19), zeros(nodes, 19)
        pack_above(values, thresholds, words, 37, threads)
        pack(expected, same, 37, threads)
        assert (words == same).all()
        assert (bits_from(words, 37, 1100) == expected).all()


@settings(max_examples=60)
@given(
    arrays(np.float32, st.tuples(st.integers(0, 70), st.just(len(EDGES))), elements=st.floats(width=32)),
    arrays(np.float64, len(EDGES), elements=st.floats() | st.sampled_from(EDGES)),
)
def test_an_activation_is_compared_as_float64_would(values, thresholds):
    assert_above(values, thresholds)


def test_the_cut_is_exact_at_every_edge():
    with np.errstate(over="ignore"):
        near = [np.float32(edge) for edge in EDGES]
        beside = [np.nextafter(x, np.float32(side)) for x in near for side in (-np.inf, np.inf)]
    values = np.array([*near, *beside], np.float32)
    for threshold in EDGES:
        for shifted in (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)):
            assert_above(values[:, None], np.array([shifted]))


def assert_above(values, thresholds):
    words = zeros(len(thresholds), -(-len(values) // 64))
    pack_above(values, thresholds, words, 0)
    assert (bits_from(words, 0, len(values)) == above(values, thresholds)).all()


@given(arrays(np.float64, 20, elements=st.floats(allow_nan=False)))
def test_a_cut_is_the_largest_float32_that_is_not_above_the_threshold(thresholds):
    cut = cuts(thresholds)
    assert (cut <= thresholds).all()
    with np.errstate(over="ignore"):
        following = np.nextafter(cut, np.float32(np.inf))
    assert ((following > thresholds) | (cut == np.inf)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_compared_exactly_too(dtype):
    values = np.random.default_rng(0).standard_normal((130, 3)).astype(dtype)
    thresholds = values[5].astype(np.float64)
    assert_above(values, thresholds)


@pytest.mark.parametrize("layout", ["columns", "strided", "part", "reversed"])
def test_batches_that_do_not_lie_row_by_row_are_packed_alike(layout, monkeypatch):
    monkeypatch.setattr(packing, "AT_ONCE", 1 << 10)
    values = np.random.default_rng(1).standard_normal((300, 40), dtype=np.float32)
    given_ = {
        "columns": np.asfortranarray(values),
        "strided": np.repeat(values, 2, axis=1)[:, ::2],
        "part": np.concatenate([values, values], axis=1)[:, :40],
        "reversed": np.ascontiguousarray(values[::-1])[::-1],
    }[layout]
    thresholds = np.zeros(40)
    for start in (0, 5):
        words, same = zeros(40, 6), zeros(40, 6)
        pack_above(given_, thresholds, words, start)
        pack(given_ > 0, same, start)
        assert (bits_from(words, start, 300) == (values > 0)).all()
        assert (words == same).all()


def test_a_byte_that_is_not_zero_is_true():
    values = np.array([[0, 1], [2, 255]] * 20, np.uint8).view(np.bool_)
    words = zeros(2, 1)
    pack(values, words, 0)
    assert (bits_from(words, 0, 40) == (values.view(np.uint8) != 0)).all()


@settings(max_examples=60)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_placing_words_is_packing_their_booleans(start, count, seed):
    values = np.random.default_rng(seed).random((start + count, 3)) < 0.5
    words = zeros(3, -(-(start + count) // 64))
    place(words_of(values[:start]), words, 0)
    place(words_of(values[start:]), words, start)
    assert (words == words_of(values)).all()


@pytest.mark.parametrize("shape", [(3, 0), (0, 5), (1, 4), (2, 3, 7, 32), (5, 300)])
def test_trues_are_the_sum_along_the_last_axis(shape):
    values = np.random.default_rng(len(shape)).random(shape) < 0.6
    found = trues(values)
    np.testing.assert_array_equal(found, values.sum(axis=-1))
    assert found.dtype == np.int64


def test_rows_of_words_start_cache_lines_and_end_in_zeros():
    for nodes, count in [(0, 0), (1, 1), (3, 8), (5, 13)]:
        words = zeros(nodes, count)
        assert words.shape == (nodes, count)
        assert words.ctypes.data % 64 == 0 or not words.size
        assert words.strides[0] % 64 == 0 or nodes < 2
        assert not words.any()
    assert int(tail_mask(64)) == 2**64 - 1
    assert int(tail_mask(65)) == 1


@pytest.mark.slow
def test_a_second_process_finds_the_compiled_code():
    code = "from ndg.bits import kernel as k\n"
    code += "print([sum(f.stats.cache_hits.values()) for f in (k.pack, k.above, k.place)])"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[1, 1, 1]"
    assert len(kernel.pack.signatures) == 1


def test_packing_a_batch_takes_no_memory_of_its_size():
    import tracemalloc

    values = np.zeros((4096, 2048), np.float32)
    words, thresholds = zeros(2048, 64), np.zeros(2048)
    pack_above(values, thresholds, words, 0)
    for batch in (values, np.asfortranarray(values)):
        tracemalloc.start()
        pack_above(batch, thresholds, words, 0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < values.size // 4
