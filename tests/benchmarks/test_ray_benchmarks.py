"""The benchmarks that use Ray run with `--quick`."""

from __future__ import annotations

import pytest

from tests.benchmarks.test_benchmarks import WITH_RAY, check_quick


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_RAY)
def test_a_benchmark_runs_with_quick(name, ray_session, tmp_path, capsys, monkeypatch):
    check_quick(name, tmp_path, capsys, monkeypatch)
