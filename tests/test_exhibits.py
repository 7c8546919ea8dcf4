"""The papers' tables and figures: from run documents alone, in every format, collected by the command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import data_at_hand as at_hand
from analysis import exhibit_plots, exhibit_tables, reproduce
from analysis.data_at_hand import Data
from analysis.exhibits import EXHIBITS, Exhibit
from analysis.table_picture import pages
from ndg import config
from ndg.errors import UserError
from ndg.importance.scores import Scores
from ndg.locations import Locations
from ndg.plots import Plot, Series
from ndg.report.tables import Column, Interval, Table
from ndg.runs.record import RunRecord

SWEEP = [
    {"run": "a", "seed": 0, "alpha": alpha, "beta": 1.0, "split": split, "implications": 20 - alpha, "one_way": 10,
     "precision": 0.9, "precision_q1": 0.8, "precision_q3": 1.0}
    for alpha in (10, 5) for split in ("validation", "test")
]  # fmt: skip


def record(folder, results, kind="align", **more) -> RunRecord:
    return RunRecord(
        {
            "_id": f"run-{kind}",
            "kind": kind,
            "name": "net",
            "seeds": {"seed": 0},
            "folder": str(folder),
            "results": results,
        }
        | more
    )


def scores(method, values) -> Scores:
    return Scores(method, {"l": np.array(values)}, {"l": 1.0}, "all logits", "zero", 9)


@pytest.fixture
def aligned(tmp_path):
    rows = ["antecedent,consequent,precision,mined_precision", "a,b,0.9,0.95", "b,c,1.0,0.99", "c,d,,0.98"]
    (tmp_path / "edges.csv").write_text("\n".join(rows), encoding="utf-8")
    return record(tmp_path, {"edges": {"test": {}}})


def test_every_exhibit_has_commands_for_configs_that_ship_and_says_why_it_may_differ():
    names = [exhibit.name for exhibit in EXHIBITS]
    assert len(set(names)) == len(names) > 15
    for exhibit in EXHIBITS:
        assert exhibit.data
        for data in exhibit.data:
            assert data.why
            assert data.published
            assert data.config is None or data.config in exhibit.needs(data).split()
            assert data.config is None or data.config in config.configs()
    unsupported = {data.published for exhibit in EXHIBITS for data in exhibit.data if data.config is None}
    assert unsupported == {"AllNLI", "SNLI", "MQNLI", "CUB-200", "Devign", "CIFAR-10", "CIFAR-100"}


def test_the_newest_run_of_each_network_with_the_results_counts(tmp_path):
    data = (Data("A", "net", "why"), Data("B", "first", "why"))
    exhibit = Exhibit("x", "y", "align", "align {}", data, lambda record: "", paths=("results.edges",))
    new, old = (record(tmp_path, {"edges": {place: 1}}, _id=place) for place in ("new", "old"))
    other = record(tmp_path, {"edges": {}}, seeds={"seed": 1})
    without, kind = record(tmp_path, {}), record(tmp_path, {"edges": {}}, kind="score")
    foreign, first = (record(tmp_path, {"edges": {}}, name=name) for name in ("foreign", "first"))
    assert exhibit.of([new, old, other, without, kind, foreign, first]) == [new, other, first]


def test_precisions_are_drawn_as_cloud_boxes_and_histogram(aligned):
    [cloud] = exhibit_plots.cloud([aligned])
    assert [(row["x"], row["y"]) for row in cloud.rows()] == [(0.95, 0.9), (0.99, 1.0)]
    whole, zoomed = exhibit_plots.boxes([aligned])
    assert whole.series[1].y == (0.9, 1.0)
    assert zoomed.limits == exhibit_plots.ZOOM
    [histogram] = exhibit_plots.histograms([aligned])
    assert all(sum(series.y) == pytest.approx(1) for series in histogram.series)


def test_sweeps_are_drawn_by_rising_alpha_on_held_out_examples(tmp_path):
    sweep = record(tmp_path, {"sweep": {"rows": SWEEP}}, "sweep")
    [ribbon] = exhibit_plots.ribbons([sweep])
    assert ribbon.series[0].x == pytest.approx((0.69897, 1.0))
    assert (ribbon.series[0].low, ribbon.series[0].high) == ((0.8, 0.8), (1.0, 1.0))
    [edges] = exhibit_plots.counts([sweep])
    assert [series.y for series in edges.series] == [(15, 10), (10, 10)]


def test_scores_curves_and_predictors_are_drawn(tmp_path):
    values = {"gndi": [1.0, -2.0, 3.0], "ablation": [0.5, 1.0, 1.5]}
    stages = {name: scores(name, values[name]).to_dict() for name in values}
    stages["ablation"]["layers"][0]["errors"] = [0.1, 0.2, 0.0]
    [scatter] = exhibit_plots.scatter([record(tmp_path, {"scores": stages}, "score")])
    assert (scatter.series[0].x, scatter.series[0].y) == ((0.5, 1.0, 1.5), (1.0, 2.0, 3.0))
    assert scatter.series[0].left == pytest.approx((0.5 - 0.196, 1.0 - 0.392, 1.5))
    assert scatter.series[0].right == pytest.approx((0.5 + 0.196, 1.0 + 0.392, 1.5))
    assert "Spearman 1.000 [" in scatter.title
    steps = [{"method": "gndi", "draw": 0, "share": 0.5, "tuned": 0.8, "pruned": 0.7}]
    [curve] = exhibit_plots.pruning([record(tmp_path, {"prune": {"steps": steps}}, "prune")])
    assert [(row["series"], row["y"]) for row in curve.rows()] == [("gndi", 0.8), ("gndi, before fine-tuning", 0.7)]
    rows = [{"predictor": "votes", "iia": 0.9, "low": 0.8, "high": 1.0, "coverage": 0.7, "covered": 0.95}]
    [points] = exhibit_plots.predictors(
        [record(tmp_path, {"causal": {"interchange_accuracy": {"rows": rows}}}, "causal")]
    )
    assert [(row["x"], row["y"]) for row in points.rows()] == [(1.0, 0.9), (0.7, 0.95)]
    assert (points.series[0].low, points.series[0].high) == ((0.8, None), (1.0, None))


def test_published_correlations_stand_beside_random_weights_alone(tmp_path):
    row = {"method": "gndi", "spearman": 0.9, "spearman_low": 0.8, "spearman_high": 0.95}
    board = {"scoreboard": {"trained": {"rows": [row]}, "random": {"rows": [row]}}}
    [table] = exhibit_tables.boards([record(tmp_path, board, "score")])
    published = [line[[column.title for column in table.columns].index("published")] for line in table.rows]
    assert published == [None, Interval(0.981, 0.97, 0.988)]


def test_tables_and_figures_are_written_in_every_format(tmp_path):
    table = Table("T & t", (Column("a_b", left=True), Column("rate", "95 %")), (("¬x", Interval(0.5, 0.4, 0.6)),))
    reproduce.write_table(tmp_path / "table", table)
    assert r"a\_b & rate (95 \%) \\" in (tmp_path / "table.tex").read_text(encoding="utf-8")
    assert r"$\lnot$x & 0.500 [0.400, 0.600] \\" in (tmp_path / "table.tex").read_text(encoding="utf-8")
    [row] = csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8"))
    assert row == {"a_b": "¬x", "rate": "0.5", "rate_low": "0.4", "rate_high": "0.6"}
    assert (tmp_path / "table.md").read_text(encoding="utf-8").startswith("| a_b | rate (95 %) |")
    assert (tmp_path / "table.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "table.png").stat().st_size > 3000
    series = (Series("a", (0, 1), (0.5, 0.6)), Series("b", (), ()))
    reproduce.write_plot(tmp_path / "plot", Plot("t", "x", "y", series, "boxes", limits=(0.4, 1.0)))
    assert (tmp_path / "plot.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "plot.png").stat().st_size > 3000
    assert len((tmp_path / "plot.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_table_is_drawn_in_pages_whose_texts_do_not_overlap():
    columns = (Column("name of $x$", left=True), Column("rate", "95 %"), Column("why they differ", left=True))
    rows = tuple(
        (f"row {i}", Interval(0.5, 0.4, 0.6), "a reason that is told again and again " * (i % 5)) for i in range(50)
    )
    drawn = list(pages(Table("Rates", columns, rows, note="what they are " * 20, strong=frozenset({1}))))
    assert len(drawn) == 2
    written = [[text.get_text() for text in page.texts] for page in drawn]
    assert [text for page in written for text in page if text.startswith("row ")] == [row[0] for row in rows]
    assert sum(page.count("0.500 [0.400, 0.600]") for page in written) == 50
    assert [page[0].split(" of ")[1] for page in written] == ["50"] * 2
    for page in drawn:
        canvas = FigureCanvasAgg(page)
        boxes = [text.get_window_extent(canvas.get_renderer()).shrunk(0.98, 0.8) for text in page.texts]
        assert all(page.bbox.containsx(box.x1) and page.bbox.containsy(box.y0) for box in boxes)
        assert not [(a, b) for place, a in enumerate(boxes) for b in boxes[:place] if a.overlaps(b)]


def test_an_empty_table_keeps_its_headings(tmp_path):
    table = Table("None", (Column("a"), Column("b")), ())
    reproduce.write_table(tmp_path / "none", table)
    assert (tmp_path / "none.csv").read_text(encoding="utf-8") == "a,b\n"
    [page] = pages(table)
    assert [text.get_text() for text in page.texts] == ["None", "a", "b"]


def test_results_are_collected_between_marks_that_are_added_once():
    first = reproduce.collected("# What\n\nold words\n", "### one")
    assert first.count(reproduce.BEGIN) == first.count(reproduce.END) == 1
    again = reproduce.collected(first + "\nafter\n", "### two")
    assert "### one" not in again
    assert "### two" in again
    assert again.startswith("# What\n\nold words\n")
    assert again.endswith("after\n")


def test_what_the_log_lacks_and_what_cannot_be_computed_is_said(tmp_path, capsys):
    where = Locations.choose(runs=tmp_path / "runs", store=None)
    text = reproduce.reproduced(EXHIBITS[:1], reproduce.Plan(where, tmp_path, from_log=True))
    lines = {line.split(" | ")[1]: line for line in text.splitlines() if line.startswith("| Hu & Tian")}
    assert "not run: `python -m analysis.reproduce --only ndg_table_2 --configs sst2_small`" in lines["SST-2"]
    assert "cannot be computed" in lines["AllNLI"]
    assert "no pretrained network" in lines["AllNLI"]
    assert (tmp_path / "all.csv").is_file()
    with pytest.raises(UserError, match="got 'tabel'"):
        reproduce.named(["tabel"])
    with pytest.raises(UserError, match="got 'mnist'"):
        reproduce.known(["mnist"])
    assert reproduce.main(["--list"]) == 0
    assert "ndg_table_2" in capsys.readouterr().out


def test_long_computations_need_a_name(tmp_path):
    where = Locations.choose(runs=tmp_path / "runs", store=None)
    plain, named = reproduce.Plan(where, tmp_path), reproduce.Plan(where, tmp_path, configs=("mnist_cnn",))
    assert plain.computes(at_hand.DIGITS_MLP)
    assert not plain.computes(at_hand.MNIST)
    assert reproduce.Plan(where, tmp_path, long=True).computes(at_hand.MNIST)
    assert named.computes(at_hand.MNIST)
    assert not named.computes(at_hand.DIGITS_MLP)
    assert not named.computes(at_hand.ALLNLI)


def test_a_row_has_the_published_figure_ours_and_why_they_differ(tmp_path):
    row = {"method": "gndi", "spearman": 0.9, "spearman_low": 0.8, "spearman_high": 0.95}
    other = {"method": "snip", "spearman": 0.5}
    board = record(tmp_path, {"scoreboard": {"random": {"rows": [row, other]}}}, "score", name="cifar10_resnet18")
    [exhibit] = [each for each in EXHIBITS if each.name == "gndi_table"]
    cells = reproduce.row(exhibit, at_hand.CIFAR10, [board])
    assert "G-NDI 0.981" in cells["published"]
    assert cells["ours"] == "random weights: G-NDI 0.900 [0.800, 0.950], within layers unknown, SNIP 0.500"
    assert "JPEG copies" in cells["why"]
    assert "model.width=16" in cells["config"]


def test_trainings_come_before_the_command_with_the_settings_of_the_data(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(reproduce, "commanded", ran.append)
    monkeypatch.setattr(reproduce, "identified", lambda name, *more: f"id of {name}")
    plan = reproduce.Plan(Locations.choose(runs=tmp_path / "runs", store=None), tmp_path)
    [exhibit] = [each for each in EXHIBITS if each.name == "inter_model"]
    for data in (at_hand.DIGITS_MLP, at_hand.MNIST):
        reproduce.computed(exhibit.needs(data), data, plan)
    short = [[word for word in words if "/" not in word and "threads" not in word] for words in ran]
    settings = list(at_hand.MNIST_SETTINGS[:4])
    place = ["--runs", "--store", "-q"]
    assert short == [
        ["train", "digits_mlp", "--seed", "0", *place],
        ["train", "digits_mlp", "--seed", "1", *place],
        ["align", "models", "digits_mlp", "--seeds", "0", "1", *place],
        ["train", "mnist_cnn", *settings, "--seed", "0", *place],
        ["train", "mnist_even_cnn", *at_hand.MNIST_EVEN.settings[:2], "--seed", "0", *place],
        ["align", "models", "id of mnist_cnn", "id of mnist_even_cnn", *place],
    ]


def test_overrides_stand_behind_the_config():
    words = ["prune", "digits_mlp", "--share", "0.9"]
    assert reproduce._with(words, ["a=1"]) == ["prune", "digits_mlp", "a=1", "--share", "0.9"]


def test_docs_name_the_command():
    text = Path(reproduce.RESULTS).read_text(encoding="utf-8")
    assert "python -m analysis.reproduce" in text
