"""Two networks in one graph: what is between them under the five conditions, and the tables of controls."""

import json

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ndg import discovery, extraction
from ndg.comparison.models import (
    CONDITIONS,
    DIFFERENT,
    ONE,
    RANDOM,
    SAME,
    TASKS,
    PairSettings,
    inter_model,
    inter_models,
)
from ndg.comparison.sections import Judged
from ndg.comparison.sources import FRESH, LABELS, NOISE, TRAINED, controls, on_noise, read, reinitialised
from ndg.comparison.tables import MATCHED, cross_accuracy, crossed, table_3, table_7
from ndg.errors import ConfigError, DataError, ShapeError
from ndg.extraction import ReadingSettings
from tests.comparison.cases import LAYERS, bits, loader, network

ALPHA = 3
TRAIN, HELD = loader(600), loader(200, seed=1)


@pytest.fixture(scope="module")
def five():
    return inter_models(
        network(0),
        TRAIN,
        HELD,
        other=network(1),
        task=network(2, classes=2),
        settings=PairSettings(layers=LAYERS, alpha=ALPHA),
    )


@pytest.fixture(scope="module")
def sources():
    return controls(network(0), TRAIN, HELD, LAYERS)


def test_edges_between_are_many_where_the_inputs_are_the_same_and_about_none_elsewhere(five):
    assert [one.condition for one in five.conditions] == list(CONDITIONS)
    assert five.left_out == {}
    between = {one.condition: one.between.figures.edges for one in five.conditions}
    within = {one.condition: sum(section.figures.edges for section in one.within) for one in five.conditions}
    for name in (SAME, TASKS):
        assert between[name] > 50
    for name in (DIFFERENT, ONE, RANDOM):
        assert between[name] <= 0.05 * within[name]
        assert within[name] > 50
    assert all(one.between.shuffled <= 5 for one in five.conditions)


def test_edges_within_a_side_are_those_of_the_network_alone(five):
    same, different, one = five.conditions[:3]
    for number in range(2):
        mined = extraction.extract(network(number), TRAIN, LAYERS)
        graph = discovery.mine(mined, alpha=ALPHA)
        alone = Judged.of(graph, extraction.extract(network(number), HELD, like=mined)).figures()
        for found in (same, different):
            figures = found.within[number].figures
            assert (figures.edges, figures.judged, figures.exceptions) == (alone.edges, alone.judged, alone.exceptions)
            assert figures.precision == pytest.approx(alone.precision)
    first, second = (section.figures for section in one.within)
    assert first.to_dict() == pytest.approx(second.to_dict())


def test_no_figure_depends_on_the_batches_of_the_loader(five):
    again = inter_models(
        network(0),
        loader(600, batch=7),
        loader(200, batch=200, seed=1),
        other=network(1),
        settings=PairSettings(layers=LAYERS, alpha=ALPHA),
    )
    assert again.rows() == five.rows()[:12]
    assert list(again.left_out) == [TASKS]


def test_conditions_without_their_network_are_left_out_and_said_so():
    found = inter_models(network(0), TRAIN, HELD, settings=PairSettings(layers=LAYERS, alpha=ALPHA))
    assert [one.condition for one in found.conditions] == [ONE, RANDOM]
    assert set(found.left_out) == {SAME, DIFFERENT, TASKS}
    assert f"{SAME}: left out, it needs a second training of the network." in found.words()
    assert "none were expected but by chance" in found.words()
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["rows"] == found.rows()
    assert len(found.frame()) == 6


def test_a_loader_that_shuffles_is_refused_where_examples_are_paired():
    data = TensorDataset(torch.rand(20, 6), torch.zeros(20).long())
    with pytest.raises(DataError, match=r"paired by position .* make it with shuffle=False"):
        inter_models(network(0), DataLoader(data, shuffle=True), HELD)
    with pytest.raises(DataError, match="an iterator can be read once"):
        inter_models(network(0), TRAIN, iter(HELD))


def test_bits_of_networks_are_compared_without_the_networks():
    own = bits(400)
    found = inter_model(own, own, bits(100, seed=1), bits(100, seed=1), names=("x", "y"), condition="itself", alpha=5)
    assert found.between.figures.edges > found.within[0].figures.edges
    assert found.between.figures.equivalent > 0
    assert found.words().startswith(f"itself: {found.between.figures.edges:,} of ")
    with pytest.raises(ShapeError, match="both sides need as many; got 400 and 100"):
        inter_model(own, bits(100), own, bits(100))


def test_sources_are_read_as_they_are_named(sources):
    assert list(sources) == [TRAINED, FRESH, NOISE, LABELS]
    own = extraction.extract(network(0), TRAIN, LAYERS)
    assert sources[TRAINED].mined == own
    assert sources[TRAINED].held_out == extraction.extract(network(0), HELD, like=own)
    assert sources[FRESH].mined == extraction.extract(reinitialised(network(0), 0).model, TRAIN, LAYERS)
    assert sources[NOISE].mined != own
    assert sources[NOISE].mined.examples == own.examples
    assert sources[LABELS].mined.to_bool("1").tolist() == own.to_bool("1").tolist()
    assert (sources[NOISE].mined.thresholds == own.thresholds).all()


def test_table_3_has_a_row_per_source_with_the_graph_of_its_bits(sources):
    table = table_3(sources, alpha=ALPHA)
    for row, (name, source) in zip(table.sources, sources.items(), strict=True):
        graph = discovery.mine(source.mined, alpha=ALPHA)
        means = graph.held_out(source.held_out)
        assert row.source == name
        assert (row.figures.edges, row.figures.judged) == (means.implications, means.judged)
        assert row.figures.precision == (means.precision if means.precision is None else pytest.approx(means.precision))
        assert row.varying + row.constant == len(graph.nodes)
        assert row.shuffled <= row.figures.edges / 4
    rows = {row.source: row for row in table.sources}
    assert rows[TRAINED].label_edges > 0
    assert rows[LABELS].label_edges <= rows[TRAINED].label_edges / 4
    assert rows[NOISE].figures.edges < rows[TRAINED].figures.edges
    document = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert document["rows"] == table.rows()
    assert table.words().count("\n") == 3


def test_table_7_is_every_graph_on_every_data(sources):
    table = table_7(sources, alpha=ALPHA)
    cells = {(cell.graph, cell.data): cell for cell in table.cells}
    assert set(cells) == {(graph, data) for graph in ("real", "random") for data in ("real", "random")}
    for name, source in (("real", TRAINED), ("random", NOISE)):
        graph = discovery.mine(sources[source].mined, alpha=ALPHA)
        for data, other in (("real", TRAINED), ("random", NOISE)):
            cell = cells[name, data]
            means = graph.held_out(sources[other].held_out)
            assert cell.own == (name == data)
            assert (cell.figures.judged, cell.figures.precision) == (means.judged, pytest.approx(means.precision))
    assert cells["real", "random"].figures.precision < cells["real", "real"].figures.precision
    assert "graph of real on random: precision" in table.words()
    json.dumps(table.to_dict(), allow_nan=False)
    with pytest.raises(ConfigError, match="a source of real and one of random inputs; got trained"):
        table_7({TRAINED: sources[TRAINED]})


def test_cross_accuracy_stands_beside_the_own_one():
    a, b = (read(network(seed), TRAIN, HELD, LAYERS) for seed in (0, 1))
    graph = discovery.mine(a.mined, alpha=ALPHA)
    own, other = crossed({"a": graph}, {"a": a.held_out, "b": b.held_out}).cells
    assert (own.own, other.own) == (True, False)
    assert own.figures.precision == pytest.approx(graph.held_out(a.held_out).precision)
    assert other.figures.precision == pytest.approx(graph.held_out(b.held_out, any_thresholds=True).precision)
    assert other.figures.precision < own.figures.precision
    assert abs(other.figures.precision - other.figures.chance) < own.figures.precision - own.figures.chance
    with pytest.raises(ShapeError, match="bits for evaluation must have the graph's nodes"):
        crossed({"a": graph}, {"a": bits()})


def test_cross_accuracy_of_two_trainings_has_matched_units_too():
    a, b = (read(network(seed), TRAIN, HELD, LAYERS) for seed in (0, 1))
    found = cross_accuracy(a, b, names=("a", "b"), alpha=ALPHA)
    assert [(cell.graph, cell.data) for cell in found.cells] == [
        ("a", "a"),
        ("a", "b"),
        ("a", f"b, {MATCHED}"),
        ("b", "b"),
        ("b", "a"),
        ("b", f"a, {MATCHED}"),
    ]
    own, plain, matched = (cell.figures.precision for cell in found.cells[:3])
    assert plain < matched < own
    itself = cross_accuracy(a, a, alpha=ALPHA)
    assert len({cell.figures for cell in itself.cells}) == 1
    json.dumps(found.to_dict(), allow_nan=False)


def test_networks_without_logits_are_compared_by_their_units_alone():
    found = inter_models(
        network(0),
        TRAIN,
        HELD,
        other=network(1),
        reading=ReadingSettings(labels=False),
        settings=PairSettings(layers=LAYERS, alpha=ALPHA),
    )
    assert {one.between.figures.possible for one in found.conditions} != {None}
    sources = controls(network(0), TRAIN, HELD, LAYERS, settings=ReadingSettings(labels=False))
    assert {source.held_out.nodes.labels for source in sources.values()} == {0}
    assert {row["label_edges"] for row in table_3(sources, alpha=ALPHA).rows()} == {0}


def test_max_examples_bounds_what_is_mined_on_real_and_on_random_inputs():
    source = read(network(0), TRAIN, HELD, LAYERS, settings=ReadingSettings(max_examples=100))
    assert (source.mined.examples, source.held_out.examples) == (100, 200)
    noise = on_noise(network(0), TRAIN, HELD, like=source.mined, settings=ReadingSettings(max_examples=100))
    assert (noise.mined.examples, noise.held_out.examples) == (100, 200)
