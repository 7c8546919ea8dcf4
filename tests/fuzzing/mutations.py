"""Damage to files: flipped bits, lost and moved blocks, odd values in documents."""

from __future__ import annotations

import copy
import json
import re
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import yaml

DEEP = "@deep@"
"""Stands for a list nested thousands of times, which `json.dumps` could not write."""

ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 7, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *(0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan")),
    *(
        "",
        " ",
        "~",
        "label:0",
        "\ud800",
        "\0",
        "é猫",
        "1:30",
        "1e999",
        "nan",
        "x" * 5000,
        "../" * 40,
        "${oops}",
        "${a.b:c}",
    ),
    *([], {}, [[]], [1], ["a"], {"a": 1}, {"name": "x"}, [None], [float("nan")], DEEP),
)
"""Values that belong nowhere, or only somewhere."""

NUMBERS = (
    b"-1",
    b"0",
    b"9",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"99999999999999999999",
    b"null",
    b'"\\ud800"',
    b"[[",
    b"{}",
)
WORDS = [struct.pack(form, value) for form in ("<I", "<Q", ">I") for value in (0, 1, 255, 2**31, 2**32 - 1)]
WORDS += [struct.pack("<Q", value) for value in (2**63, 2**64 - 1, 2**40)]


def of_bytes(content: bytes, rng: Random) -> bytes:
    """The content with one kind of damage; equal to it only by chance."""
    return rng.choice(BYTES)(bytearray(content), rng) if content else rng.randbytes(8)


def of_document(document: Any, rng: Random) -> str:
    """JSON text of the document with one to three changed entries."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(document))
        if places:
            home, key = rng.choice(places)
            rng.choice(ENTRIES)(home, key, rng)
    return text(document, rng)


def text(document: Any, rng: Random) -> str:
    """JSON text, with a deeply nested list where `DEEP` stands."""
    depth = rng.choice((50, 900, 5000, 100_000))
    return json.dumps(document).replace(f'"{DEEP}"', "[" * depth + "]" * depth)


def _flip(content: bytearray, rng: Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _overwrite(content: bytearray, rng: Random) -> bytes:
    at, length = rng.randrange(len(content)), rng.choice((1, 4, 64, 512, 4096))
    part = content[at : at + length]
    content[at : at + length] = rng.choice((bytes(len(part)), b"\xff" * len(part), rng.randbytes(len(part))))
    return bytes(content)


def _truncate(content: bytearray, rng: Random) -> bytes:
    return bytes(content[: rng.randrange(len(content))])


def _remove(content: bytearray, rng: Random) -> bytes:
    at, length = rng.randrange(len(content)), rng.choice((1, 8, 64, 512))
    del content[at : at + length]
    return bytes(content)


def _repeat(content: bytearray, rng: Random) -> bytes:
    at, to, length = rng.randrange(len(content)), rng.randrange(len(content)), rng.choice((1, 8, 64, 512))
    content[to:to] = content[at : at + length]
    return bytes(content)


def _swap(content: bytearray, rng: Random) -> bytes:
    length = rng.choice((1, 8, 64, 512))
    first, second = (rng.randrange(len(content)) // length * length for _ in range(2))
    parts = content[first : first + length], content[second : second + length]
    if len(parts[0]) == len(parts[1]):
        content[first : first + length], content[second : second + length] = parts[1], parts[0]
    return bytes(content)


def _number(content: bytearray, rng: Random) -> bytes:
    """Another number in a text, or a word of a binary file."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content[:200_000]))
    if numbers and rng.random() < 0.7:
        match = rng.choice(numbers)
        content[match.start() : match.end()] = rng.choice(NUMBERS)
        return bytes(content)
    word, at = rng.choice(WORDS), rng.randrange(len(content))
    content[at : at + len(word)] = word
    return bytes(content)


def _append(content: bytearray, rng: Random) -> bytes:
    return bytes(content) + rng.choice((b"\0", b"\n", b"}", b"[" * 3000, rng.randbytes(9)))


BYTES: tuple[Callable[[bytearray, Random], bytes], ...] = (
    *(_flip, _flip, _flip, _overwrite, _overwrite, _truncate, _remove, _repeat, _swap, _number, _number, _append),
)


def _replace(home: Any, key: Any, rng: Random) -> None:
    home[key] = copy.deepcopy(rng.choice(ODD))


def _delete(home: Any, key: Any, rng: Random) -> None:
    del home[key]


def _rename(home: Any, key: Any, rng: Random) -> None:
    if isinstance(home, dict):
        home[rng.choice((f"{key}s", f"{key}"[:-1], "other", "", "\ud800"))] = home.pop(key)


def _wrap(home: Any, key: Any, rng: Random) -> None:
    home[key] = rng.choice(([home[key]], {"a": home[key]}, f"{home[key]}"[:100]))


def _double(home: Any, key: Any, rng: Random) -> None:
    if isinstance(home, list):
        home.insert(key, home[key])


def _exchange(home: Any, key: Any, rng: Random) -> None:
    other = rng.choice(list(home) if isinstance(home, dict) else range(len(home)))
    home[key], home[other] = home[other], home[key]


ENTRIES: tuple[Callable[[Any, Any, Random], None], ...] = (
    *(_replace, _replace, _replace, _delete, _rename, _wrap, _double, _exchange),
)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a document; of a long list a few."""
    if isinstance(document, dict):
        keys = list(document)
    else:
        keys = list(range(len(document))) if isinstance(document, list) else []
    for key in keys if len(keys) < 40 else [*keys[:5], *keys[-5:]]:
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])


def of_json(content: bytes, rng: Random) -> bytes:
    """A JSON document with odd values."""
    return of_document(json.loads(content), rng).encode()


def of_yaml(content: bytes, rng: Random) -> bytes:
    """A config with odd values; every JSON text is YAML but for its names of infinities."""
    text = of_document(yaml.safe_load(content), rng)
    return text.replace("-Infinity", "-.inf").replace("Infinity", ".inf").replace("NaN", ".nan").encode()
