"""The mutants of `tools.mutants`: a text of a file, the text that takes its place, and the tests that must fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A small wrong change. `old` is in the file exactly once; `tests` are files or node ids of pytest."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def of(file: str, tests: str, changes: Mapping[str, str]) -> list[Mutant]:
    """Mutants of one file of `ndg/` and the tests under `tests/` for all of them, parted by blanks."""
    paths = tuple(f"tests/{test}" for test in tests.split())
    return [Mutant(f"ndg/{file}", old, new, paths) for old, new in changes.items()]


MUTANTS: tuple[Mutant, ...] = (
    *of("checksum_kernel.py", "test_checksums.py", {"one + two + three + four": "one + two + three"}),
    *of("checksums.py", "test_checksums.py", {"self.rows, columns)": "columns, columns)"}),
    *of(
        "models/checkpoint.py",
        "models/test_checkpoint.py",
        {
            "if not early and differs()": "if differs() and False",
            "finally:\n            if differs()": "finally:\n            if early and differs() and False",
            "described and early and described[2] !=": "described and early and described[2] ==",
        },
    ),
    *of(
        "module_state.py",
        "test_probe.py::test_a_network_whose_config_changes_in_place_is_probed_again "
        "test_probe.py::test_a_function_at_the_address_of_a_freed_one_is_another",
        {
            "value is other._value()": "True",
            "else _version(value)": "else 0",
            "depth - 1": "0",
        },
    ),
    *of(
        "importance/methods/conductance.py",
        "importance/test_conductance.py::test_steps_are_doubled_up_to_the_most_of_them "
        "importance/test_conductance.py::test_an_example_that_changes_nothing_is_complete_at_once",
        {
            "2 * steps > MOST_STEPS": "2 * steps >= MOST_STEPS",
            "worst > TOLERANCE * ": "worst >= TOLERANCE * ",
        },
    ),
    *of(
        "importance/methods/fast/plan.py",
        "importance/test_plan.py",
        {
            "2 * len(layers) + 2 + 2 *": "2 * len(layers) + 1 + 2 *",
            "* (2 + 2 * directions)": "* (1 + 2 * directions)",
            "budget * exact - before": "budget * exact + before",
        },
    ),
    *of(
        "importance/evaluation/saturation.py",
        "importance/test_saturation.py",
        {
            ">= APART * len": "> APART * len",
            "damage[unit] > np.median": "damage[unit] >= np.median",
            "values[unit] > np.median": "values[unit] >= np.median",
            "values[unit] < NEAR_ZERO": "values[unit] <= NEAR_ZERO",
            "damage[unit] < NEAR_ZERO": "damage[unit] <= NEAR_ZERO",
            "len(values) >= FEWEST": "len(values) > FEWEST",
        },
    ),
    *of(
        "graph/chaining.py",
        "graph/test_conjunctions.py",
        {
            "holds[:, codes].all(axis=1)": "holds[:, codes].any(axis=1)",
            "closed if blocked is None else closed & ~blocked": "closed",
        },
    ),
    *of(
        "graph/verdicts.py",
        "graph/test_verdicts.py",
        {
            "low >= bar": "low > bar",
            '<= self.facts["q"]': '< self.facts["q"]',
            'self._judged_n >= self.facts["least"]': 'self._judged_n > self.facts["least"]',
            "self.n - self.before": "self.n + self.before",
            "self.n_false if self.rule == BOTH": "self.n_false if self.rule != BOTH",
            "self.gained[how] if self.rule == BOTH": "self.after(how) if self.rule == BOTH",
        },
    ),
    *of(
        "graph/edges.py",
        "graph/test_edges.py",
        {
            "figures >= bound": "figures > bound",
        },
    ),
    *of(
        "graph/traversal.py",
        "graph/test_edges.py",
        {
            "precision[edge] > precision[rival]": "precision[edge] >= precision[rival]",
            "support[edge] > support[rival]": "support[edge] >= support[rival]",
        },
    ),
    *of(
        "graph/rules.py",
        "graph/test_rules.py",
        {
            "argsort(-np.nan_to_num": "argsort(np.nan_to_num",
            "len(lines) <= limit": "len(lines) < limit",
        },
    ),
    *of(
        "abstraction/minimal/search.py",
        "abstraction/test_minimal_search.py",
        {
            "spent > budget": "spent >= budget",
            "tried + left <= budget": "tried + left < budget",
            "(other < size))": "(other <= size))",
        },
    ),
    *of(
        "abstraction/minimal/study.py",
        "abstraction/test_minimal.py::test_a_network_worked_on_paper",
        {
            "-raised, np.inf": "raised, np.inf",
        },
    ),
    *of(
        "abstraction/orders.py",
        "abstraction/test_orders.py",
        {
            "-specific, np.inf": "specific, np.inf",
        },
    ),
    *of(
        "abstraction/orders.py",
        "abstraction/test_curve.py::test_sizes_are_all_or_ever_further_apart",
        {
            "if units <= STEPS": "if units < STEPS",
        },
    ),
    *of(
        "abstraction/curve.py",
        "abstraction/test_curve.py::test_areas_worked_out_by_hand",
        {
            "np.minimum(changed, end)": "np.maximum(changed, end)",
        },
    ),
    *of(
        "interventions/prototypes.py",
        "abstraction/test_controls.py",
        {
            "2 * counts.on > counts.size": "2 * counts.on >= counts.size",
            "places(-strength)": "places(strength)",
            "before < changes": "before <= changes",
            "np.cumsum(differs, axis=1) - differs": "np.cumsum(differs, axis=1)",
        },
    ),
    *of(
        "causal/control_sets.py",
        "causal/test_forcing.py",
        {
            "order.place[label] < size": "order.place[label] <= size",
            "2 * mean * both": "mean * both",
        },
    ),
    *of(
        "interventions/prototypes.py",
        "interventions/test_prototypes.py",
        {
            "np.abs(given - other), given > other": "np.abs(given - other), given >= other",
            "np.minimum(given, other), given > other": "np.minimum(given, other), given >= other",
        },
    ),
    *of(
        "interventions/intervention_sets.py",
        "abstraction/test_controls.py",
        {"(other >= true)": "(other > true)"},
    ),
    *of(
        "abstraction/backward.py",
        "abstraction/test_backward.py",
        {
            "recall > beta": "recall >= beta",
        },
    ),
    *of(
        "abstraction/verdict.py",
        "abstraction/test_verdict.py",
        {
            '["selectivity_low"] > 0': '["selectivity_low"] >= 0',
            "> LARGER *": ">= LARGER *",
            "if low > 0 and": "if low >= 0 and",
            "if high < 0 and": "if high <= 0 and",
        },
    ),
    *of(
        "abstraction/tally.py",
        "abstraction/test_tally.py",
        {
            "self.correct + 2, self": "self.correct + 1, self",
        },
    ),
    *of(
        "mining/pairs.py",
        "mining/test_pairs.py",
        {
            "(on >= CONSTANT": "(on > CONSTANT",
            "(on <= (1 - CONSTANT)": "(on < (1 - CONSTANT)",
            "2 * on[node] > examples": "2 * on[node] >= examples",
        },
    ),
    *of(
        "mining/criteria/paper.py",
        "mining/test_criteria.py",
        {
            "(exceptions <= allowed)": "(exceptions < allowed)",
            "(allowed > self.least)": "(allowed >= self.least)",
        },
    ),
    *of(
        "mining/criteria/confidence.py",
        "mining/test_criteria.py",
        {
            "precision >= self.confidence": "precision > self.confidence",
            "margin >= self.support": "margin > self.support",
        },
    ),
    *of(
        "mining/criteria/wilson.py",
        "mining/test_criteria.py",
        {
            "low >= self.bound": "low > self.bound",
        },
    ),
    *of(
        "mining/criteria/fisher.py",
        "mining/test_criteria.py",
        {
            "limit=self.threshold) <= self.threshold": "limit=self.threshold) < self.threshold",
        },
    ),
    *of(
        "mining/implication_buffer.py",
        "mining/test_budget.py",
        {
            "len(total) > self.budget": "len(total) >= self.budget",
            "if size > self.budget": "if size >= self.budget",
        },
    ),
    *of(
        "mining/significance.py",
        "mining/test_significance.py",
        {
            "largest[i] <= bound[i]": "largest[i] < bound[i]",
            "tests < len(p_values)": "tests <= len(p_values)",
        },
    ),
    *of(
        "intervals.py",
        "test_intervals.py",
        {
            "rate <= 0, 0.0": "rate < 0, 0.0",
            "rate >= 1, 1.0": "rate > 1, 1.0",
            "middle - half": "middle + half",
        },
    ),
    *of(
        "executors/journal.py",
        "test_executors_journal.py::test_a_finished_total_is_read_and_not_done_again "
        "test_executors_journal.py::test_a_journal_of_more_tasks_than_there_are_is_refused",
        {
            "self._seen = number + 1": "self._seen = number",
            ">= self._seen": "> self._seen",
            "< len(line)": "<= len(line)",
        },
    ),
    *of(
        "executors/ordered_sum.py",
        "test_executors_journal.py::test_results_are_added_in_the_order_of_their_tasks",
        {
            "else total + result": "else result + total",
        },
    ),
    # workflows
    *of(
        "config/criterion.py",
        "test_targets.py",
        {
            '"alpha" in settings(self.name)': 'self.name == "paper"',
        },
    ),
    *of(
        "workflows/prepare.py",
        "test_targets.py",
        {
            "1 + (1 + len(CONTROLS)) * interventions": "(1 + len(CONTROLS)) * interventions",
            "(1 + len(CONTROLS))": "len(CONTROLS)",
            "forwards=tried + extracted": "forwards=tried + captured.forwards",
        },
    ),
    *of(
        "extraction.py",
        "test_extraction.py::test_an_estimate_says_what_an_extraction_does",
        {
            "// batch) + fitting": "// batch)",
        },
    ),
)
