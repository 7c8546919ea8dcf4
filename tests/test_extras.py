"""The wheel works outside the repository without the packages of the extras, which say how to install them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ndg import extras
from ndg.errors import MissingPackageError
from ndg.extras import DISTRIBUTION, EXTRAS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CORE = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import torch
import ndg
from ndg.cli import main
assert ndg.__file__.startswith(sys.argv[2])
trained = ["digits_mlp", "train.epochs=2", "data.limit=300", "model.widths=[16]"]
small = [*trained, "importance.methods=[gndi]", "trial.draws=1", "trial.graphs=[]", "trial.minimal=5"]
assert main(["train", *small]) == 0
assert main(["align", *small]) == 0
assert main(["runs"]) == 0
assert main(["render", "last", "--pdf", "x.pdf"]) == 0
assert main(["efficiency", *trained, "--json"]) == 0
print("=== done")
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
data = [(torch.randn(50, 3), torch.randint(0, 2, (50,)))]
graph = ndg.mine(ndg.extract(net, data, ["1"]))
for attempt in (
    lambda: ndg.extract(net, data, ["1"], options=ndg.RunOptions(executor="ray")),
    lambda: ndg.runs.open("mongodb://127.0.0.1:1/ndg"),
    lambda: graph.plot(),
    lambda: graph.to_parquet("x.parquet"),
):
    try:
        attempt()
    except ndg.errors.MissingPackageError as error:
        print(error)
assert main(["train", "digits_vit", "train.epochs=1", "data.limit=100"]) == 2
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Folder with the installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([sys.executable, "-m", "pip", *words, str(folder), str(ROOT)], check=True, timeout=200)
    return folder


def in_core(missing, wheel, folder):
    """Run the commands of the wheel in a process that cannot import some packages."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(wheel),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
        "NUMBA_OPT": "0",
    }
    words = [sys.executable, "-c", CORE, ",".join(missing), str(wheel)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def top_names(requirements):
    names = (re.match(r"[\w-]+", each)[0].lower() for each in requirements)
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml", "pillow": "PIL"}


def test_the_core_trains_aligns_lists_and_draws_without_the_extras(wheel, tmp_path):
    missing = {package.partition(".")[0] for package in EXTRAS} | {"bson", "gridfs", "fontTools", "omegaconf"}
    assert {"ray", "pymongo", "transformers", "tokenizers", "matplotlib", "pyarrow"} <= missing
    done = in_core(sorted(missing), wheel, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.partition("=== done")[2].strip().splitlines() == [
        f"the executor 'ray' needs ray: pip install '{DISTRIBUTION}[ray]'; the executor 'threads' needs no package",
        f"a run log on a MongoDB server needs pymongo: pip install '{DISTRIBUTION}[mongo]'; an embedded file needs no "
        "package",
        f"a plot needs matplotlib: pip install '{DISTRIBUTION}[plots]'; `render` and `svg` need no package",
        f"Parquet needs pyarrow: pip install '{DISTRIBUTION}[parquet]'; CSV needs no package",
    ]
    assert f"a vision transformer needs transformers: pip install '{DISTRIBUTION}[hf]'" in done.stderr
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


def test_the_test_of_the_core_can_fail(wheel, tmp_path):
    assert in_core(["torch"], wheel, tmp_path).returncode != 0


def test_every_optional_package_has_an_extra_that_installs_it(monkeypatch):
    for package, extra in EXTRAS.items():
        assert package in top_names(PROJECT["optional-dependencies"][extra])
    assert PROJECT["name"] == DISTRIBUTION
    monkeypatch.setattr(extras, "installed", lambda package: False)
    with pytest.raises(MissingPackageError, match=r"^a purpose needs tensorboard: pip install '.*\[tensorboard\]'$"):
        extras.require("tensorboard", "a purpose")
