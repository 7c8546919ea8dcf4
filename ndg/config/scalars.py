"""YAML as plain values whose scalars keep the text that was typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import yaml

from ndg.config.limits import DEPTH, Loader
from ndg.errors import ConfigError

PREFIX = "tag:yaml.org,2002:"
_FLOAT = re.compile(
    r"""[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+(?:_[0-9]+)*[eE][-+]?[0-9]+
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Scalar:
    """A scalar without quotes: the text as typed, and what YAML reads."""

    text: str
    value: Any

    @property
    def other_number(self) -> bool:
        """Whether YAML reads another number than a decimal, as in `1:30` or `010`."""
        number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return number and (":" in self.text or re.match(r"[+-]?0[0-9_]", self.text) is not None)


class _Reader(Loader):
    """Reads `1e-3` as a number, as YAML 1.2 does, and a date as text."""


_Reader.yaml_implicit_resolvers = {
    sign: [(tag, rule) for tag, rule in resolvers if tag not in (f"{PREFIX}timestamp", f"{PREFIX}float")]
    for sign, resolvers in Loader.yaml_implicit_resolvers.items()
}
_Reader.add_implicit_resolver(f"{PREFIX}float", re.compile(f"(?:{_FLOAT.pattern})$", re.VERBOSE), list("-+.0123456789"))


def read(text: str) -> Any:
    """Dictionaries, lists, quoted texts and `Scalar`s of a YAML text. Raises YAMLError; ConfigError for other tags."""
    node = yaml.compose(text, _Reader)
    return {} if node is None else _value(node)


def read_override(text: str) -> Any:
    """The value of an override; a scalar without quotes is what was typed."""
    node = yaml.compose(text, _Reader)
    raw = text.strip()
    if node is None or (isinstance(node, yaml.ScalarNode) and node.style not in ("'", '"')):
        if raw.lower() in ("", "~", "null"):
            return Scalar(raw, None)
        value = None if node is None else _scalar(node, lenient=True)
        return Scalar(raw, raw if value is None else value)  # `#x` is null to YAML
    if not isinstance(node, yaml.ScalarNode) and raw[:1] not in ("[", "{"):
        kind = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
        raise yaml.YAMLError(f"this is a {kind} without brackets")
    return _value(node)


def copied(value: Any, depth: int = 0) -> Any:
    """Values of a dictionary instead of YAML, with paths as texts."""
    if depth > DEPTH:
        raise RecursionError
    if isinstance(value, Mapping):
        return {f"{key}": copied(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item, depth + 1) for item in value]
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # a number or an array of numpy
        return value.tolist()
    return fspath(value) if isinstance(value, PathLike) else value


def merged(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with changes; mappings are merged, other values replaced."""
    result = dict(document)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def plain(value: Any) -> Any:
    """The value with what YAML reads in place of `Scalar`s."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.value if isinstance(value, Scalar) else value


def texts(value: Any) -> Any:
    """The value with texts in place of `Scalar`s."""
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [texts(item) for item in value]
    return value.text if isinstance(value, Scalar) else value


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        _check_tag(node, "map")
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        _check_tag(node, "seq")
        return [_value(item) for item in node.value]
    assert isinstance(node, yaml.ScalarNode)
    if node.style in ("'", '"') or (node.style in ("|", ">") and node.value):
        _check_tag(node, "str")
        return str(node.value)
    return Scalar(str(node.value), _scalar(node))


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    own: dict[str, Any] = {}
    base: dict[str, Any] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.YAMLError("a key must be a text")
        if key.tag == f"{PREFIX}merge":
            for part in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                if not isinstance(part, yaml.MappingNode):
                    raise yaml.YAMLError("<< must name a mapping, or a list of them")
                base = _mapping(part) | base
        elif key.value in own:
            raise yaml.YAMLError(f"the key {key.value!r} comes twice")
        else:
            own[str(key.value)] = _value(item)
    return base | own


def _scalar(node: yaml.ScalarNode, lenient: bool = False) -> Any:
    """What YAML reads; the text itself where that is no number, boolean or null."""
    kind = str(node.tag).removeprefix(PREFIX)
    makers = {"int": "construct_yaml_int", "float": "construct_yaml_float", "bool": "construct_yaml_bool"}
    if kind in makers:
        try:
            return getattr(yaml.constructor.SafeConstructor(), makers[kind])(node)
        except (ValueError, LookupError):  # more digits than Python reads, or a forced tag
            return str(node.value)
    if kind == "null":
        return None
    if not lenient:
        _check_tag(node, "str")
    return str(node.value)


def _check_tag(node: yaml.Node, kind: str) -> None:
    if str(node.tag) not in (PREFIX + kind, f"{PREFIX}value", "!"):
        tag = str(node.tag).replace(PREFIX, "!!")
        raise ConfigError(
            f"a config holds texts, numbers, booleans, null, lists and mappings; got the tag {tag} at "
            f"line {node.start_mark.line + 1}; leave it out"
        )
