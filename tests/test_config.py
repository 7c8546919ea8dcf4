"""Configs against their schema: what is written is what is read, and mistakes are named."""

import os
import subprocess
import sys
import warnings
from dataclasses import FrozenInstanceError, replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ndg import config
from ndg.config.dump import dump
from ndg.errors import ConfigError
from ndg.locations import Locations

experiments = st.builds(
    config.Experiment,
    name=st.text("abc_-", min_size=1, max_size=8),
    seed=st.integers(0, 2**31),
    model=st.one_of(
        st.builds(config.MLP, widths=st.lists(st.integers(1, 512), max_size=3), dropout=st.floats(0, 0.9)),
        st.builds(config.CNN, latent=st.integers(1, 64)),
        st.builds(config.ViT, depth=st.integers(1, 12)),
    ),
    train=st.builds(config.Train, epochs=st.integers(1, 99), learning_rate=st.floats(1e-6, 1)),
    criterion=st.builds(config.Criterion, alpha=st.lists(st.floats(1.01, 1e5), min_size=1, max_size=4, unique=True)),
)


@given(experiments)
@settings(max_examples=25, deadline=None)
def test_loading_what_was_dumped_gives_the_same_experiment(tmp_path_factory, experiment):
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    path.write_text(experiment.to_yaml())
    again = config.load(path)
    assert again == experiment
    assert again.digest == experiment.digest


@pytest.mark.parametrize("name", config.configs())
def test_every_config_that_ships_resolves(name):
    experiment = config.load(config.find(name))
    assert experiment.name == name
    assert config.load(experiment.to_dict()) == experiment


@pytest.mark.parametrize("name", config.configs())
@pytest.mark.parametrize("smoke", [False, True])
def test_the_yaml_of_every_config_that_ships_is_that_of_omegaconf(name, smoke):
    experiment = config.load(config.find(name), smoke=smoke)
    for document in (experiment.to_dict(), experiment.at(50.0).to_dict(), {"smoke": experiment.smoke}):
        assert dump(document) == OmegaConf.to_yaml(OmegaConf.create(document))
    assert experiment.to_yaml() == dump({"schema": 2, **experiment.to_dict()})
    assert "model" not in yaml.safe_load(experiment.to_yaml(without=("model",)))


words = st.one_of(
    st.text().filter(lambda text: "${" not in text),
    st.from_regex(r"[+-]?[0-9_]*[.eE]?[+-]?[0-9]{0,3}", fullmatch=True),
    st.sampled_from(
        ["y", "N", "yes", "Off", "true", "null", "~", "", "nan", "inf", "0x1f", "1:30", "2026-01-01", "é ☃", " x "]
    ),
    st.sampled_from(["word " * 40, "a: b", "- a", "# a", "'", '"', "a\nb", "=", "<<"]),
)
values = st.recursive(
    st.one_of(words, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz01", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcxyz_", min_size=1), values, max_size=4))
@settings(deadline=None)
def test_the_yaml_of_any_plain_values_is_that_of_omegaconf(document):
    assert dump(document) == OmegaConf.to_yaml(OmegaConf.create({"root": document})["root"])


def test_digests_are_stable_across_processes():
    code = "from ndg import config; e = config.load({}); print(e.digest, e.training_digest)"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert outputs.pop().split() == [config.Experiment().digest, config.Experiment().training_digest]


FISHER = {"name": "fisher", "alpha": [5, 50]}


@pytest.mark.parametrize(
    ("document", "digests"),
    [
        ({}, ("0e57a9aacb7eb595", "d4c186f1ed23e5b6")),
        ({"criterion": FISHER, "data": {"dir": "/x"}, "seed": 3}, ("1aef69a4e55f752c", "d4c186f1ed23e5b6")),
        ({"model": {"name": "vit"}, "train": {"epochs": 3}}, ("2f54576c3920ee71", "98f5bfd50072d305")),
    ],
)
def test_digests_are_those_of_existing_run_logs(document, digests):
    """Written down from version 0.1: other values would hide all runs logged so far."""
    experiment = config.load(document)
    assert (experiment.digest, experiment.training_digest) == digests


def test_a_store_in_a_config_is_no_part_of_the_experiment(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("store: {uri: 'mongodb://me:secret@host/ndg'}\nsmoke: {store: {uri: other.db}}\n")
    with pytest.warns(
        DeprecationWarning, match=r"no store; the one in .*c\.yaml is ignored here: give it to Locations"
    ):
        experiment = config.load(path)
    assert "store" not in experiment.to_dict()
    assert not experiment.smoke
    assert experiment == config.Experiment()
    assert config.store_uri(path) == "mongodb://me:secret@host/ndg"
    assert config.store_uri(path, smoke=True) == "other.db"
    assert config.store_uri({}) is config.store_uri({"store": {"uri": None}}) is None
    with pytest.raises(ConfigError, match=r"no key 'store.uir' in a config; nearest: store.uri"):
        config.store_uri({}, ["store.uir=x"])
    with pytest.raises(ConfigError, match=r"store must hold keys \(uri\); got 'x'"):
        config.store_uri({}, ["store=x"])


def test_the_config_of_an_older_run_with_a_store_still_loads():
    experiment = config.load({"model": {"name": "cnn"}}, ["seed=4"])
    with warnings.catch_warnings(action="error"):
        assert config.load({**experiment.to_dict(), "store": {"uri": None}}) == experiment


def test_the_training_digest_ignores_what_comes_after_training_and_where_things_lie():
    one = config.load({})
    for other in (["seed=3"], ["criterion.alpha=50"], ["data.dir=/elsewhere"], ["name=other"]):
        assert config.load({}, other).training_digest == one.training_digest
    for other in (["data.seed=3"], ["model.latent=16"], ["train.epochs=7"]):
        assert config.load({}, other).training_digest != one.training_digest
    assert config.load({}, ["criterion.alpha=50"]).digest != one.digest == config.load({}, ["name=other"]).digest


def test_dotted_overrides_reach_every_level_and_a_scalar_becomes_a_list_of_one():
    experiment = config.load({"model": {"name": "cnn"}}, ["criterion.alpha=50", "seed=4", "model.channels=[8,16]"])
    assert experiment.criterion.alpha == [50.0]
    assert (experiment.seed, experiment.model.channels) == (4, [8, 16])
    assert config.load({}, ["trial.interventions=Q"]).trial.interventions == ["Q"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("criterion.alhpa=3", r"no key 'criterion.alhpa' in a config; nearest: criterion.alpha"),
        ("alpha=3", r"no key 'alpha' in a config; nearest: criterion.alpha"),
        ("modle.name=mlp", r"no key 'modle' in a config; nearest: model"),
        ("model.patch=2", r"no key 'model.patch' in a config"),
        ("train.epochs=many", r"train.epochs must be a whole number; got 'many'; write one such as 5"),
        ("train=4", r"train must hold keys \(epochs, .*\); got 4"),
        ("model.name=mpl", r"model.name must be a known model; got 'mpl'; nearest: mlp"),
        ("criterion.alpha=0.5", r"criterion.alpha must be above 1.*got \[0.5\]"),
        ("criterion.alpha=[5,5]", r"criterion.alpha must be .*each value once; got \[5.0, 5.0\]"),
        ("data.test=1.5", r"fractions above 0 that leave examples"),
        ("trial.splits=[tset]", r"trial.splits must name splits; got 'tset'; nearest: test"),
        ("train.epochs", r"an override is written key=value"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_key(override, message):
    with pytest.raises(ConfigError, match=message):
        config.load({}, [override])


TYPED = ["0.10", "no", "Yes", "off", "true", "1e3", "0x1f", "007", "1_000", "2026-01-01", "1:30", ".5", "12"]


@pytest.mark.parametrize("text", TYPED)
def test_text_stays_as_it_was_typed_in_overrides_and_in_yaml(tmp_path, text):
    keys = {"name": text, "data.dir": text, "trial.layer": text, "model.name": "mlp"}
    lists = {"extract.layers": [text, "a"], "data.columns": [text, "b"], "mining.pairs": [[text, text]]}
    overrides = [f"{key}={value}" for key, value in keys.items()]
    overrides += [f"{key}={str(value).replace(chr(39), '')}" for key, value in lists.items()]
    path = tmp_path / "c.yaml"
    path.write_text(
        f"name: {text}\ndata: {{dir: {text}, columns: [{text}, b]}}\ntrial:\n  layer: {text}\nextract:\n"
        f"  layers:\n  - {text}\n  - a\nmining:\n  pairs: [[{text}, {text}]]\nsmoke:\n  train: {{epochs: 1}}\n"
    )
    for experiment in (config.load({}, overrides), config.load(path), config.load({"name": "x"}, overrides)):
        assert (experiment.name, experiment.data.dir, experiment.trial.layer) == (text, text, text)
        assert (experiment.extract.layers, experiment.data.columns) == ([text, "a"], [text, "b"])
        assert experiment.mining.pairs == [[text, text]]
        again = tmp_path / "again.yaml"
        again.write_text(experiment.to_yaml())
        assert config.load(again) == experiment
    assert config.load(path, smoke=True).name == f"{text}-smoke"
    assert config.load(path, [f"extract.layers={text}"]).extract.layers == [text]


def test_null_stays_null():
    experiment = config.load({}, ["data.dir=null", "trial.layer=~"])
    assert (experiment.data.dir, experiment.trial.layer) == (None, None)


SIGNS = ["???", "${seed}", "${oc.env:HOME}", "${oops", "|", ">", "#x", "a #b", "&a", "!x", "a,b", "$a", "!!str 5"]


@pytest.mark.parametrize("text", SIGNS)
def test_a_text_that_yaml_or_omegaconf_would_read_otherwise_stays(tmp_path, text):
    keys = ("name", "data.dir", "trial.layer", "extract.layers", "importance.target", "mining.pairs")
    path = tmp_path / "c.yaml"
    quoted = f"'{text}'"
    path.write_text(
        f"name: {quoted}\ndata: {{dir: {quoted}}}\ntrial: {{layer: {quoted}}}\nextract: {{layers: [{quoted}]}}\n"
        f"importance: {{target: {quoted}}}\nmining: {{pairs: {quoted}}}\n"
    )
    typed = config.load({}, [f"{key}={text}" for key in keys])
    for experiment in (typed, config.load({}, [f"{key}={quoted}" for key in keys]), config.load(path)):
        assert (experiment.name, experiment.data.dir, experiment.trial.layer) == (text, text, text)
        assert (experiment.extract.layers, experiment.importance.target) == ([text], text)
        assert experiment.mining.pairs == text
    again = tmp_path / "again.yaml"
    again.write_text(typed.to_yaml())
    assert config.load(again) == typed


@pytest.mark.parametrize("text", ["???", "${seed}", "${oc.env:HOME}", "${oops", "a,b", "$a"])
def test_a_text_of_yaml_without_quotes_stays(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(f"name: {text}\nextract:\n  layers:\n  - {text}\nsmoke:\n  name: {text}\n")
    experiment = config.load(path)
    assert (experiment.name, experiment.extract.layers, experiment.smoke) == (text, [text], {"name": text})
    assert config.load(path, smoke=True).name == f"{text}-smoke"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=5.0", r"^train.epochs must be a whole number; got 5.0; write 5$"),
        ("train.epochs=1e3", r"^train.epochs must be a whole number; got 1e3; write 1000$"),
        ("train.epochs=5.5", r"^train.epochs must be a whole number; got 5.5; write one such as 5$"),
        ("train.epochs=nan", r"^train.epochs must be a whole number; got 'nan'; write one such as 5$"),
        ("train.epochs=.nan", r"^train.epochs must be a finite number; got nan; write one such as 5$"),
        ("train.epochs=", r"^train.epochs must be a whole number; got nothing; write one such as 5$"),
        ("train.epochs=null", r"^train.epochs must be a whole number; got null; write one such as 5$"),
        ("train.epochs=true", r"^train.epochs must be a whole number; got true; write one such as 5$"),
        ("train.epochs=[1]", r"^train.epochs must be a whole number; got \[1\]; write one such as 5$"),
        ("train.epochs.x=3", r"^train.epochs must be a whole number; got \{'x': 3\}; write one such as 5$"),
        ("train.epochs=" + "9" * 5000, r"^train.epochs must be a whole number; got '9{79}; write one such as 5$"),
        ("train.learning_rate=", r"^train.learning_rate must be a number; got nothing; write a decimal such as 0.001$"),
        ("train.learning_rate=nan", r"^train.learning_rate must be a finite number; got nan; write a decimal such as"),
        (
            "train.learning_rate=[1]",
            r"^train.learning_rate must be a number; got \[1\]; write a decimal such as 0.001$",
        ),
        ("train.flip=5", r"^train.flip must be true or false; got 5; write one of them$"),
        ("train.flip=", r"^train.flip must be true or false; got nothing; write one of them$"),
        ("model.widths={a: 1}", r"^model.widths must be one whole number or a list of whole numbers; got \{'a': 1\}; "),
        (
            "model.widths=",
            r"^model.widths must be one whole number or a list of whole numbers; got nothing; write it as",
        ),
        ("model.widths=[[1]]", r"^model.widths must be one whole number or a list of whole numbers; got \[\[1\]\]; "),
        ("model.widths=[8, a]", r"^model.widths must be a whole number; got 'a'; write one such as 5$"),
        ("criterion.alpha=[null]", r"^criterion.alpha must be a number; got null; write a decimal such as 0.001$"),
        (
            "extract.layers=",
            r"^extract.layers must be one text or a list of texts; got nothing; write it as in \[a, b\],",
        ),
        ("name=", r"^name must be a text; got nothing; write it in quotes$"),
        ("name=[a]", r"^name must be a text; got \['a'\]; write it in quotes$"),
        ("name.x=1", r"^name must be a text; got \{'x': 1\}; write it in quotes$"),
        ("name=a: b", r"^the value of an override is YAML; 'name=a: b' cannot be read: this is a mapping without"),
        (
            "name=- a",
            r"cannot be read: this is a list without brackets; put quotes around a text, as in name='\"a: b\"'$",
        ),
        (
            "model.widths=[!!set {a}]",
            r"^a config holds texts, numbers, booleans, null, lists and mappings; got the tag !!set at line 1",
        ),
        ("seed=!!set {a}", r"'seed=!!set {a}' cannot be read: this is a mapping without brackets; put quotes"),
        ("smoke=5", r"^smoke must hold keys \(those of a config\); got 5$"),
        (
            "model.widths=[8, 8",
            r"^the value of an override is YAML; .* cannot be read: did not find expected .*; put quotes",
        ),
    ],
)
def test_a_value_of_another_type_is_named_in_words_of_ones_own(override, message):
    with pytest.raises(ConfigError, match=message):
        config.load({}, [override])


def test_a_text_where_a_list_belongs_is_refused():
    with pytest.raises(ConfigError, match=r"^overrides must be a list; got the text 'name=x'; write \['name=x'\]$"):
        config.load({}, "name=x")
    program = """
from ndg import config
for call in (
    lambda: config.Data(columns="abc"),
    lambda: config.Experiment(trial=config.Trial(interventions="Q")),
    lambda: config.Experiment(importance=config.Importance(methods="gndi")),
    lambda: config.load({}, [3]),
):
    try:
        call()
    except config.loading.ConfigError as error:
        print(error)
"""
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert lines.splitlines() == [
        "data.columns must be a list; got the text 'abc'; write ['abc']",
        "trial.interventions must be a list; got the text 'Q'; write ['Q']",
        "importance.methods must be a list; got the text 'gndi'; write ['gndi']",
        "an override is written key=value, as in criterion.alpha=50; got 3",
    ]


def test_values_of_a_dictionary_are_converted_as_those_of_yaml():
    document = {"name": 5, "train": {"epochs": "3", "flip": "yes", "learning_rate": 1}, "model": {"widths": 8}}
    experiment = config.load(document)
    assert (experiment.name, experiment.train.epochs, experiment.train.flip) == ("5", 3, True)
    assert (experiment.train.learning_rate, experiment.model.widths) == (1.0, [8])


def test_the_smoke_section_holds_typed_values():
    experiment = config.load({"smoke": {"criterion": {"alpha": 5}, "name": "a"}})
    assert experiment.smoke == {"criterion": {"alpha": [5.0]}, "name": "a"}
    assert config.load(yaml.safe_load(experiment.to_yaml())) == experiment


def test_text_of_anchors_and_merged_keys_is_kept(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("smoke: &all {name: no}\n<<: *all\ndata: {dir: &a 0.10, tokenizer: *a}\n")
    experiment = config.load(path)
    assert (experiment.name, experiment.data.dir, experiment.data.tokenizer) == ("no", "0.10", "0.10")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name=[1", r"^the value of an override is YAML; 'name=\[1' cannot be read: .*; put quotes around a text"),
        ("train={epochs: 1, epochs: 2}", r"cannot be read: the key 'epochs' comes twice; leave one of them out$"),
        ("name=a: b: c", r"^the value of an override is YAML; 'name=a: b: c' cannot be read"),
        ("seed=1:30", r"^seed must be a decimal; got '1:30', which YAML reads as 90; write it so"),
        ("seed=010", r"^seed must be a decimal; got '010', which YAML reads as 8; write it so"),
        (
            "criterion.alpha=[2,1:30]",
            r"^criterion.alpha must be a decimal; got '1:30', which YAML reads as 90; write it so",
        ),
        ("model.widths=[010]", r"^model.widths must be a decimal; got '010', which YAML reads as 8; write it so"),
    ],
)
def test_a_bad_override_is_not_blamed_on_the_config_file(override, message):
    with pytest.raises(ConfigError, match=message):
        config.load(config.find("digits_mlp"), [override])


def test_folders_whose_names_are_not_utf8_are_refused_with_the_way_out():
    name = os.fsdecode(b"caf\xe9")
    for call in (
        lambda: config.load({}, [f"data.dir={name}"]),
        lambda: Locations.choose(data=name),
        lambda: Locations.choose(runs=name),
    ):
        with pytest.raises(ConfigError, match=r"must be UTF-8, since the run log names it; got .*; rename the folder"):
            call()


def test_a_folder_of_data_may_be_a_path():
    program = "from pathlib import Path; from ndg.config import Data; print(Data(dir=Path('a/b'), tokenizer=Path('c')))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "dir='a/b'" in shown
    assert "tokenizer='c'" in shown


def test_a_file_that_is_not_a_config_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no config file .*none\.yaml"):
        config.load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2")
    with pytest.raises(ConfigError, match=r"broken.yaml cannot be read as YAML"):
        config.load(broken)
    broken.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="keys and values at the top"):
        config.load(broken)
    with pytest.raises(ConfigError, match=r"none of that name ships; nearest: digits_mlp"):
        config.find("digits_mpl")


def test_an_experiment_is_frozen():
    experiment = config.Experiment()
    with pytest.raises(FrozenInstanceError):
        experiment.seed = 1  # type: ignore[misc]
    assert replace(experiment, seed=1).seed == 1
