"""Every command of README and docs runs, as written, on small networks and generated data."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis import efficiency_networks
from examples import huggingface_folder
from ndg import config, runs
from ndg.causal.towards import FaithfulSettings
from ndg.cli import main
from ndg.data.samples import SAMPLES
from ndg.rotation import equality
from ndg.workflows.studies import causal, faithful
from tests.scripts import run_module

pytestmark = pytest.mark.slow

Effort = equality.Effort
ROOT = Path(__file__).parent.parent
RUN_BY = {"gallery.md", "howto/pictures.md", "howto/report.md", "howto/run_log.md", "tutorial.md"}
"""Pages whose commands tests/test_docs_of_runs.py and tests/test_tutorial.py run."""
COMMAND = re.compile(r"^    ((?:ndg|python (?:train_models|align)\.py) .*?)(?:\s+#.*)?$", re.MULTILINE)
PAGES = {
    str(path.relative_to(ROOT)): COMMAND.findall(path.read_text(encoding="utf-8"))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if str(path.relative_to(ROOT / "docs") if path.name != "README.md" else path.name) not in RUN_BY
}
NEEDS = {
    "data get": "the internet",
    "--device cuda": "a GPU",
    "--ray-address": "a cluster",
    "mongodb://": "a MongoDB server; tests/test_command_line.py and tests/conformance/test_stores.py have one",
    "--resume": "a run that was killed; tests/test_resume_score.py and tests/test_resume_trial.py kill one",
    "model.width=16": "half an hour",
}
"""What is not here, by words of commands."""
ELSEWHERE = {
    "align.py causal": "test_studies.py",
    "align.py faithful": "test_studies.py",
    "--method all": "test_score_command.py",
    "ndg doctor": "test_command_line.py",
    "ndg compress": "test_compress_command.py",
    "ndg efficiency": "test_efficiency_command.py",
    "ndg prune": "test_prune_command.py",
}
"""Commands that a file of their own runs on small networks."""
ANALYSIS = re.compile(r"python -m (analysis\.\w+)((?: [^`\n#|<>\[]*)?)(?=[`\n#|\[]|$)")
ANALYSES = sorted({
    (module, words.replace("--markdown", "").strip(" ."))
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    for module, words in ANALYSIS.findall(path.read_text(encoding="utf-8"))
})  # fmt: skip
QUICKER = {
    "edge_survival": "--seeds 0 --alphas 2",
    "importance_scoreboard": "--examples 8 --methods gndi magnitude --seeds 0",
    "efficiency_validation": "--quick",
    "efficiency_claims": "--quick --seeds 0",
    "hierarchical_equality": "--quick --seeds 0 --decays 0.0001",
    "fast_ablation": "--quick --configs digits_mlp --seeds 0 --draws 2",
    "gndi_table": "--quick --configs digits_cnn",
    "layer_table": "--quick --configs digits_mlp --seeds 0",
    "filter_experiment": "--quick --top 1 2 --methods gndi --fit 8 --test 4",
    "pruning_curves": "--quick --methods magnitude --shares 0.5",
    "reproduce": "--smoke --only ndg_table_2 --configs digits_mlp",
}
"""Words that make an analysis small; they override those of the page."""
ANALYSED = {"planted": "test_planted.py", "fitness_table": "test_analysis.py", "apoptosis_table": "test_analysis.py"}
"""Analyses that a file of their own runs in small."""
SMALL = {
    "data": {"limit": 200},
    "train": {"epochs": 2, "threads": 1, "batch_size": 16, "learning_rate": 0.02, "noise": 0.0, "shift": 0.0},
    "extract": {"threads": 1},
    "criterion": {"alpha": [2]},
    "trial": {"draws": 1, "graphs": [], "interchange": False, "edges": False, "minimal": 0, "interventions": ["Q"]},
    "sweep": {"alphas": [2.0]},
    "counterfactual": {"epochs": 1},
    "importance": {"methods": ["gndi"], "n_steps": 2, "max_examples": 8},
    "report": {"max_nodes": 6},
}
LESS = [f"trial.{key}={str(value).replace(chr(39), '')}" for key, value in SMALL["trial"].items()]
"""For networks without a config."""
MODELS = {
    "mlp": {"widths": [16], "latent": 10, "dropout": 0.0, "latent_noise": 0.0},
    "cnn": {"channels": [3, 4], "width": 16, "latent": 10, "dropout": 0.0, "latent_noise": 0.0},
    "vit": {"width": 8, "depth": 1, "heads": 2, "mlp": 8, "latent": 8},
    "resnet": {"width": 2, "blocks": [1, 1, 1, 1]},
    "bert": {"width": 8, "depth": 1, "heads": 2, "mlp": 8, "latent": 8},
    "distilbert": {"pretrained": None, "width": 8, "depth": 1, "heads": 2, "mlp": 8, "latent": 8},
}


def small(document: dict[str, Any]) -> str:
    """A config with a small network and few examples, under its name."""
    for section, keys in {**SMALL, "model": MODELS[document["model"]["name"]]}.items():
        document.setdefault(section, {}).update(keys)
    if document["name"] in ("digits_mlp", "digits_cnn"):
        document["train"] |= {"epochs": 10, "keep_checkpoints": "every:10"}
    document["smoke"] = {"train": {"epochs": 1}}
    return yaml.safe_dump(document)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A home and current folder with small configs, generated data, trained networks and two mined ones."""
    folder = tmp_path_factory.mktemp("pages")
    for name, path in config.configs().items():
        document = yaml.safe_load(path.read_text())
        if any(name in line for lines in PAGES.values() for line in lines):
            (folder / name).write_text(small(document))
            if (data := document["data"]["name"]) in SAMPLES and not (folder / "data" / data).exists():
                SAMPLES[data](folder / "data" / data, 0)
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "my_package").mkdir()
    shutil.copy(ROOT / "examples" / "own_model_for_align.py", folder / "my_package" / "my_module.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(huggingface_folder, "LENGTH", 128)
        huggingface_folder.write_network(
            Path("models/my-distilbert"), huggingface_folder.write_data(Path("reviews"), 80), 1
        )
        assert main(["train", "digits_mlp", "digits_cnn", "--seeds", "0", "1", "2", "-q"]) == 0
        assert main(["train", "mnist_cnn", "--data", "data", "-q"]) == 0
        assert main(["align", "digits_mlp", "digits_cnn", "-q"]) == 0
    return folder


@pytest.fixture
def quick(folder, monkeypatch):
    """The folder as home and current folder; less of what takes long."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("NDG_STORE", "NDG_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NDG_DATA", "data")
    monkeypatch.setattr(causal, "ACCURACY", causal.AccuracySettings(fit=400, pairs=100))
    monkeypatch.setattr(causal, "PROOFS", causal.CertifySettings(nodes=4))
    for name in ("HIDDEN", "FORCED"):
        monkeypatch.setattr(causal, name, causal.SetSettings(at_most=1, examples=30))
    monkeypatch.setattr(causal, "RARE", 0.25)
    monkeypatch.setattr(equality, "Effort", lambda: Effort(300, 256, 1000, 100, 100, 20, 300))
    few = partial(efficiency_networks.examples_of, limit=200)
    monkeypatch.setattr(efficiency_networks, "examples_of", few)
    monkeypatch.setattr(faithful, "SETTINGS", FaithfulSettings(steps=2, rows=16, fit=400, pairs=100, examples=100))


def filled(line: str) -> list[str]:
    """The words of a command, with runs of this folder for RUN."""
    kind = "train" if "epoch-" in line else "align"
    with runs.open("runs/ndg.db") as log:
        names = [record.id for record in log.find({"kind": kind, "name": "digits_mlp"})]
    line = re.sub(r"\bRUN\b", lambda _: names.pop(), line).replace("CONFIG", "digits_cnn")
    words = [word.replace("~/", "./") for word in shlex.split(line)]
    if "ray" in words:
        words[words.index("ray")] = "serial"  # Ray takes seconds to start
    if words[0] == "python":
        words[:2] = ["ndg", {"train_models.py": "train", "align.py": "align"}[words[1]]]
    own = "--model" in words or "--hf" in words
    return [*words[1:], *(LESS if own else [])]


RAN: set[str] = set()
"""Commands of earlier pages, without the names of configs; they are not run again."""


@pytest.mark.parametrize("page", [name for name, lines in PAGES.items() if lines])
def test_the_commands_of_a_page_run(page, quick, capsys):
    for command in (part for line in PAGES[page] for part in line.split(" ; ")):
        kind = re.sub(r"CONFIG|\b(digits|mnist|sst2|sick|fashion)_\w+", "CONFIG", command)
        kind = kind.replace("python align.py", "ndg align").replace("python train_models.py", "ndg train")
        if kind in RAN or any(words in command for words in (*NEEDS, *ELSEWHERE)):
            continue
        RAN.add(kind)
        assert main(filled(command)) == 0, f"{command}\n{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("module", "words"), [(module, words) for module, words in ANALYSES if module.split(".")[1] not in ANALYSED]
)
def test_the_analyses_that_pages_name_run(module, words, quick, capsys, monkeypatch):
    with runs.open("runs/ndg.db") as log:
        trained = log.find({"kind": "train", "name": "digits_cnn"}, limit=1)[0]
    words = words.replace("RUN", trained.id).replace("FOLDER", "journal")
    status = run_module(module, [*words.split(), *QUICKER.get(module.split(".")[1], "").split()], monkeypatch)
    assert status == 0, capsys.readouterr().err
    assert capsys.readouterr().out


def test_what_is_not_run_here_is_little():
    lines = [line for lines in PAGES.values() for line in lines]
    assert len(lines) > 90
    assert sum(any(words in line for words in NEEDS) for line in lines) < 20
    for words in (*NEEDS, *ELSEWHERE):
        assert any(words in line for line in lines), words
    for words, file in ELSEWHERE.items():
        assert f'"{words.split()[-1]}"' in (ROOT / "tests" / file).read_text(), words
    modules = {module.split(".")[1] for module, _ in ANALYSES}
    assert {*QUICKER, *ANALYSED} <= modules
    for module, file in ANALYSED.items():
        text = (ROOT / "tests" / file).read_text()
        assert re.search(rf"\b{module}\.main\(|\(\({module}, |, \({module}, ", text), module
