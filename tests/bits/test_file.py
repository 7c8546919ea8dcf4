"""Bits in a file equal bits in memory after any interruption; damage is detected."""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.bits import disk
from ndg.bits.file import BitFile
from ndg.bits.matrix import BitMatrix, BitMatrixBuilder, Sample
from ndg.errors import BitsError, OutputError
from ndg.nodes import LayerUnits, NodeSpace

ROOT = Path(__file__).parent.parent.parent
NODES = NodeSpace(2, (LayerUnits("a", 3, "max"), LayerUnits("b", 1)))
THRESHOLDS = np.array([0.5, np.nan, -np.inf, 1 / 3])
WORDS_AT = 8192


def table(examples, seed=0):
    return np.random.default_rng(seed).random((examples, len(NODES))) < 0.5


def create(path, **options):
    return BitFile.create(path, NODES, THRESHOLDS, "half", "net-1", **options)


def resume(path, **options):
    return BitFile.resume(path, NODES, "net-1", **options)


def filled(path, examples=200):
    """Closed file with that many committed examples."""
    with create(path) as one:
        one.append(table(examples))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bits.ndg"


@settings(max_examples=40)
@given(st.integers(0, 1300), st.lists(st.integers(0, 1300), max_size=5), st.booleans(), st.booleans())
def test_a_file_is_the_builder_in_memory_in_any_batches_and_however_often_it_is_opened(examples, cuts, again, above):
    values, memory = table(examples, examples), BitMatrixBuilder(NODES)
    with tempfile.TemporaryDirectory() as folder:
        one = create(Path(folder) / "b")
        for part in np.split(values, sorted(min(cut, examples) for cut in cuts)):
            for builder in (one, memory):
                if above:
                    activations = np.where(part[:, 2:], np.float32(2), np.float32(-2))
                    builder.append_above(part[:, :2], [activations[:, :3], activations[:, 3:]], THRESHOLDS)
                else:
                    builder.append(part)
            one.commit()
            if again:
                one.close()
                one = resume(Path(folder) / "b")
            assert one.examples == one.committed == memory.examples
        bits, expected = one.finish(THRESHOLDS), memory.finish(THRESHOLDS)
        assert bits == expected
        assert bits.digest == expected.digest
        assert BitMatrix.open(Path(folder) / "b", verify=True) == expected
        assert os.listdir(folder) == ["b"]


def test_everything_about_the_bits_is_in_the_file(path):
    with create(path, examples=100) as one:
        one.append(table(100))
        one.commit(correct=61)
        bits = one.finish(sample=Sample(3, 5000))
    for found in (bits, BitMatrix.open(path)):
        assert (found.nodes, found.examples, found.binarizer, found.correct) == (NODES, 100, "half", 61)
        assert found.sample == Sample(3, 5000)
        assert np.array_equal(found.thresholds, THRESHOLDS, equal_nan=True)
        assert (found.to_bool() == table(100)).all()
        with pytest.raises(ValueError, match="read-only"):
            found.words[0, 0] = 1
    assert pickle.loads(pickle.dumps(bits)) == bits


def test_saving_and_opening_gives_the_same_matrix(path):
    whole = BitMatrix.from_bool(table(130), NODES, THRESHOLDS, binarizer="half", correct=3, sample=Sample(1, 200))
    for bits in (whole, whole.with_concepts({"a: b": np.arange(130) % 2 == 0}), BitMatrix.from_bool(table(0), NODES)):
        assert bits.save(path, "net-1") == path
        found = BitMatrix.open(path, verify=True)
        assert found == bits
        assert (found.correct, found.sample, found.binarizer) == (bits.correct, bits.sample, bits.binarizer)
        assert BitMatrix.open(path).save(path) == path, "over itself"
    assert os.listdir(path.parent) == [path.name]


def test_no_nodes_is_a_file_too(path):
    bits = BitMatrix.from_bool(np.zeros((9, 0), bool), NodeSpace(0))
    bits.save(path)
    assert BitMatrix.open(path, verify=True) == bits


def test_what_was_not_committed_is_forgotten_and_leaves_no_bit(path):
    one = create(path)
    one.append(table(70))
    one.commit(correct=4)
    one.append(np.ones((500, 6), bool))
    assert (one.examples, one.committed) == (570, 70)
    one.close()
    assert (BitMatrix.open(path).to_bool() == table(70)).all()
    with resume(path) as again:
        assert (again.examples, again.correct) == (70, 4)
        again.append(table(1, seed=1))
    assert (BitMatrix.open(path).to_bool() == np.concatenate([table(70), table(1, seed=1)])).all()


def test_an_exception_inside_with_keeps_what_was_committed(path):
    def fail():
        with create(path) as one:
            one.append(table(10))
            one.commit()
            one.append(table(10))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with resume(path) as one:
        assert one.examples == 10
    with pytest.raises(BitsError, match=r"is closed; continue it with BitFile\.resume"):
        one.append(table(1))


def test_a_finished_file_opens_finished_and_may_go_on(path):
    filled(path, 65)
    bits = resume(path).finish(correct=2, sample=Sample(0, 65))
    with resume(path, verify=True) as one:
        assert one.finished
        same = one.finish()
        assert (same, same.sample, same.correct) == (bits, bits.sample, 2)
    with resume(path) as one:
        one.append(table(5, seed=2))
        assert not one.finished
    with pytest.raises(BitsError, match="has no digest to compare with, because it is not finished"):
        BitMatrix.open(path, verify=True)
    assert len(BitMatrix.open(path)) == 70


def test_finishing_with_other_thresholds_than_the_file_was_made_with_is_refused(path):
    with create(path) as one:
        with pytest.raises(BitsError, match="expected 'half', got None and other thresholds"):
            one.finish(np.zeros(4))
        with pytest.raises(BitsError, match="expected 'half', got 'median'"):
            one.finish(THRESHOLDS, binarizer="median")


KILLED = """
    import numpy as np, sys
    from ndg.bits.file import BitFile
    from ndg.nodes import LayerUnits, NodeSpace
    nodes = NodeSpace(2, (LayerUnits("a", 3, "max"), LayerUnits("b", 1)))
    values = np.random.default_rng(0).random((20000, 6)) < 0.5
    one = BitFile.create(sys.argv[1], nodes, np.array([0.5, np.nan, -np.inf, 1 / 3]), "half", "net-1")
    for start in range(0, 20000, 37):
        one.append(values[start : start + 37])
        if start % 2:
            one.commit(correct=start, durable=start % 3 == 0)
        print(start, flush=True)
"""


@pytest.mark.parametrize("after", [0, 5, 60, 333])
def test_a_killed_process_costs_only_what_it_had_not_committed(path, after):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
        for _ in range(after + 1):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    values = table(20000)
    with resume(path) as one:
        assert one.examples >= 37 * (after - 1)
        assert one.examples == (0 if one.correct is None else one.correct + 37)
        assert (BitMatrix.open(path).to_bool() == values[: one.examples]).all()
        one.append(values[one.examples :])
        bits = one.finish()
    assert bits == BitMatrix.from_bool(values, NODES, THRESHOLDS)
    assert (bits.words == BitMatrix.from_bool(values, NODES).words).all()


def test_a_crash_at_any_byte_of_a_commit_leaves_the_one_before(path):
    with create(path) as one:
        one.append(table(64))
        one.commit(correct=1, durable=True)
        before = path.read_bytes()
        one.append(table(64, seed=1))
        one.commit(correct=2, durable=True)
        after = path.read_bytes()
    changed = [at for at in range(WORDS_AT) if before[at] != after[at]]
    assert changed[-1] - changed[0] < 512
    for cut in range(changed[0], changed[-1] + 2):
        path.write_bytes(after[:cut] + before[cut:WORDS_AT] + after[WORDS_AT:])
        found = BitMatrix.open(path)
        assert (found.examples, found.correct) in {(64, 1), (128, 2)}
        assert (found.examples == 128) == (cut > changed[-1])
        assert (found.to_bool()[:64] == table(64)).all()


def test_a_commit_that_did_not_wait_for_the_disk_counts_until_the_machine_starts_anew(path, monkeypatch):
    one = create(path)
    one.append(table(64))
    one.commit(durable=True)
    one.append(table(9))
    one.commit(durable=False)
    assert len(BitMatrix.open(path)) == 73
    with monkeypatch.context() as started:
        started.setattr(disk, "boot_id", lambda: bytes(range(16)))
        assert len(BitMatrix.open(path)) == 64
    with monkeypatch.context() as unknown:
        unknown.setattr(disk, "boot_id", lambda: bytes(16))
        assert len(BitMatrix.open(path)) == 64
    one.close()
    monkeypatch.setattr(disk, "boot_id", lambda: bytes(range(16)))
    assert len(BitMatrix.open(path)) == 73, "closing waits"


def test_two_writers_do_not_write_to_one_file(path):
    with create(path), pytest.raises(OutputError, match="is being written by another BitFile; close it"):
        resume(path)
    with resume(path) as one:
        one.append(table(10_000))
        with pytest.raises(OutputError, match="is being written by another BitFile"):
            resume(path)
    with pytest.raises(OutputError, match=r"exists already; continue it with BitFile\.resume"):
        create(path)


def test_bits_of_another_network_or_of_other_nodes_are_refused(path):
    filled(path)
    with pytest.raises(BitsError, match="of another network or of other data: expected source 'net-2', got 'net-1'"):
        BitFile.resume(path, NODES, "net-2")
    with pytest.raises(BitsError, match=r"holds bits of other nodes: expected NodeSpace\(labels=3"):
        BitFile.resume(path, NodeSpace(3), "net-1")
    with resume(path) as one:
        assert one.examples == 200, "a refusal changes nothing"


def test_what_is_not_there_or_not_bits_is_refused(path):
    with pytest.raises(BitsError, match=r"no packed bits can be read at .*: No such file"):
        BitMatrix.open(path)
    path.write_text(json.dumps({"format": "ndg"}))
    with pytest.raises(BitsError, match="holds no packed bits"):
        BitMatrix.open(path)
    path.write_bytes(b"")
    with pytest.raises(BitsError, match="holds no packed bits"):
        BitMatrix.open(path)


FULL = """
    import resource, sys
    import numpy as np
    from ndg.bits.file import BitFile
    from ndg.errors import OutputError
    from ndg.nodes import LayerUnits, NodeSpace
    nodes = NodeSpace(2, (LayerUnits("a", 3, "max"), LayerUnits("b", 1)))
    values = np.random.default_rng(0).random((200, 6)) < 0.5
    one = BitFile.create(sys.argv[1], nodes, np.array([0.5, np.nan, -np.inf, 1 / 3]), "half", "net-1")
    one.append(values)
    one.commit(correct=5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        one.append(np.ones((100_000, 6), bool))
    except OutputError as error:
        print(error)
    assert (one.examples, one.committed) == (200, 200)
    one.append(values[:100])
    one.commit()
    try:
        BitFile.create(sys.argv[1] + "2", nodes, one.thresholds, "half", "net-1", 10**6)
    except OutputError as error:
        print(error)
    one.finish()
"""


def test_a_disk_that_is_full_is_an_error_and_what_was_committed_stays(path):
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{path} cannot be written: File too large; free space, or choose a writable folder")
    assert second.startswith(f"{path}2 cannot be written: File too large")
    assert (BitMatrix.open(path, verify=True).to_bool() == np.concatenate([table(200), table(200)[:100]])).all()
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_cannot_be_is_an_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be written: "):
        create(tmp_path / "taken" / "bits")
    with pytest.raises(OutputError, match="cannot be written: "):
        BitMatrix.from_bool(table(3), NODES).save(tmp_path / "taken" / "bits")


def test_growing_is_a_copy_beside_that_a_crash_leaves_behind_at_most_once(path, monkeypatch):
    one = create(path)
    one.append(table(100))
    one.commit()

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(disk, "flush", crash)
        with pytest.raises(KeyboardInterrupt):
            one.append(table(5000))
    assert os.listdir(path.parent) == [path.name], "an exception cleans up"
    one.close()
    disk.partial_path(path).write_bytes(b"what a kill leaves")
    with resume(path) as again:
        assert again.examples == 100
        assert os.listdir(path.parent) == [path.name]
        again.append(table(5000))
    assert (BitMatrix.open(path).to_bool()[100:] == table(5000)).all()


def test_a_file_that_went_on_in_another_place_is_not_continued_in_the_old_one(path):
    filled(path)
    descriptor = disk.open_file(path, os.O_RDWR)
    with resume(path) as one:
        one.append(table(10_000))
    try:
        with pytest.raises(OutputError, match="is being written by another BitFile"):
            disk.lock(path, descriptor)
    finally:
        os.close(descriptor)
