"""Kernels compile where nothing can be kept on disk, and next to damaged files."""

from __future__ import annotations

import importlib.util
import logging

import numba
import pytest
from numba.core import caching

from ndg import compiled

MODULE = """
from numba import types
from ndg.compiled import njit

@njit(types.int64(types.int64))
def twice(number):
    return 2 * number
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Function that imports a module with one kernel anew, whose compiled code goes to `tmp_path / "cache"`."""
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "kernels.py").write_text(MODULE)
    compiled._warn.cache_clear()
    compiled._say.cache_clear()

    def load():
        spec = importlib.util.spec_from_file_location("kernels", tmp_path / "kernels.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_a_kernel_is_kept_on_disk(load, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "ndg"):
        assert load().twice(4) == 8
        assert list((tmp_path / "cache").rglob("*.nbi"))
        [record] = caplog.records
        compiled._say.cache_clear()
        assert load().twice(4) == 8
    assert record.getMessage().endswith(f"once; later processes read them from {tmp_path / 'cache'}")
    assert caplog.records == [record]


def test_a_kernel_compiles_where_no_folder_can_be_written(load, monkeypatch, caplog):
    for name in ("CompileResultCacheImpl", "CodeLibraryCacheImpl"):
        monkeypatch.setattr(getattr(caching, name), "_locator_classes", [])
    with caplog.at_level(logging.WARNING, "ndg"):
        assert load().twice(4) == load().twice(4) == 8
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "compiled kernels must be kept in a folder"
    ]
    assert "set NUMBA_CACHE_DIR to an empty folder" in caplog.text


@pytest.mark.parametrize("content", [b"", b"0.1", b"\x80\x04K", b"\x80\x04N."])
def test_a_kernel_compiles_next_to_damaged_files(load, tmp_path, content):
    load()
    for path in (tmp_path / "cache").rglob("*.nb*"):
        path.write_bytes(content)
    assert load().twice(4) == 8
