"""A password in the address of a run log is in no output and no file, also where the address is malformed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ndg import cli, config
from ndg.addresses import without_pieces
from ndg.commands.parser import make_parser
from ndg.errors import NDGError
from ndg.locations import Locations
from ndg.runs import connect

SECRET = "hunter2"
RUN = ("last",)
WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("report", "show", "path", "open", "fetch", "render", "explore"), RUN),
    "runs": ("kind=train",),
    "compare": ("a", "b"),
    "best": ("results.x",),
    "tag": ("last", "x"),
    "untag": ("last", "x"),
    "note": ("last", "x"),
    "rm": ("last", "--yes"),
    "export": ("copy.db",),
    "import": ("copy.db",),
    "sync": (),
    "diff": ("a", "b"),
    "explain": ("last", "--example", "1"),
    **dict.fromkeys(("train", "align"), ("digits_mlp", "--print-config")),
    **dict.fromkeys(("score", "prune", "efficiency", "compress"), ("digits_mlp",)),
    "configs": (),
    "data": ("list",),
    "completion": ("bash",),
    "ui": ("--port", "99999"),
}
"""Arguments of each command but doctor, which takes long; those that need a network stop at the run log."""
OVERRIDES = ("train", "align", "score", "prune", "efficiency", "compress")


def addresses(count: int) -> Iterator[str]:
    """Malformed addresses with the password, and some that are well formed."""
    draw = random.Random(0)
    yield from (
        f"bob:{SECRET}@host/ndg",
        f"mongodb:/bob:{SECRET}@host",
        f"mongodb://bob:{SECRET}",
        f"bob:{SECRET} x@h/ndg",
    )
    for _ in range(count):
        schemes = [
            "file://",
            "memory://",
            "mongodb:/",
            "mongodb//",
            "mongodb:",
            "mongo://",
            "MONGODB://",
            "",
            "http://",
        ]
        scheme = draw.choice(["mongodb://"] * 3 + schemes)
        sign = draw.choice(
            ["", "", " ", "\n", "\t", "/", "@", ":", "%", "%zz", "?", "#", "[", ",", "\\", "é", "'", '"']
        )
        password = draw.choice([f"{sign}{SECRET}", f"{SECRET}{sign}", f"a{sign}{SECRET}{sign}b"])
        host = draw.choice(["@127.0.0.1:1", "@127.0.0.1:port", "@h h", "@", "", "@[::1", "@127.0.0.1:1,"])
        if not host.startswith("@") and not scheme:
            continue  # the name of a file
        rest = draw.choice(["/ndg", "", "/a.b"]) + "?serverSelectionTimeoutMS=1" + draw.choice(["", "#upload"])
        yield f"{scheme}{draw.choice(['bob', '', 'b ob', 'bob%40x'])}:{password}{host}{rest}"


def test_every_command_has_arguments():
    assert {*WORDS, "doctor"} == set(make_parser("ndg", ()).commands)


def test_no_message_about_an_address_has_its_password():
    for address in addresses(400):
        word = f"store.uri={address}"
        for use, argument in (
            (lambda: Locations.choose(store=address), address),  # noqa: B023
            (lambda: connect(address), address),  # noqa: B023
            (lambda: config.store_uri({}, [word]), word),  # noqa: B023
            (lambda: config.store_uri({"store": {"uri": address}}), ""),  # noqa: B023
        ):
            message = ""
            try:
                use()
            except NDGError as error:
                message = without_pieces(str(error), [argument])
            assert SECRET not in message


@pytest.mark.parametrize("scheme", ["file", "memory", "FILE", "file+x"])
def test_a_run_log_without_a_server_has_no_password(scheme, tmp_path, monkeypatch, capsys):
    """What follows its scheme is the name of a file, which is written and shown."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sync", "--store", f"{scheme}://bob:{SECRET}@h"]) == 2
    out, err = capsys.readouterr()
    assert f"{scheme}:// has no password" in err
    assert SECRET not in out + err
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_no_command_says_or_writes_a_password(tmp_path: Path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda _: None)
    draw, names = random.Random(1), sorted(WORDS)
    for number, address in enumerate(addresses(60)):
        name = names[number % len(names)]
        words = [name, *WORDS[name]]
        places = ["option", "environment", "word", *(["override"] if name in OVERRIDES else [])]
        place = draw.choice(places)
        monkeypatch.delenv("NDG_STORE", raising=False)
        if place == "environment":
            monkeypatch.setenv("NDG_STORE", address)
        elif place == "override":
            words.append(f"store.uri={address}")
        else:
            words += ["--store", *(address.split() if place == "word" else [address])]
        with suppress(SystemExit):  # argparse
            cli.main(words)
        out, err = capfd.readouterr()
        assert SECRET not in out + err + caplog.text, (words, out, err)
        caplog.clear()
    for path in tmp_path.rglob("*"):
        assert SECRET not in path.name
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
