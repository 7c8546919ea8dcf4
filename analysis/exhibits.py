"""The papers' tables and figures, each from the run log alone.

An exhibit names its source, the data of the paper with what stands for them here, the command of `ndg` that logs what
it needs, and how its tables and plots are made of the newest complete runs. `python -m analysis.reproduce` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from analysis import data_at_hand as at_hand
from analysis import exhibit_plots as plots
from analysis import exhibit_tables as tables
from analysis import exhibit_words as words
from analysis import graph_figures
from analysis.data_at_hand import DIGITS, DIGITS_CNN, DIGITS_MLP, MNIST, NDG_DATA, Data
from analysis.exhibit_tables import Records
from ndg.plots import Plot
from ndg.report.tables import Table
from ndg.runs.record import RunRecord

NDG_PAPER, GNDI_PAPER, CONDUCTANCE_PAPER = "Hu & Tian 2022", "Nagy 2025", "Dhamdhere et al. 2018"
NOT_AT_HAND = "not at hand"
FILTERS, SENTIMENT = "filters", "sentiment"
"""Commands of exhibits that are no commands of `ndg`: experiments of this folder, logged as runs."""
FIRST_CONVOLUTIONS = " ".join(f"stages.{stage}.0.conv1" for stage in range(4))
"""One layer of each stage of a ResNet-18: 240 channels at a quarter of the width."""


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure of a paper.

    `kind` is the kind of its runs, `command` logs one for a config (in place of `{}`; `commands` has others by config),
    `data` the data of the paper, with what stands for them here. `published` has the published figure by the name of
    the data, `says` ours in a line. `tables` and `plots` read run documents and files of their folders; `graphs` draws
    the graph of each run, filled by the prior.
    """

    name: str
    source: str
    kind: str
    command: str
    data: tuple[Data, ...]
    says: Callable[[RunRecord], str]
    tables: Callable[[Records], list[Table]] = lambda records: []
    plots: Callable[[Records], list[Plot]] = lambda records: []
    graphs: bool = False
    published: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    """Results without which a run does not count."""
    commands: Mapping[str, str] = field(default_factory=dict)

    def needs(self, data: Data) -> str:
        """The command for some data."""
        return self.commands.get(data.config or "", self.command).format(data.config)

    def of(self, records: Sequence[RunRecord]) -> Records:
        """The newest run of each network and seed that has the results, in the order of the data."""
        order = {data.config: place for place, data in enumerate(self.data)}
        newest: dict[str, RunRecord] = {}
        for record in records:  # newest first
            complete = record["kind"] == self.kind and all(record.figure(path) is not None for path in self.paths)
            if complete and record["name"] in order:
                newest.setdefault(f"{record['name']} {record['seeds']['seed']}", record)
        return sorted(newest.values(), key=lambda record: order[record["name"]])


CAUSAL = "results.causal"
EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit("ndg_table_2", f"{NDG_PAPER}, Table 2", "align", "align {}", NDG_DATA, words.graph,
            lambda records: [graph_figures.table(records)], paths=("results.graph.paper",)),
    Exhibit("ndg_table_3", f"{NDG_PAPER}, Table 3", "controls", "align controls {}", NDG_DATA, words.controls,
            tables.of_edges("results.controls.table_3.rows", "the graph and control graphs"),
            paths=("results.controls",)),
    Exhibit("ndg_table_7", f"{NDG_PAPER}, Table 7", "controls", "align controls {}", NDG_DATA, words.crossed,
            tables.of_edges("results.controls.table_7.rows", "graphs of real and random inputs"),
            paths=("results.controls",)),
    Exhibit("alignment", f"{NDG_PAPER}, alignment", "align", "align {}", NDG_DATA, words.aligned, tables.alignment,
            paths=("results.trial",)),
    Exhibit("precision", f"{NDG_PAPER}, train and test precision", "align", "align {}", NDG_DATA, words.precision,
            tables.precision_rows, plots.cloud, paths=("results.edges",)),
    Exhibit("precision_boxes", f"{NDG_PAPER}, box plots", "align", "align {}", NDG_DATA, words.quartiles,
            plots=plots.boxes, paths=("results.edges",)),
    Exhibit("precision_histograms", f"{NDG_PAPER}, histograms", "align", "align {}", NDG_DATA, words.above,
            plots=plots.histograms, paths=("results.edges",)),
    Exhibit("alpha_ribbons", f"{NDG_PAPER}, precision against alpha", "sweep", "align sweep {}",
            (DIGITS_MLP, MNIST), words.ribbon, plots=plots.ribbons, paths=("results.sweep.rows",)),
    Exhibit("alpha_edges", f"{NDG_PAPER}, edges against alpha", "sweep", "align sweep {}", (DIGITS_MLP, MNIST),
            words.number, plots=plots.counts, paths=("results.sweep.rows",)),
    Exhibit("inter_layer", f"{NDG_PAPER}, between layers", "layers", "align layers {}", (DIGITS_CNN, MNIST),
            words.between("results.layers.rows"),
            tables.of_edges("results.layers.rows", "edges within and between layers"), paths=("results.layers",)),
    Exhibit("inter_model", f"{NDG_PAPER}, between networks", "models", "align models {} --seeds 0 1",
            (DIGITS_MLP, MNIST), words.between("results.models.rows"),
            tables.of_edges("results.models.rows", "edges within and between networks"), paths=("results.models",),
            commands={"mnist_cnn": "align models mnist_cnn mnist_even_cnn"}),
    Exhibit("prior_graphs", f"{NDG_PAPER}, graphs by prior", "align", "align {}", (DIGITS_MLP, DIGITS_CNN, MNIST),
            words.drawn, graphs=True, paths=("results.graph",)),
    Exhibit("gndi_table", f"{GNDI_PAPER}, correlations", "score", "score {} --scoreboard gndi snip magnitude hrank",
            (at_hand.DIGITS_FOR_CIFAR, at_hand.CIFAR10, at_hand.CIFAR100), words.board, tables.boards,
            published={"CIFAR-10": "random weights, Spearman (signed): G-NDI 0.981 [0.970, 0.988], SNIP 0.905 "
                                   "[0.877, 0.923], HRank 0.663 [0.591, 0.729], magnitude -0.506 [-0.584, -0.418]; "
                                   "after one epoch: G-NDI 0.855",
                       "CIFAR-100": "after one epoch, Spearman: G-NDI 0.869"},
            paths=("results.scoreboard",)),
    Exhibit("gndi_scatter", f"{GNDI_PAPER}, scatter", "score", "score {} --method gndi ablation",
            (at_hand.DIGITS_FOR_CIFAR, at_hand.CIFAR10), words.scattered, plots=plots.scatter,
            published={"CIFAR-10": "random weights: Spearman 0.981 [0.970, 0.988]; after one epoch: 0.855"},
            commands={"cifar10_resnet18": f"score {{}} --method gndi ablation --layers {FIRST_CONVOLUTIONS}"},
            paths=("results.scores.ablation", "results.scores.gndi")),
    Exhibit("pruning_curves", f"{GNDI_PAPER}, pruning", "prune", "prune {} --share 0.9 --steps 3 --method gndi",
            (at_hand.DENSE_FOR_CIFAR, at_hand.CIFAR10), words.pruned,
            tables.of_rows("results.prune.final", "the pruned network on test"), plots.pruning,
            paths=("results.prune.steps",)),
    Exhibit("filters", f"{CONDUCTANCE_PAPER}, filters: ablation and a classifier", "analysis", f"{FILTERS} {{}}",
            (at_hand.DIGITS_FOR_IMAGENET,), words.filters, tables.filters,
            paths=("results.filters",)),
    Exhibit("sentiment", f"{CONDUCTANCE_PAPER}, sentiment network", "analysis", f"{SENTIMENT} {{}}",
            (at_hand.REVIEWS,), words.sentiment, tables.sentiment, paths=("results.sentiment",)),
    Exhibit("efficiency", "Efficiency of layers", "efficiency", "efficiency {}",
            (at_hand.WEIGHTS, at_hand.WEIGHTS_OF_CIFAR), words.efficiency,
            tables.of_rows("results.efficiency.rows", "efficiency", "layer", "importance", "units", "weights",
                           "removable", "k99", "gini", "null_gini", "utilisation", "null_utilisation"),
            published={"MNIST": "over 95 % of the weights removed at under 1 point of accuracy, without a table",
                       "CIFAR-10": "60 to 80 % compression, without a table"},
            paths=("results.efficiency.rows",)),
    Exhibit("fitness", "Fitness of units", "score", "score {} --method fitness:measure=variance", (DIGITS,),
            words.fitness, tables.fitness, paths=("results.scores.fitness:measure=variance",)),
    Exhibit("causal", "Causal graph", "causal", "align causal {}", (DIGITS,), words.votes,
            tables.several(
                tables.of_rows(f"{CAUSAL}.interchange_accuracy.rows", "interchange accuracy", "predictor", "iia", "low",
                               "high", "n", "lead", "lead_low", "lead_high", "neither", "coverage", "covered"),
                tables.of_rows(f"{CAUSAL}.label_sets.rows", "sets that force a label", "target", "size", "survives",
                               "n", "turned", "low", "high"),
                tables.of_rows(f"{CAUSAL}.hidden_votes", "votes for hidden units", "edges", "right", "plain", "n"),
                tables.of_rows(f"{CAUSAL}.certificates.rows", "certificates", "label", "size", "status", "nodes")),
            plots.predictors, paths=(f"{CAUSAL}.interchange_accuracy",)),
)  # fmt: skip
"""Every table and figure, in the order of docs/results.md."""
