"""Random inputs have the form, the number and the range of a loader's, and depend on the place of an example alone."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ndg import extraction, models
from ndg.activations.batches import columns
from ndg.activations.sampling import examples_of
from ndg.comparison.inputs import random_inputs
from ndg.errors import ConfigError, DataError
from ndg.extraction import ReadingSettings
from tests.comparison.cases import LAYERS, loader, network
from tests.models.test_networks import FORMS, SMALL


def joined(batches):
    parts = [columns(batch) for batch in batches]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def texts(examples=30, batch=8):
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 40, (examples, 9), generator=draw)
    mask = (torch.arange(9) < torch.randint(2, 10, (examples, 1), generator=draw)).long()
    whole = {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "token_type_ids": (torch.arange(9) > 4).long().repeat(examples, 1) * mask,
        "labels": torch.randint(0, 2, (examples,), generator=draw),
    }
    return [{key: value[i : i + batch] for key, value in whole.items()} for i in range(0, examples, batch)]


def test_numbers_are_uniform_in_the_range_of_the_loader():
    given = loader(2000)
    before, after = joined(given), joined(random_inputs(given, 0))
    assert after[""].shape == before[""].shape
    assert after[""].dtype == before[""].dtype
    assert (after["labels"] == before["labels"]).all()
    low, high = before[""].min(), before[""].max()
    assert after[""].min() >= low
    assert after[""].max() <= high
    place = ((after[""] - low) / (high - low)).double()
    assert place.mean(dim=0) == pytest.approx(torch.full((6,), 0.5).numpy(), abs=0.03)
    assert place.var(dim=0) == pytest.approx(torch.full((6,), 1 / 12).numpy(), abs=0.01)
    assert torch.corrcoef(after[""].T).fill_diagonal_(0).abs().max() < 0.1
    assert torch.corrcoef(before[""].T).fill_diagonal_(0).abs().max() > 0.5


@pytest.mark.parametrize("make", [loader, texts])
def test_a_draw_depends_on_the_seed_and_the_place_of_the_example_alone(make):
    first = joined(random_inputs(make(30, batch=7), 3))
    for batch in (1, 30):
        again = joined(random_inputs(make(30, batch=batch), 3))
        assert all((again[name] == first[name]).all() for name in first)
    drawn = "" if make is loader else "input_ids"
    assert (joined(random_inputs(make(30), 4))[drawn] != first[drawn]).any()
    few = random_inputs(make(30)[:1], 3)
    few.__dict__["ranges"] = random_inputs(make(30), 3).ranges
    assert (joined(few)[drawn] == first[drawn][: len(joined(few)[drawn])]).all()


def test_rows_are_drawn_a_part_at_a_time_with_the_same_result(monkeypatch):
    whole = joined(random_inputs(loader(), 0))[""]
    monkeypatch.setattr("ndg.comparison.inputs.WORDS_AT_ONCE", 20)
    assert (joined(random_inputs(loader(), 0))[""] == whole).all()


def test_tokens_are_drawn_under_the_same_attention_mask():
    before, after = joined(texts(500)), joined(random_inputs(texts(500), 0))
    for name in ("attention_mask", "token_type_ids", "labels"):
        assert (after[name] == before[name]).all()
    inside = before["attention_mask"] != 0
    assert (after["input_ids"][~inside] == before["input_ids"][~inside]).all()
    drawn = after["input_ids"][inside]
    assert set(drawn.tolist()) == set(range(40))
    assert torch.bincount(drawn).float().std() / (len(drawn) / 40) < 0.25
    wide = joined(random_inputs(texts(500), 0, vocabulary=100))["input_ids"][inside]
    assert wide.max() == 99
    with pytest.raises(ConfigError, match="at least 1 token; got 0"):
        random_inputs(texts(), 0, vocabulary=0)


def test_a_loader_keeps_its_form_and_its_length():
    x, y = torch.rand(10, 4), torch.arange(10)
    for form in ([(x, y)], [[x, y]], [(x,)], [x], [{"": x, "labels": y}], [({"a": x, "b": x}, y)]):
        (batch,) = random_inputs(form, 0)
        assert isinstance(
            batch, dict if isinstance(form[0], dict) else (tuple, list) if form[0] is not x else torch.Tensor
        )
        assert columns(batch).keys() == columns(form[0]).keys()
        assert examples_of(random_inputs(form, 0)) == 10
    data = random_inputs(DataLoader(TensorDataset(x, y), batch_size=3), 0)
    assert (len(data), examples_of(data)) == (4, 10)
    assert len(list(data)) == len(list(data)) == 4


def test_an_iterator_and_inputs_without_a_range_are_refused():
    with pytest.raises(DataError, match="but an iterator can be read once; pass a list"):
        random_inputs(iter(loader()), 0)
    broken = [(torch.tensor([[1.0, float("inf")]]), torch.tensor([0]))]
    with pytest.raises(DataError, match=r"column 'inputs' holds 1.0 to inf; check the data"):
        list(random_inputs(broken, 0))


@pytest.mark.parametrize("name", ["bert", "lstm"])
def test_a_text_network_reads_as_many_tokens_of_them(name):
    model = models.build(SMALL[name], FORMS[name][0], 2, seed=0)
    own = extraction.extract(model, texts())
    noise = extraction.extract(model, random_inputs(texts(), 0), like=own)
    assert noise.examples == own.examples == 30
    assert noise != own
    if name == "bert":
        layer = ["transformer.encoder.layer.0"]
        every = extraction.extract(model, texts(), layer, settings=ReadingSettings(tokens="every"))
        drawn = extraction.extract(model, random_inputs(texts(), 0), like=every)
        assert drawn.examples == every.examples == int(joined(texts())["attention_mask"].sum())


def test_a_network_reads_them_as_it_reads_the_loader():
    given = loader(100)
    real = extraction.extract(network(), given, LAYERS)
    noise = extraction.extract(network(), random_inputs(given, 0), like=real)
    assert noise.examples == real.examples
    assert noise.nodes == real.nodes
    assert noise != real
    other = extraction.extract(network(), random_inputs(loader(100, batch=9), 0), like=real)
    assert other == noise
