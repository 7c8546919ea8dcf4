"""The sizes that README names are those of this environment."""

import re
from pathlib import Path

import pytest
import torch

from tools import install_size

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(torch.version.cuda is not None, reason="README has the sizes with the CPU build of PyTorch")
@pytest.mark.parametrize(("name", "extras"), [("core", ()), ("[all]", ("all",))])
def test_readme_has_what_the_command_prints(name, extras):
    figures = r": (\d+) packages, ([\d.]+) GB, PyTorch ([\d.]+) of it"
    printed = re.fullmatch(re.escape(name) + figures, install_size.words(name, extras))
    quoted = re.search(rf"^    {re.escape(name)}{figures}$", README, re.MULTILINE)
    for here, there in zip(printed.groups(), quoted.groups(), strict=True):
        assert float(here) == pytest.approx(float(there), rel=0.1)  # another Python has other wheels


def test_all_has_the_core_and_the_packages_of_every_extra():
    core, every = install_size.packages(), install_size.packages(("all",))
    assert set(core) < set(every)
    assert {"torch", "numba", "llvmlite", "safetensors"} <= set(core)
    assert not {"ray", "pymongo", "transformers", "matplotlib", "pyarrow", "starlette"} & set(core)
    assert {"ray", "pymongo", "transformers", "matplotlib", "pyarrow", "starlette"} <= set(every)
