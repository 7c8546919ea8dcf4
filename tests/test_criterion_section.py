"""The config section `criterion`: its keys, and which criteria are mined at several alphas."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from ndg import config, runs
from ndg.cli import main
from ndg.errors import ConfigError
from ndg.mining.criteria import CRITERIA, Confidence, criterion, settings

QUICK = ["train.epochs=6", "train.schedule=constant"]
MINED = ["trial.interventions=[]", "importance.methods=[]"]


@dataclass(frozen=True)
class Lenient:
    """At most a share `gamma` of exceptions; all that a new criterion needs is this class and its registry line."""

    gamma: float = 0.25
    support: int = 10
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < 1:
            raise ConfigError(f"criterion.gamma must be inside [0, 1); got {self.gamma}")

    def holds(self, exceptions, antecedent, negation, examples):
        margin = np.broadcast_to(np.minimum(antecedent, negation), exceptions.shape)
        return (exceptions <= self.gamma * margin) & (margin >= self.support)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "lenient", "gamma": self.gamma, "support": self.support, "tags": list(self.tags)}


@dataclass(frozen=True)
class LenientAtAlpha(Lenient):
    """The same with one more parameter, which is mined at several values at once."""

    alpha: float = 2.0

    def holds(self, exceptions, antecedent, negation, examples):
        return super().holds(exceptions, antecedent, negation, examples) & (exceptions * self.alpha <= examples)


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setitem(CRITERIA, "lenient", Lenient)
    return ["criterion.name=lenient", "criterion.gamma=0.125"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Options for a folder of runs with one small training."""
    options = ["-q", "--runs", str(tmp_path_factory.mktemp("criteria"))]
    assert main(["train", "digits_mlp", *QUICK, *options]) == 0
    return [*QUICK, *options, "--executor", "serial"]


def aligned(home, capsys, *overrides: str) -> list[dict[str, Any]]:
    assert main(["align", "digits_mlp", *MINED, *overrides, *home, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_settings_of_the_criteria_that_ship():
    """All of them are keys of the section of every criterion, and of every digest, as they always were."""
    found = {name: set(settings(name)) for name in CRITERIA}
    assert found == {
        "paper": {"alpha"},
        "ratio": {"alpha"},
        "confidence": {"confidence", "support"},
        "wilson": {"bound"},
        "fisher": {"q", "confidence", "support"},
    }
    for name in CRITERIA:
        section = config.load({"criterion": {"name": name}}).criterion
        assert type(section) is config.Criterion
        assert section.rule() == criterion(name)


def test_a_new_criterion_goes_from_the_config_to_the_run_record(home, lenient, capsys):
    [record] = aligned(home, capsys, *lenient)
    assert record["config"]["criterion"]["gamma"] == 0.125
    with runs.open(f"{home[home.index('--runs') + 1]}/ndg.db") as log:
        assert log.get(record["_id"]).figure("config.criterion.name") == "lenient"
    assert config.load(record["config"]).digest == record["digest"]
    graph = json.loads((runs.RunRecord(record).folder / "ndg.json").read_text())
    assert graph["criterion"] == Lenient(0.125).to_dict()
    [strict] = aligned(home, capsys, *lenient, "criterion.gamma=0")
    assert record["results"]["graph"]["implications"] > strict["results"]["graph"]["implications"] > 0


def test_keys_and_types_of_its_section_are_checked(lenient):
    experiment = config.load({}, [*lenient, "criterion.tags=a"])
    assert experiment.criterion.rule() == Lenient(0.125, tags=["a"])
    assert config.load(experiment.to_dict()) == experiment == pickle.loads(pickle.dumps(experiment))
    assert experiment.digest != config.load({}, lenient).digest != config.load({}, lenient[:1]).digest
    for overrides, message in {
        ("criterion.gama=1",): r"no key 'criterion.gama' in a config; nearest: criterion.gamma",
        ("criterion.gamma=many",): r"criterion.gamma must be a number; got 'many'",
        ("criterion.gamma=3",): r"criterion.gamma must be inside \[0, 1\); got 3.0",
        ("criterion.name=paper",): r"no key 'criterion.gamma' in a config; nearest: criterion.name",
        ("criterion.name=lenent",): r"a known criterion; got 'lenent'; nearest: lenient",
    }.items():
        with pytest.raises(ConfigError, match=message):
            config.load({}, [*lenient, *overrides])


@pytest.mark.parametrize("name", ["paper", "ratio", "own"])
def test_several_alphas_are_one_run_each_where_a_criterion_has_alpha(name, home, monkeypatch, capsys):
    monkeypatch.setitem(CRITERIA, "own", LenientAtAlpha)
    records = aligned(home, capsys, f"criterion.name={name}", "criterion.alpha=[2,20]")
    assert [record["config"]["criterion"]["alpha"] for record in records] == [[2.0], [20.0]]
    assert len({record["digest"] for record in records}) == 2
    loose, strict = (record["results"]["graph"]["implications"] for record in records)
    assert loose > strict


def test_several_alphas_are_one_run_where_a_criterion_has_none(home, capsys):
    [record] = aligned(home, capsys, "criterion.name=confidence", "criterion.alpha=[2,20]")
    assert record["config"]["criterion"]["alpha"] == [2.0]
    assert config.load(record["config"]).criterion.rule() == Confidence()
