"""Plots: the table behind a picture, and that the picture shows it."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ndg.errors import ConfigError
from ndg.plots import MOST, Plot, Series, of_rows
from ndg.report.tables import Column, Interval, Table
from ndg.training import TrainResult


def pixels(axes):
    """The picture of the axes, as an array of colours."""
    figure = axes.figure
    if not hasattr(figure.canvas, "buffer_rgba"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def drawn(plot):
    return plot.plot(Figure().subplots())


@pytest.mark.parametrize("kind", ["lines", "points", "rows"])
def test_a_plot_shows_every_series_and_is_not_blank(kind):
    series = (
        Series("a", (0.0, 1.0), (0.1, 0.9), (0.0, 0.8), (0.2, 1.0)),
        Series("b", (0.0, 1.0), (0.5, 0.6)),
    )
    plot = Plot("title", "x", "y", series, kind, diagonal=kind == "points")
    axes = drawn(plot)
    assert [row["y"] for row in plot.rows()] == [0.1, 0.9, 0.5, 0.6]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"a", "b"}
    assert len(np.unique(pixels(axes).reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("kind", ["lines", "points", "steps"])
def test_no_two_of_many_series_look_alike(kind):
    series = tuple(Series(f"s{i}", (0.0, 1.0, 2.0), (0.1 * i, 0.2, 0.3)) for i in range(24))
    axes = drawn(Plot("title", "x", "y", series, kind))
    looks = (
        {(one.get_edgecolor(), one.get_linestyle()) for one in axes.patches}
        if kind == "steps"
        else {(one.get_color(), one.get_linestyle(), one.get_marker()) for one in axes.lines}
    )
    assert len(looks) == 24


def test_points_without_a_number_are_left_out():
    rows = [{"x": 1, "y": 0.5, "y_low": 0.4, "y_high": 0.6}, {"x": 2, "y": None}, {"x": 3, "y": float("nan")}]
    series = Series.of("s", rows, "x", "y")
    assert (series.x, series.y, series.low, series.high) == ((1,), (0.5,), (0.4,), (0.6,))


def test_rows_are_drawn_by_the_figure_with_an_interval():
    rows = [{"name": f"row {i}", "n": 5, "rate": i / 100, "rate_low": 0.0, "rate_high": 1.0} for i in range(MOST + 3)]
    plot = of_rows("t", rows)
    assert plot.y == "rate"
    assert len(plot.series[0].x) == MOST
    assert str(MOST + 3) in plot.title
    assert plot.series[0].x[2] == "row 2"


def test_a_table_has_a_plot_of_its_intervals():
    columns = Column("network", left=True), Column("n"), Column("accuracy", "95 %")
    table = Table("t", columns, (("one", 10, Interval(0.5, 0.4, 0.6)), ("two", 20, None)))
    plot = table.plotted()
    assert plot.y == "accuracy"
    assert plot.rows() == [{"series": "accuracy", "x": "one", "y": 0.5, "low": 0.4, "high": 0.6}]
    assert table.plot(Figure().subplots()).get_yticklabels()[0].get_text() == "one"


def test_a_plot_of_nothing_says_so():
    axes = drawn(of_rows("t", []))
    assert axes.texts[0].get_text() == "no points"


def test_only_axes_are_drawn_on():
    with pytest.raises(ConfigError, match="ax is the axes of a matplotlib figure"):
        of_rows("t", []).plot(3)
    with pytest.raises(ConfigError, match="a plot shows lines, points, rows"):
        Plot("t", "", "", (), "pie")


def test_a_learning_curve_has_one_point_per_epoch():
    history = [{"epoch": i, "accuracy": i / 10, "validation_accuracy": i / 20} for i in range(1, 5)]
    training = TrainResult("net", 0.2, 0.2, 4, 4, 4, 1.0, 0, history, Path("m"), [], {})
    plot = training.plotted()
    assert {series.name: series.y for series in plot.series} == {
        "training": (0.1, 0.2, 0.3, 0.4),
        "validation": (0.05, 0.1, 0.15, 0.2),
    }
    assert len(training.plot(Figure().subplots()).lines) == 2


def test_a_graph_is_drawn_on_axes_and_shown_by_notebooks(planted, tmp_path):
    axes = planted.plot(Figure().subplots(), target=3)
    assert len(np.unique(pixels(axes).reshape(-1, 3), axis=0)) > 20
    assert "label:3" in planted._repr_svg_()
    assert planted.explore(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(ConfigError, match="a picture has the options"):
        planted.plot(max_node=3)


def test_a_notebook_shows_no_picture_where_none_can_be_drawn(planted, monkeypatch):
    monkeypatch.setattr("ndg.report.engine.programs", list)
    assert planted._repr_svg_() is None
