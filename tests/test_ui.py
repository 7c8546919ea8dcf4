"""The page of the run log: what it shows in a browser, and whom it refuses."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from benchmarks.browser import NoBrowserError, chromium, window
from ndg import runs
from ndg.config import Experiment
from ndg.errors import UserError
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.ui.serve import bind
from tests.references.minimal import graph

HOSTILE = "<img src=x onerror='window.hacked=1'>"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed, accuracy in ((1, 0.5), (2, 0.9)):
        with runs.start(None, "train", Experiment(name=f"net{seed}", seed=seed), folder, tags=[HOSTILE]) as run:
            for epoch in (1, 2, 3):
                run.metric({"epoch": epoch, "loss.train": seed / epoch})
            run.result("train", {"test_accuracy": accuracy})
            small_graph().explore(run.folder / "explorer.html")
            (run.folder / "report.html").write_text("<title>r</title><script>document.title = 'ran'</script>")
    return folder


def small_graph() -> NDG:
    nodes = NodeSpace(2, (LayerUnits("latent", 2),))
    bits = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]], bool)
    return graph(bits, nodes, [("latent:0", "label:1")])


@contextmanager
def serving(root: Path, write: bool = False) -> Iterator[str]:
    with runs.open(root) as log:
        server = bind(log, 0, write)
        thread = threading.Thread(target=server.run)
        thread.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urlopen(server.address, timeout=5).read()
                break
            except OSError:
                time.sleep(0.02)
        try:
            yield server.address
        finally:
            server.stop()
            thread.join()


def status(address: str, method: str = "GET", **headers: str) -> int:
    try:
        with urlopen(Request(address, method=method, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_requests_of_other_pages_are_refused(root: Path):
    with serving(root) as address:
        origin = address.rpartition("/")[0].rpartition("/")[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
        api = f"{address}api/runs"
        assert status(api) == status(api, Origin=origin) == 200
        assert status(f"{origin}/api/runs") == status(f"{origin}/wrong/api/runs") == 404
        assert status(api, Host="attacker.example") == status(api, Origin="http://attacker.example") == 403
        assert status(api, Origin="null") == 403
        edit = f"{address}api/run/last/tag"
        assert status(edit, "POST", Origin=origin) == status(edit, "POST") == 403
        assert status(f"{address}file/last/journal.jsonl") == status(f"{address}file/last/..%2fndg.db") == 404
        assert status(f"{api}?where=kind") == status(f"{api}?where=%22") == status(f"{api}?sort=%24x") == 400
        assert status(f"{address}api/run/nothing") == 404
        with urlopen(f"{address}file/last/report.html") as page:
            assert page.headers["content-security-policy"].startswith("sandbox allow-scripts ")
        with urlopen(address) as page:
            assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_port_that_is_taken_is_named(root: Path):
    with serving(root) as address, runs.open(root) as log:
        port = int(address.split(":")[2].split("/")[0])
        with pytest.raises(UserError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
            bind(log, port, write=False)


def patient() -> Any:
    """``expect`` of Playwright, which waits long enough for a busy machine."""
    expect = pytest.importorskip("playwright.sync_api").expect
    expect.set_options(timeout=60_000)
    return expect


@pytest.mark.browser
def test_a_late_answer_replaces_no_newer_one_and_ticks_stay(root: Path):
    expect = patient()
    try:
        with chromium() as browser, serving(root) as address, window(browser) as (page, trouble, _):
            page.goto(address)
            names = page.locator("#runs tbody tr td:nth-child(4)")
            expect(names).to_have_count(2)
            page.get_by_label("choose").first.check()
            ticked = page.locator("#runs input:checked").get_attribute("value")
            held: list[Any] = []
            page.route("**/api/runs?*sort=-*", lambda route: held.append(route))
            page.get_by_role("button", name="train.test_accuracy").click()
            page.get_by_role("button", name="train.test_accuracy").click()
            expect(names).to_have_text(["net1", "net2"])
            assert len(held) == 1
            with page.expect_response("**/api/runs?*sort=-*") as late:
                held[0].continue_()
            late.value.finished()
            page.evaluate("new Promise((done) => setTimeout(done, 100))")
            assert names.all_text_contents() == ["net1", "net2"]
            assert [box.get_attribute("value") for box in page.locator("#runs input:checked").all()] == [ticked]
            assert trouble == []
    except NoBrowserError as error:
        pytest.skip(str(error))


@pytest.mark.browser
def test_runs_are_sorted_compared_drawn_and_tagged_in_the_browser(root: Path):
    expect = patient()
    try:
        with chromium() as browser, serving(root, write=True) as address, window(browser) as (page, trouble, requests):
            page.goto(address)
            names = page.locator("#runs tbody tr td:nth-child(4)")
            expect(names).to_have_count(2)
            for expected in (["net2", "net1"], ["net1", "net2"]):
                page.get_by_role("button", name="train.test_accuracy").click()
                expect(names).to_have_text(expected)
            for box in page.locator("#runs input[type=checkbox]").all():
                box.check()
            page.get_by_text("Compare").click()
            expect(page.locator("#details")).to_contain_text("results.train.test_accuracy")
            page.get_by_text("Learning curves").click()
            expect(page.locator("polyline")).to_have_count(2)
            expect(page.locator("select option")).to_have_text(["loss.train"])
            page.fill("#where", "seeds.seed=2")
            page.fill("#columns", "name results.train.test_accuracy")
            page.get_by_role("button", name="Show").click()
            expect(page.locator("#runs tbody tr")).to_have_count(1)
            page.locator("#runs tbody a").click()
            page.fill("#note input", "the one")
            page.locator("#note button").click()
            expect(page.locator("#edits")).to_contain_text("the one")
            for kind, there in (("tag", True), ("untag", False)):
                page.fill(f"#{kind} input", "paper")
                page.locator(f"#{kind} button").click()
                words = expect(page.locator("#edits"))
                words.to_contain_text("paper") if there else words.not_to_contain_text("paper")
                with runs.open(root) as log:
                    assert ("paper" in log.get("last")["tags"]) is there
            with page.context.expect_page() as opened:
                page.get_by_text("explorer.html").click()
            expect(opened.value.get_by_text("8 of 8 nodes")).to_be_visible()
            with page.context.expect_page() as opened:
                page.get_by_text("report.html").click()
            expect(opened.value).to_have_title("ran")
            assert page.evaluate("window.hacked") is None
            assert trouble == []
            assert all(request.startswith((address, "data:")) for request in requests)
            with runs.open(root) as log:
                assert log.get("last")["notes"] == "the one"
    except NoBrowserError as error:
        pytest.skip(str(error))
