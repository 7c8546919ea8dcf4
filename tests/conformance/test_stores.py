"""Every store in the registry keeps documents as they are, answers one query language, and fails with one error."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ndg.errors import ConfigError, StoreError
from ndg.runs.store import STORES, Store, connect
from ndg.testing import STORE_CHECKS
from ndg.testing.stores import RUN
from tests.mongo_server import free_port, genuine_server


@pytest.fixture(scope="module")
def genuine_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A genuine MongoDB, where there is one."""
    with genuine_server(tmp_path_factory.mktemp("mongod")) as uri:
        yield uri


@pytest.fixture(scope="module", params=[*sorted(STORES), "genuine"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """Makes an empty store of each kind. A new kind of store adds its line here."""
    uris: dict[str, Callable[[], str]] = {
        "file": lambda: str(tmp_path_factory.mktemp("store") / "made" / "log.db"),
        "memory": lambda: f"memory://{uuid.uuid4().hex}",
        "mongodb": lambda: f"{request.getfixturevalue('mongo_uri')}/{uuid.uuid4().hex}",
        "genuine": lambda: f"{request.getfixturevalue('genuine_uri')}/{uuid.uuid4().hex}",
    }
    return lambda: connect(uris[request.param]())


@pytest.mark.parametrize("check", STORE_CHECKS)
def test_a_store_keeps_the_laws(make: Callable[[], Store], check: str):
    STORE_CHECKS[check](make)


def test_reading_makes_no_file_and_no_folder(tmp_path: Path):
    assert connect(tmp_path / "runs" / "ndg.db").find() == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path):
    assert connect(tmp_path).path == (tmp_path / "ndg.db").resolve()
    assert connect(f"{tmp_path}/new/").path == (tmp_path / "new" / "ndg.db").resolve()
    assert connect(f"file://{tmp_path}/x.db").path == (tmp_path / "x.db").resolve()


def test_a_file_deleted_under_an_open_store_is_made_anew(tmp_path: Path):
    store = connect(tmp_path / "log.db")
    store.insert(dict(RUN))
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.find() == []
    store.replace(dict(RUN))
    store.close()
    assert connect(tmp_path / "log.db").find() == [RUN]


def test_a_file_that_is_no_run_log_is_named_in_the_error(tmp_path: Path):
    (tmp_path / "ndg.db").write_bytes(b"not a database, and long enough to be read as one" * 30)
    with pytest.raises(
        StoreError, match=r"the run log .*ndg\.db failed: file is not a database; check that it is a file"
    ):
        connect(tmp_path / "ndg.db").find()


def test_a_folder_that_cannot_be_made_is_named_in_the_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"the run log .*ndg\.db failed: .*; check that it is a file"):
        connect(tmp_path / "file" / "ndg.db").insert(dict(RUN))


def test_a_server_that_does_not_answer_is_an_error_without_the_password():
    store = connect(f"mongodb://user:secret@127.0.0.1:{free_port()}/ndg?serverSelectionTimeoutMS=200")
    with pytest.raises(
        StoreError, match=r"the run log mongodb://user:\*\*\*@127\.0\.0\.1:\d+/ndg.* failed: "
    ) as caught:
        store.find()
    assert "secret" not in str(caught.value)
    assert "check that the server runs" in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgres://u:secret@h/d", r"store\.uri is a file path or mongodb://\.\.\.; got postgres://u:\*\*\*@h/d"),
        ("mongo://h", r"nearest: mongodb"),
        ("mongodb://", r"store\.uri mongodb:// is not a MongoDB URI"),
        ("mongodb://u:sec/ret@h", r"store\.uri mongodb://u:\*\*\*@h is not a MongoDB URI"),
        ("mongodb://h:port", r"is not a MongoDB URI: "),
    ],
)
def test_a_uri_that_cannot_be_right_is_the_users_mistake_and_keeps_its_secret(uri: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        connect(uri)
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)
