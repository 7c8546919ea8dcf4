"""`ndg score`: how much each unit matters, by any method, on the nodes of the graph."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ndg.commands.shared import OVERRIDE, near, output, print_configs, seeds_of, sort, with_store
from ndg.errors import FailureError, RunNotFoundError, UserError
from ndg.locations import Locations
from ndg.progress import log


def score(asked: Namespace, where: Locations) -> int:
    from ndg.workflows import score as score_workflow
    from ndg.workflows import score_many, train

    seeds = seeds_of(asked)
    names, overrides = sort(asked.what)
    for option in ("method", "layers", "scoreboard"):
        words = getattr(asked, option)
        if words is not None:  # overrides may follow
            overrides += [word for word in words if OVERRIDE.match(word)]
            setattr(asked, option, [word for word in words if not OVERRIDE.match(word)])
    overrides, where = with_store(asked, names, overrides + _overrides(asked), where)
    found = _targets(asked, names, overrides, seeds, where)
    if asked.print_config:
        return print_configs([target.experiment for target, _ in found])
    device = train.device(asked.device)
    for target, _ in found:
        log.info("%s: %s (%s)", target.experiment.name, target.id, target.why)
    by = {"device": device, "executor": asked.executor, "address": asked.ray_address, "resume": asked.resume}
    records: list[Any] = []
    failed: list[tuple[str, bool]] = []
    try:
        if len(found) == 1:
            [(target, aligned)] = found
            records.append(score_workflow.run(target, where, aligned=aligned, **by))
        else:
            for (target, _), outcome in zip(found, score_many.run_all(found, where, **by), strict=True):
                if outcome.reason is None:
                    records.append(outcome.result)
                else:
                    failed.append((f"{target.experiment.name} {target.id}: {outcome.reason}", outcome.mistake))
                    log.warning("%s %s is not scored: %s", target.experiment.name, target.id, outcome.reason)
    finally:  # what is done is told, also when a later one fails
        if records and asked.json:
            output(asked, "", records)
        elif records:
            _tell(records)
    if failed:
        kind = UserError if all(mistake for _, mistake in failed) else FailureError
        raise kind(
            f"{len(failed)} of {len(found)} networks could not be scored, the others are; "
            + "; ".join(reason for reason, _ in failed)
        )
    return 0


def _overrides(asked: Namespace) -> list[str]:
    """The options as overrides of the section `importance`."""
    found = {
        "methods": asked.method or None,
        "layers": asked.layers or None,
        "target": asked.target,
        "baselines": asked.baselines,
        "split": asked.split,
        "max_examples": asked.max_examples,
        "scoreboard": None if asked.scoreboard is None else asked.scoreboard or True,
    }
    return [f"importance.{key}={json.dumps(value)}" for key, value in found.items() if value is not None]


def _targets(
    asked: Namespace, names: list[str], overrides: list[str], seeds: Sequence[int], where: Locations
) -> list[tuple[Any, Any]]:
    """The networks that were asked for, each with the alignment whose graph is meant, where one was named."""
    from ndg import runs
    from ndg.workflows import targets

    if asked.model or asked.hf:
        if seeds:
            raise UserError("--seeds names trainings of a config; a network of --model or --hf is as it is")
        return [(targets.own(asked.model, asked.hf, asked.layers or [], names, overrides, where, fitted=False), None)]
    if not names:
        raise UserError("`ndg score` needs a network: a config, a run, --model or --hf; got none")
    each = [[*overrides, f"seed={seed}"] for seed in seeds] or [overrides]
    pairs: list[tuple[Any, Any]] = []
    for name in names:
        aligned, whose = None, name
        record = None
        with runs.open(where.store, local=where.runs) as book, suppress(RunNotFoundError):  # else it is a config
            record = book.get(name)
        if record is not None:
            if asked.resume and record["kind"] == "score":
                pairs.append((_begun(record, overrides, where), None))
                continue
            aligned = record if record["kind"] == "align" else None
            if record["kind"] not in ("train", "align") and record.get("parent"):
                whose = record["parent"]
        for words in each:
            pairs += [(target, aligned) for target in targets.find([whose], words, where, asked.smoke)]
    return pairs


def _begun(record: Any, overrides: Sequence[str], where: Locations) -> Any:
    """The network of a scoring that was cut short, to be scored as it was asked then."""
    from ndg import config
    from ndg.workflows import targets

    if overrides or record["parent"] is None:
        raise UserError(
            f"a scoring that is named goes on as it was begun, on a network that was trained here; give {record.id} "
            "and --resume alone, or the words of the command that began it and --resume"
        )
    asked = config.load(record["config"])
    return replace(targets.find([record["parent"]], [], where)[0], experiment=asked)


def _tell(records: Sequence[Any]) -> None:
    from ndg.report import importance_tables, sections

    for record in records:
        print(f"{record['name']}  {record.id}")
        for table in [*importance_tables.boards(record), *sections.scores(record)]:
            print(f"\n{table.text(width=120)}")
        annotated = record.figure("results.annotated")
        print()
        if annotated:
            print(f"on the nodes of {annotated['run']}; `ndg render {record.id}` draws them")
        for name in ("scores.csv", "report.html"):
            if (record.folder / name).is_file():
                print(near(record.folder / name))
