"""Every executor in the registry keeps the laws of `ndg.testing`."""

import pytest

from ndg.executors import EXECUTORS
from ndg.testing import EXECUTOR_CHECKS


@pytest.mark.parametrize("check", EXECUTOR_CHECKS)
@pytest.mark.parametrize("name", [name for name in EXECUTORS if name != "ray"])
def test_an_executor_keeps_the_laws(name, check):
    EXECUTOR_CHECKS[check](EXECUTORS[name]())


@pytest.mark.parametrize("check", EXECUTOR_CHECKS)
def test_ray_keeps_the_laws(ray_session, check):
    EXECUTOR_CHECKS[check](EXECUTORS["ray"]())
