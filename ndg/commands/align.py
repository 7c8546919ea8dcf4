"""`ndg align`: the trial of a graph, and the other studies."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from itertools import chain
from typing import Any

from ndg import progress
from ndg.commands.shared import (
    fitted,
    log_targets,
    names_and_overrides,
    near,
    output,
    own_target,
    print_configs,
    say,
    seeds_of,
    with_seeds,
    with_store,
)
from ndg.errors import RunNotFoundError, UserError
from ndg.locations import Locations
from ndg.progress import log


def align(options: Namespace, where: Locations) -> int:
    """Align the networks that the command names, or run a study of them."""
    from ndg.report import cli_tables
    from ndg.workflows import prepare, studies, train

    seeds = seeds_of(options)
    names, overrides = names_and_overrides(options)
    study = names.pop(0) if names and names[0] in (studies.TRIAL, *studies.STUDIES) else studies.TRIAL
    if late := [name for name in names if name in studies.STUDIES]:
        raise UserError(f"a study stands before the configs, as in `align.py {late[0]} digits_mlp`; got it after them")
    if options.dry_run and study != studies.TRIAL:
        raise UserError(f"--dry-run shows what a trial costs, not the study {study}; leave out one of them")
    overrides, where = with_store(options, names, overrides, where)
    if options.train:
        _train(options, names, overrides, seeds, where)
    targets = _targets(options, names, overrides, seeds, where)
    if options.print_config:
        return print_configs([target.experiment for target in targets])
    log_targets(targets)
    device = train.device(options.device)
    if options.dry_run:
        plans = [plan for target in targets for plan in prepare.plans(target, where, options.executor)]
        return output(options, cli_tables.alignment_plans(plans), [asdict(plan) for plan in plans])
    prepared = [prepare.Prepared(target, where, device, options.executor, options.ray_address) for target in targets]
    if study == studies.TRIAL:
        return _trial(options, prepared)
    if options.resume:
        raise UserError(
            f"--resume continues an interrupted trial; the study {study} starts from the beginning; leave it out"
        )
    records: list[Any] = []
    for record, findings in studies.study(study)(prepared):
        records.append(record)
        if not options.json:
            say(f"{fitted(findings)}\n\n{near(record.folder / 'report.html')}\n")
    return output(options, "", records) if options.json else 0


def _train(
    options: Namespace, names: Sequence[str], overrides: list[str], seeds: Sequence[int], where: Locations
) -> None:
    """Train the configs that have no completed run."""
    from ndg.workflows import targets, train

    if options.model or options.hf or not names:
        raise UserError("--train trains the configs that a command names; it names none; add one, or leave out --train")
    if options.dry_run or options.print_config:
        raise UserError("--dry-run and --print-config write nothing, but --train does; leave out one of them")
    for words in with_seeds(overrides, seeds):
        targets.train_missing(
            names, words, where, options.smoke, device=train.device(options.device), resume=options.resume
        )


def _targets(
    options: Namespace, names: list[str], overrides: list[str], seeds: Sequence[int], where: Locations
) -> list[Any]:
    """The networks to align; with seeds, the best training of each seed."""
    from ndg.workflows import studies, targets

    if options.model or options.hf:
        return [own_target(options, names, overrides, where)]
    if options.layers:
        overrides.append(f"extract.layers={json.dumps(options.layers, ensure_ascii=False)}")
    try:
        each = [targets.find(names, words, where, options.smoke) for words in with_seeds(overrides, seeds)]
        return list(chain.from_iterable(each))
    except RunNotFoundError as error:
        similar = get_close_matches(names[0], studies.STUDIES, 1, 0.7) if names else []
        raise RunNotFoundError(f"{error}; the nearest study is {similar[0]}") if similar else error from None


def _trial(options: Namespace, prepared: Sequence[Any]) -> int:
    from ndg.report import cli_tables
    from ndg.workflows import align as align_workflow
    from ndg.workflows import prepare

    records: list[Any] = []
    runs = [(network, alpha) for network in prepared for alpha in network.experiment.criterion.alphas]
    begun = [_begun(network, alpha) if options.resume else (False, None) for network, alpha in runs]
    several = len(runs) > 1 and any(known for known, _ in begun)
    left = [run for run, (_, complete) in zip(runs, begun, strict=True) if complete is None or not several]
    try:
        with progress.whole(prepare.stages(left[0][0]) if left and progress.told() else {}, len(left)):
            for (network, alpha), (known, complete) in zip(runs, begun, strict=True):
                if several and complete is not None:
                    log.info("%s: %s is complete", network.experiment.name, complete.id)
                    records.append(complete)
                    continue
                log.debug("align %s by digest %s", network.target.id, network.experiment.at(alpha).digest)
                records.append(align_workflow.run(network, alpha, resume=options.resume and (known or not several)))
                progress.next_run()
    finally:  # finished runs are printed also when a later one fails
        if records:
            output(options, cli_tables.aligned(records), records)
        for record in records if not options.json else []:
            for name in ("ndg.pdf", "report.html"):
                if (record.folder / name).is_file():
                    say(f"{record['name']:12} {near(record.folder / name)}")
    return 0


def _begun(network: Any, alpha: float) -> tuple[bool, Any]:
    """Whether an alignment was begun, and its complete record."""
    from ndg.runs.begin import begun, finished

    experiment, folder = network.experiment.at(alpha), network.where.runs
    about = {"kind": "align", "parent": network.target.parent}
    return bool(begun(folder, experiment, **about)), finished(folder, experiment, **about)
