"""Every benchmark runs with `--quick`, and a failed part costs no other figure."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import pytest

from benchmarks import browser, frame, trained

ROOT = Path(__file__).parent.parent.parent

HELPERS = (
    "__init__",
    "browser",
    "causal_parts",
    "efficiency_report",
    "frame",
    "memory",
    "outages",
    "timing",
    "trained",
    "workloads",
)

KEYS: dict[str, set[str]] = {
    "align": {"align_two_cores_gain", "align_over_forward", "auto_estimate_ratio"},
    "accuracy": {"digits_mlp_median", "digits_cnn_median", "digits_vit_median"},
    "capture": {"capture_overhead", "capture_overhead_every_token", "capture_overhead_median"},
    "cheap": {"mlp_gndi_spearman_within", "mlp_best_minus_subsampled", "best_minus_subsampled_low"},
    "causal": {
        *("planted_precision", "planted_recall", "recombine_speedup", "iia", "iia_lead", "iia_neither"),
        *("iia_at_coverage_80", "vote_sign_survival", "set_lead_14", "hidden_covered", "classes_certified"),
    },
    "checksums": {
        *(
            f"{name}_checksum{clock}_share"
            for name in ("bits", "checkpoint", "resume", "graph")
            for clock in ("", "_cpu")
        ),
        "gigabytes_per_second_sums",
    },
    "efficiency": {
        "agreement_30",
        "agreement_50",
        "agreement_70",
        "agreement_90",
        "agreement_conv_50",
        "flops_ratio",
        "latency_ratio",
        "resnet_inner_50_points",
        "vs_chee_low",
        "vs_chee_low_trainings",
        "magnitude_plain_50",
        "untrained_50",
        "predictor_rho",
        "predictor_lead",
        "report_seconds_per_million_weights",
    },
    "error_coverage": {"mlp_16_layers_of_16", "cnn_16_layers_of_48", "lowest_coverage"},
    "graph": {"closure_vs_networkx", "reduction_vs_networkx", "seconds_closure", "seconds_csv", "peak_bytes_graph"},
    "importance": {
        "conductance_speedup_vs_captum",
        "conductance_peak_mb_vs_captum",
        "gndi_all_units_vs_jvp_per_unit",
        "ablation_speedup",
        "completeness_max_relative_error",
        "best_minus_subsampled_low",
    },
    "interchange": {"ray_gain_two_cores", "ray_equals_serial", "examples_per_second"},
    "mining": {
        "pairs_rate_vs_torch_float32",
        "pairs_rate_vs_torch_int8",
        "fraction_of_popcount_peak",
        "vs_outer_products",
        "exponent_n",
        "exponent_examples",
        "seconds_36864_by_65536",
        "capture_overhead",
        "closure_vs_networkx",
    },
    "pictures": {
        *("explorer_open_seconds", "explorer_pan_ms", "explorer_megabytes", "console_errors", "requests"),
        *("report_seconds", "report_megabytes", "demo_explorer_megabytes"),
    },
    "regression": {"conductance_ratio", "mining_ratio"},
    "runs": {
        *("kill9_lost_acknowledged_server", "outage_lost", "writers_lost", "writers_doubled", "round_trip_equal"),
        *(
            "logging_share",
            "kill9_lost_acknowledged",
            "double_resume",
            "metric_exponent",
            "metric_microseconds",
            "kilobytes_per_run",
        ),
        *("list_10k_seconds", "filter_10k_seconds", "show_10k_seconds", "frame_10k_seconds", "frame_10k_megabytes"),
    },
    "start": {"torch_import_seconds", "first_bar_seconds"},
    "ray_gain": {"ray_gain_two_cores", "ray_equals_serial", "serial_two_threads_gain"},
}
"""Figures that each benchmark prints on every machine."""


def test_every_benchmark_is_listed_here():
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert modules - set(HELPERS) == set(KEYS)


WITH_RAY = ("interchange", "ray_gain")
WITH_BROWSER = ("pictures",)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.browser] * (name in WITH_BROWSER))
        for name in sorted(KEYS.keys() - WITH_RAY)
    ],
)
def test_a_benchmark_runs_with_quick(name, tmp_path, capsys, monkeypatch):
    if name in WITH_BROWSER:
        try:
            browser.program()
        except browser.NoBrowserError as error:
            pytest.skip(str(error))
    check_quick(name, tmp_path, capsys, monkeypatch)


def check_quick(name, tmp_path, capsys, monkeypatch):
    """Every figure of a benchmark is printed and written."""
    monkeypatch.setitem(
        trained.TRAININGS, "digits_mlp", ["train.epochs=6", "train.schedule=constant", "model.widths=[24]"]
    )
    file = tmp_path / "figures.json"
    code = importlib.import_module(f"benchmarks.{name}").main(["--quick", "--json", str(file)])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    figures = json.loads(file.read_text())
    assert KEYS[name] <= set(figures)
    assert all(math.isfinite(value) for value in figures.values()), figures
    assert all(f"  {key} " in printed.out for key in figures)


def fails():
    yield "before", 1.5, "measured before the failure"
    raise frame.WrongResultError("the alternatives disagree")


def test_a_failed_part_keeps_the_other_figures_and_ends_with_1(tmp_path, capsys):
    file = tmp_path / "figures.json"
    options = frame.parser("Title.").parse_args(["--json", str(file)])
    parts = {"first": lambda: {"one": (1.0, "a")}, "broken": fails, "last": lambda: {"two": (2.0, "b")}}
    code = frame.run(parts, options)
    assert code == 1
    assert json.loads(file.read_text()) == {"one": 1.0, "before": 1.5, "two": 2.0}
    printed = capsys.readouterr()
    assert "the alternatives disagree" in printed.err
    assert "1 of 3 parts failed: broken" in printed.err
    assert printed.out.index("one") < printed.out.index("before") < printed.out.index("two")


def test_each_figure_is_written_before_the_next_is_measured(tmp_path):
    file = tmp_path / "figures.json"
    seen = []

    def part():
        yield "one", 1.0, "first"
        seen.append(json.loads(file.read_text()))
        yield "two", 2.0, "second"

    assert frame.run({"part": part}, frame.parser("Title.").parse_args(["--json", str(file)])) == 0
    assert seen == [{"one": 1.0}]


def test_an_interrupt_ends_a_benchmark():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        frame.run({"part": interrupted}, frame.parser("Title.").parse_args([]))


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_benchmark_says_how_it_is_called(name):
    doc = importlib.import_module(f"benchmarks.{name}").__doc__
    assert f"python -m benchmarks.{name} [--json FILE] [--quick]" in doc
