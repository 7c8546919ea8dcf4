"""Values of a config as the types of its fields."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from ndg.config.limits import check_values
from ndg.config.scalars import Scalar, plain, texts
from ndg.errors import ConfigError

YES, NO = ("true", "yes", "y", "on", "1"), ("false", "no", "n", "off", "0")
ITEMS = {str: "text", int: "whole number", float: "number"}
WRITE = {str: "write it in quotes", int: "write one such as 5", float: "write a decimal such as 0.001"}


def typed(full: str, kind: Any, value: Any) -> Any:
    """The value of a key as the type of its field. Raises ConfigError."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if NoneType in options and _is_null(value):
        return None
    if get_origin(kind) is list:
        return _list(full, get_args(kind)[0], value)
    if kind is Any:
        return texts(value) if full.endswith("mining.pairs") else plain(value)
    if isinstance(value, Scalar) and value.other_number and str not in options:
        raise ConfigError(
            f"{full} must be a decimal; got {value.text!r}, which YAML reads as {value.value}; write it so"
        )
    if bool in options:
        return _boolean(full, value)
    if float in options:
        return _number(full, value)
    if int in options and (str not in options or _is_whole(value)):
        return _whole(full, value)
    return _text(full, value)


def _list(full: str, kind: Any, value: Any) -> list[Any]:
    """A list, or a list of one."""
    items = value if isinstance(value, list) else [value]
    name = ITEMS.get(kind, "value")
    empty = shown(value) == "nothing" or (value is None and kind is str)
    if empty or any(isinstance(item, dict | list) for item in items):
        example = "[a, b], or [] for none" if kind is str else "[8, 4]"
        raise ConfigError(
            f"{full} must be one {name} or a list of {name}s; got {shown(value)}; write it as in {example}"
        )
    return [typed(full, kind, item) for item in items]


def _text(full: str, value: Any) -> str:
    if isinstance(value, Scalar) and value.text:
        return value.text
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):  # of a dictionary
        return str(value)
    raise ConfigError(f"{full} must be a text; got {shown(value)}; {WRITE[str]}")


def _whole(full: str, value: Any) -> int:
    if _is_whole(value):
        return int(_read(value))
    number = _read(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise ConfigError(f"{full} must be a finite number; got {number}; {WRITE[int]}")
    if isinstance(number, float) and number == int(number):
        raise ConfigError(f"{full} must be a whole number; got {shown(value)}; write {int(number)}")
    raise ConfigError(f"{full} must be a whole number; got {shown(value)}; {WRITE[int]}")


def _is_whole(value: Any) -> bool:
    number = _read(value)
    if isinstance(value, str):
        return re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,99})", value, re.ASCII) is not None
    return isinstance(number, Integral) and not isinstance(number, bool)


def _number(full: str, value: Any) -> float:
    number = _read(value)
    if isinstance(number, str):
        try:
            number = float(number)
        except ValueError:
            number = None
        if number is not None and not math.isfinite(number):
            raise ConfigError(f"{full} must be a finite number; got {number}; {WRITE[float]}")
    if isinstance(number, bool) or not isinstance(number, Real):
        raise ConfigError(f"{full} must be a number; got {shown(value)}; {WRITE[float]}")
    if isinstance(number, int):
        check_values({full: number})
    return float(number)


def _boolean(full: str, value: Any) -> bool:
    text = str(_read(value)).lower()
    if isinstance(value, dict | list) or text not in YES + NO:
        raise ConfigError(f"{full} must be true or false; got {shown(value)}; write one of them")
    return text in YES


def _read(value: Any) -> Any:
    return value.value if isinstance(value, Scalar) else value


def _is_null(value: Any) -> bool:
    return _read(value) is None


def shown(value: Any) -> str:
    """The value for a message."""
    if isinstance(value, Scalar):
        text = value.text or "nothing"
        return (repr(text) if isinstance(value.value, str) and value.text else text)[:80]
    return "null" if value is None else repr(plain(value))[:80]
