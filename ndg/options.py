"""How a study runs: device, batches, threads, executor, seed, journal."""

from __future__ import annotations

import functools
import inspect
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from ndg.errors import ConfigError, NDGError, check_kind, nearest

if TYPE_CHECKING:
    from ndg.executors import Executor, Journal

P = ParamSpec("P")
R = TypeVar("R")

BATCH = 256
"""Examples of one compute batch."""

TIMEOUT = 300.0
"""Seconds without any finished task after which Ray workers are given up."""


NAMES = "pass auto, serial, threads or ray"

MOST = {"batch": 1_000_000, "threads": 1024, "timeout": 10_000_000}
"""Largest values; a thread or an example beyond takes memory that no machine has."""


@dataclass(frozen=True)
class RunOptions:
    """How a study runs. Only `seed` changes a figure.

    `batch` and `threads` may change the last bit of a float.

    device       "cpu", "cuda", ...; None: where the network is
    batch        examples of one compute batch (one forward pass)
    threads      torch threads of one forward pass
    executor     "auto", "serial", "threads", "ray", or a value of `ndg.executors`
    ray_address  address of a Ray cluster; None: RAY_ADDRESS, else a session on this machine
    timeout      seconds without any finished task after which Ray workers are given up
    seed         seed of everything that is drawn
    journal      file of finished tasks: a study that was killed continues from it to the same result. For scores,
                 curves and pruning a path is enough; other studies take a `Journal` with a digest of their own
    progress     whether progress bars are shown (only where a person is watching)

    Raises ConfigError for a batch or number of threads below 1 or above `MOST`, and for a timeout that is not above 0.

    >>> options = ndg.RunOptions(batch=64, seed=3, executor="serial")
    >>> ndg.extract(net, data, layers=["1"], options=options) == bits
    True
    """

    device: str | None = None
    batch: int = BATCH
    threads: int = 1
    executor: str | Executor = "auto"
    ray_address: str | None = None
    timeout: float | int = TIMEOUT
    seed: int = 0
    journal: Journal | Path | str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.ray_address is not None:
            check_kind(self.ray_address, str, "ray_address is text, such as 127.0.0.1:6379", "leave it out for none")
        if not isinstance(self.executor, str):
            has = hasattr(self.executor, "total") and hasattr(self.executor, "name")
            check_kind(self.executor, object if has else str, "an executor is a name or one of ndg.executors", NAMES)
        if self.journal is not None and not (hasattr(self.journal, "digest") and hasattr(self.journal, "decode")):
            check_kind(
                self.journal, (str, os.PathLike), "a journal is a path or an ndg.executors.Journal", "name a file"
            )
        if not isinstance(self.batch, int) or self.batch < 1:
            raise ConfigError(f"a compute batch has at least 1 example; got batch={self.batch!r}")
        if not isinstance(self.threads, int) or self.threads < 1:
            raise ConfigError(f"a forward pass runs on at least 1 thread; got threads={self.threads!r}")
        if not self.timeout > 0:
            raise ConfigError(f"a timeout is a number of seconds above 0; got {self.timeout!r}; leave it out for 300")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise ConfigError(f"{name} must be at most {most:,}; got {getattr(self, name)}; choose a smaller one")


def plain_number(value: Any) -> Any:
    """A Python number for a numpy scalar or an array without axes.

    Other values unchanged.
    """
    return value.item() if isinstance(value, np.generic | np.ndarray) and not value.ndim else value


def names_of(names: object, rule: str, error: type[NDGError] = ConfigError) -> list[str]:
    """Names as a list, also of one text.

    `error`, beginning with `rule`, for anything else.
    """
    several: list[Any] = [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    for name in several:
        check_kind(name, str, rule, "pass one text or a list of texts", error)
    return several


def plain_numbers(settings: Any) -> None:
    """Make the numbers in the fields of a frozen dataclass Python numbers.

    Raises ConfigError for a field of numbers, texts or booleans that holds something else.
    """
    for field in fields(settings):
        given = getattr(settings, field.name)
        value, kinds = plain_number(given), set(f"{field.type}".split(" | "))
        if kinds <= {"int", "float", "None"} and not (value is None and "None" in kinds):
            whole = "float" not in kinds
            if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != value // 1):
                usual = field.default if isinstance(field.default, int | float) else 10
                raise ConfigError(
                    f"{field.name} must be a {'whole ' if whole else ''}number; got {value!r}; pass one such as {usual}"
                )
            if not -math.inf < value < math.inf:
                raise ConfigError(f"{field.name} must be a finite number; got {value}; write a decimal such as 0.5")
            value = int(value) if whole and isinstance(value, float) else value
        elif kinds == {"bool"}:
            check_kind(value, bool, f"{field.name} must be True or False", "pass one of them")
        elif kinds == {"str"}:
            check_kind(value, str, f"{field.name} must be text", "pass a name")
        if value is not given:
            object.__setattr__(settings, field.name, value)


def old_keywords(
    renamed: Mapping[str, str] | None = None, **values: type
) -> Callable[[Callable[P, R]], Callable[..., R]]:
    """Accept fields of `settings=` and `options=` as deprecated keywords.

        @old_keywords(settings=TrialSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
        def trial(model, graph, loader, *, settings=TrialSettings(), options=RunOptions()): ...

        trial(net, graph, data, beta=0.9)       # the same as settings=TrialSettings(beta=0.9)

    The decorator warns with DeprecationWarning. `values` maps each parameter to its dataclass; `renamed` maps old names
    to names of fields. Raises TypeError for a keyword that is neither a parameter nor a field.
    """
    old = dict(renamed or {})
    home = {field.name: (parameter, kind) for parameter, kind in values.items() for field in fields(kind)}

    def decorate(function: Callable[P, R]) -> Callable[..., R]:
        own = inspect.signature(function).parameters
        open_ended = any(each.kind is each.VAR_KEYWORD for each in own.values())

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> R:
            moved: dict[str, dict[str, Any]] = {}
            for name in [name for name in keywords if name not in own]:
                field = old.get(name, name)
                if field not in home:
                    if open_ended:
                        continue
                    raise TypeError(f"{function.__name__}() has no parameter {name!r}; {nearest(name, [*own, *home])}")
                moved.setdefault(home[field][0], {})[field] = keywords.pop(name)
            for parameter, changes in moved.items():
                kind = values[parameter]
                spelled = ", ".join(f"{name}=..." for name in changes)
                warnings.warn(
                    f"{function.__name__}({spelled}) is deprecated; pass {parameter}={kind.__name__}({spelled})",
                    DeprecationWarning,
                    stacklevel=2,
                )
                passed = keywords.get(parameter)
                keywords[parameter] = kind(**changes) if passed is None else replace(passed, **changes)
            for parameter, kind in values.items():
                passed = keywords.get(parameter, kind)
                if passed is not kind and not isinstance(passed, kind):
                    raise ConfigError(
                        f"{parameter}= takes a {kind.__name__}; got {passed!r}; pass {parameter}={kind.__name__}(...)"
                    )
            return function(*arguments, **keywords)

        return call

    return decorate
