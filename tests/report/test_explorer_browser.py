"""The explorer in headless Chromium: what a reader does, and what the page then says."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import ndg
from benchmarks.browser import NoBrowserError, chromium, window
from ndg.graph.conjunctions import Conjunction
from ndg.graph.votes import Votes
from ndg.importance.scores import Scores
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace
from ndg.report import html
from ndg.report.explorer.table import tabulate
from ndg.stimuli.png import thumbnail
from ndg.stimuli.result import Example, Examples
from tests.references.verdicts import every_second_survives

pytestmark = pytest.mark.browser
HOSTILE = '</script><img src=x onerror="window.hacked=1">"' + "x" * 10_000


@pytest.fixture(scope="module")
def browser():
    try:
        with chromium() as browser:
            yield browser
    except NoBrowserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def graph():
    """Two layers and three classes: an equivalence, a contradictory class, chains, an isolated literal, scores."""
    space = NodeSpace(3, (LayerUnits("first", 4), LayerUnits("second", 5)))
    arrows = "label:0>first:0 first:0>second:0 second:0>second:1 second:1>second:0 first:1>~first:2 " \
        "second:2>~second:2 ~second:2>second:2 first:3>label:1 label:2>~second:1"  # fmt: skip
    codes = {tuple(space.literal(text).code for text in arrow.split(">")) for arrow in arrows.split()}
    codes |= {(head ^ 1, tail ^ 1) for tail, head in codes}
    tails, heads = map(np.ascontiguousarray, np.array(sorted(codes), np.int32).T)
    implications = Implications(
        nodes=space, antecedents=tails, consequents=heads, exceptions=np.full(len(tails), 5, np.int64),
        on=np.array([20, 30, 50, 40, 50, 50, 30, 60, 60, 50, 50, 50], np.int64), with_label=np.zeros((3, 12), np.int64),
        examples=100, constants=(), criterion={"name": "paper", "alpha": 5.0}, thresholds=np.zeros(9),
        binarizer="median", bits_digest="0" * 16, tests=100,
    )  # fmt: skip
    return ndg.NDG(implications).with_class_names(["zero", HOSTILE, "two"])


@pytest.fixture(scope="module")
def causal(graph):
    """The same with conjunctions, of which one fires from `label:0` alone and one never does, and votes."""
    sets = {"first:0 second:1": "second:3", "second:3 second:4": "first:3", "second:2 first:0": "first:1"}
    conjunctions = [
        Conjunction(tuple(map(graph.literal, members.split())), graph.literal(consequent), test=(50, 48))
        for members, consequent in sets.items()
    ]
    weights = np.zeros((3, 5))
    weights[0, 1], weights[2, 4] = 1.5, -0.5
    votes = Votes("second", weights, np.zeros(3), n=10)
    return graph.with_conjunctions(conjunctions).with_votes(votes)


@pytest.fixture(scope="module")
def judged(graph):
    """The same with scores of its neurons, and with verdicts: every second forced edge survives."""
    verdicts = every_second_survives(graph)
    values = {"first": np.arange(4) / 4, "second": np.arange(5.0)}
    scores = Scores("gndi", values, dict.fromkeys(values, 1.0), "all logits", "zero", 10)
    return replace(graph, verdicts=verdicts).with_scores(scores)


@contextmanager
def opened(browser, graph, folder, **settings):
    """The explorer in a window, which makes no error and asks for nothing."""
    with window(browser, **settings) as (page, trouble, requests):
        page.goto(ndg.explore(graph, folder / "graph.html").as_uri())
        whole(page)
        yield page
        assert trouble == []
        assert len(set(requests)) == 1


@pytest.fixture
def page(browser, graph, tmp_path):
    with opened(browser, graph, tmp_path) as page:
        yield page


def whole(page):
    page.wait_for_selector("canvas[data-state=whole]")


def find(page, text):
    page.fill("#search", text)
    page.press("#search", "Enter")
    whole(page)


def keys(page, place):
    return {button.get_attribute("data-key") for button in page.query_selector_all(f"#{place} button")}


@pytest.mark.parametrize(
    "text", ["label:0", "first:0", "second:1", "~second:0", "second:2", "first:1", "second:4", "~label:1"]
)
def test_what_lights_up_is_the_closure_the_ancestors_and_the_contradictions(page, graph, text):
    find(page, text.replace("~", "¬"))
    classes = {graph.key(literal) for literal in graph.closure(text)} - {graph.key(text)}
    assert keys(page, "closure") == classes
    assert keys(page, "ancestors") == {graph.key(literal) for literal in graph.ancestors(text)} - {graph.key(text)}
    follow = keys(page, "closure") | ({graph.key(text)} - {graph.key("second:2")})
    against = {graph.key(~graph.literal(key)) for key in follow}
    assert keys(page, "contradictions") == against - classes - {graph.key(text)}
    assert f"Follows, {len(graph.closure(text))} literal" in page.inner_text("#details")
    others = sum(graph.key(literal) != graph.key(text) for literal in graph.closure(text))
    status = page.inner_text("#status")
    equal = next(len(names) for names in tabulate(graph).classes["texts"] if text in names) - 1
    also = f", with {equal} equivalent literals?" if equal else ""
    start = rf" {text.replace('~', '¬')}( .*)? is selected{also}: {others} other literals? follows? from it"
    assert re.search(start, status)
    assert page.inner_text("#details h2").startswith(text.replace("~", "¬"))


def test_a_click_on_a_literal_selects_it_and_escape_clears(page, graph):
    table = tabulate(graph)
    view = json.loads(page.get_attribute("canvas", "data-view"))
    box = page.query_selector("canvas").bounding_box()
    place = [texts[0] for texts in table.classes["texts"]].index("label:0")
    x = box["x"] + (table.classes["x"][place] - view["x"]) * view["scale"] + box["width"] / 2
    y = box["y"] + (table.classes["y"][place] - view["y"]) * view["scale"] + box["height"] / 2
    page.mouse.move(x, y)
    assert "holds on: 20 %" in page.inner_text("#card")
    assert "precision 0.75" in page.inner_text("#card")
    page.mouse.click(x, y)
    assert "label:0 zero is selected" in page.inner_text("#status")
    page.press("canvas", "Escape")
    assert "selected" not in page.inner_text("#status")


def test_sliders_and_boxes_leave_out_edges_and_literals(page, graph):
    table = tabulate(graph)
    nodes, edges = len(table.classes["texts"]), len(table.edges["tail"])
    assert f"{nodes} of {nodes} nodes and {sum(table.edges['essential'])} of {edges} edges" in page.inner_text(
        "#status"
    )
    page.uncheck("#reduced")
    assert f"and {edges} of {edges} edges" in page.inner_text("#status")
    page.evaluate(
        "() => { const range = document.getElementById('precision'); range.value = 500;"
        "range.dispatchEvent(new Event('input')); }"
    )
    bar = min(table.edges["precision"]) + (1 - min(table.edges["precision"])) / 2
    assert f"and {sum(value >= bar for value in table.edges['precision'])} of {edges}" in page.inner_text("#status")
    page.uncheck(f"#layer{table.layers.index('first')}")
    left = sum(layer != table.layers.index("first") for layer in table.classes["layer"])
    assert f"{left} of {nodes} nodes" in page.inner_text("#status")
    page.uncheck("#equivalent")
    single = sum(
        layer != table.layers.index("first") and len(texts) == 1
        for layer, texts in zip(table.classes["layer"], table.classes["texts"], strict=True)
    )
    assert f"{single} of {nodes} nodes" in page.inner_text("#status")


def slide(page, name, value):
    """Move a slider to a place between 0 and 1000."""
    script = "([name, value]) => { const range = document.getElementById(name); range.value = value;"
    page.evaluate(f"{script} range.dispatchEvent(new Event('input')); }}", [name, value])


def test_scores_and_verdicts_choose_literals_and_edges(browser, judged, tmp_path):
    table = tabulate(judged)
    count, arcs = len(table.classes["texts"]), len(table.edges["tail"])
    with opened(browser, judged, tmp_path) as page:
        find(page, "second:4")
        assert "gndi (logits)" in page.inner_text("#details")
        slide(page, "score", 500)
        kept = sum(score is None or score >= 2 for score in table.classes["score 0"])
        assert f"{kept} of {count} nodes" in page.inner_text("#status")
        slide(page, "score", 0)
        page.uncheck("#reduced")
        page.check("#causal")
        causal = sum(verdict == "survives" for verdict in table.edges["verdict alone"])
        assert 0 < causal < arcs
        assert f"and {causal} of {arcs} edges" in page.inner_text("#status")
        page.uncheck("#causal")
        slide(page, "survival", 500)
        held = sum((rate or 0) >= 0.5 for rate in table.edges["rate alone"])
        assert f"and {held} of {arcs} edges" in page.inner_text("#status")
        edge = table.edges["rate alone"].index(0.99)
        find(page, table.classes["members"][table.edges["tail"][edge]][0])
        assert "forced alone: survives (0.99)" in page.inner_text("#implied")


def test_examples_are_shown_on_the_card_and_in_the_lists(browser, graph, tmp_path):
    image = thumbnail(np.eye(4)[None], 0.0, 1.0)
    top = (Example(3, 0.9, image=image), Example(5, 0.8, image=image))
    texts = (Example(7, 0.9, text="not a ⟦<b>word⟧ more"),)
    seen = [
        Examples("label:0", "image", top, 20, 100, mean_holds=image),
        Examples("first:1", "text", texts, 5, 100),
        Examples("label:0 -> first:0", "image", top[:1], 5, 20),
    ]
    path = ndg.explore(graph, tmp_path / "graph.html", examples=seen)
    with window(browser) as (page, trouble, _):
        page.goto(path.as_uri())
        whole(page)
        find(page, "label:0")
        assert "label:0 holds on 20 of 100 examples" in page.inner_text("#details .seen")
        assert "fails on 5 of the 20 examples" in page.inner_text("#implied")
        assert page.locator("#details > .seen img").count() == 3
        assert page.evaluate("[...document.images].every(image => image.naturalWidth === 4)")
        box = page.query_selector("canvas").bounding_box()
        view = json.loads(page.get_attribute("canvas", "data-view"))
        table = tabulate(graph)
        place = [keys[0] for keys in table.classes["texts"]].index("label:0")
        x = box["x"] + (table.classes["x"][place] - view["x"]) * view["scale"] + box["width"] / 2
        y = box["y"] + (table.classes["y"][place] - view["y"]) * view["scale"] + box["height"] / 2
        page.mouse.move(x, y)
        assert page.locator("#card img").count() == 3
        find(page, "first:1")
        assert page.inner_text("#details mark") == "<b>word"
        assert trouble == []


def test_a_card_with_thumbnails_stays_within_the_picture(browser, graph, tmp_path):
    """Thumbnails have no height before they are decoded, so the card grows after it was placed."""
    image = thumbnail(np.eye(4)[None], 0.0, 1.0)
    seen = Examples("label:0", "image", (Example(3, 0.9, image=image),) * 6, 20, 100)
    path = ndg.explore(graph, tmp_path / "graph.html", examples=[seen])
    with window(browser) as (page, trouble, _):
        page.goto(path.as_uri())
        whole(page)
        box, view = page.query_selector("canvas").bounding_box(), json.loads(page.get_attribute("canvas", "data-view"))
        table = tabulate(graph)
        place = [keys[0] for keys in table.classes["texts"]].index("label:0")
        x = box["x"] + (table.classes["x"][place] - view["x"]) * view["scale"] + box["width"] / 2
        y = box["y"] + (table.classes["y"][place] - view["y"]) * view["scale"] + box["height"] / 2
        corner, down = (box["x"] + 3, box["y"] + 60), box["y"] + box["height"] - 20 - y
        page.mouse.move(*corner)
        page.mouse.down()
        page.mouse.move(corner[0], corner[1] + down)
        page.mouse.up()
        whole(page)
        page.mouse.move(x, y + down)
        assert page.locator("#card img").count() == 6
        page.wait_for_function("[...document.querySelectorAll('#card img')].every(image => image.height === 48)")
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        card = page.query_selector("#card").bounding_box()
        assert card["y"] + card["height"] <= box["y"] + box["height"]
        assert trouble == []


def test_a_report_contains_the_explorer(browser, graph, tmp_path):
    explorer = ndg.explore(graph, tmp_path / "graph.html")
    report = html.Report("t", {}, explorer=explorer.name, explorer_page=explorer.read_text(encoding="utf-8"))
    report = replace(report, rules="a line\n" * 300)
    (tmp_path / "report.html").write_text(html.page(report), encoding="utf-8")
    with window(browser) as (page, trouble, requests):
        page.goto((tmp_path / "report.html").as_uri())
        inner = page.frame_locator("iframe")
        inner.locator("canvas[data-state=whole]").wait_for()
        inner.locator("#search").fill("label:0")
        inner.locator("#search").press("Enter")
        assert "label:0 zero is selected" in inner.locator("#status").inner_text()
        view = json.loads(inner.locator("canvas").get_attribute("data-view"))
        assert 0.05 < view["scale"] < 6
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200
        assert trouble == []
        assert not [url for url in requests if url.startswith("http")]


def test_a_report_is_dark_or_light_and_fits_a_narrow_screen(browser, record, tmp_path):
    (tmp_path / "report.html").write_text(html.page(html.Report("t", record)), encoding="utf-8")
    colours = "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name])"
    for scheme in ("light", "dark"):
        with window(browser, viewport={"width": 400, "height": 800}, color_scheme=scheme) as (page, trouble, _):
            page.goto((tmp_path / "report.html").as_uri())
            paper, ink = (sum(map(int, re.findall(r"\d+", colour))) for colour in page.evaluate(colours))
            assert (paper < 150 < 600 < ink) if scheme == "dark" else (ink < 150 < 600 < paper)
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
            assert trouble == []


def test_keys_move_zoom_and_search(page):
    page.focus("canvas")
    before = json.loads(page.get_attribute("canvas", "data-view"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    page.wait_for_function(
        "before => JSON.parse(document.querySelector('canvas').dataset.view).scale > before", arg=before["scale"]
    )
    after = json.loads(page.get_attribute("canvas", "data-view"))
    assert after["x"] > before["x"]
    page.keyboard.press("/")
    page.keyboard.type("second")
    page.keyboard.press("ArrowDown")
    chosen = page.inner_text("[role=option][aria-selected=true]")
    page.keyboard.press("Enter")
    assert f"{chosen} is selected" in page.inner_text("#status")


def test_hostile_names_are_text(page):
    find(page, "label:1")
    assert HOSTILE in page.inner_text("#details h2")
    assert page.evaluate("window.hacked") is None
    assert page.query_selector("img") is None


def test_dark_and_light_are_the_readers_choice(browser, graph, tmp_path):
    pixels = {}
    for scheme in ("light", "dark"):
        with opened(browser, graph, tmp_path, color_scheme=scheme) as page:
            corner = (
                "() => [...document.querySelector('canvas').getContext('2d').getImageData(2, 2, 1, 1).data].slice(0, 3)"
            )
            pixels[scheme] = sum(page.evaluate(corner))
    assert pixels["dark"] < 150 < 600 < pixels["light"]


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, graph, tmp_path):
    with opened(browser, graph, tmp_path, viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        find(page, "label:0")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.query_selector("canvas").bounding_box()["height"] > 300


def test_a_link_opens_the_page_at_a_literal(page):
    page.evaluate("location.hash = '#first%3A0'")
    page.reload()
    whole(page)
    assert "first:0 is selected" in page.inner_text("#status")


@pytest.mark.parametrize("text", ["label:0", "second:3", "first:0", "second:4", "~first:3"])
def test_conjunctions_fire_once_all_their_members_follow(browser, causal, tmp_path, text):
    with opened(browser, causal, tmp_path) as page:
        find(page, text.replace("~", "¬"))
        literals = {key for key in keys(page, "closure") if not key.startswith("conjunction")}
        assert literals == {causal.key(literal) for literal in causal.closure(text)} - {causal.key(text)}
        assert keys(page, "ancestors") == {causal.key(literal) for literal in causal.ancestors(text)} - {
            causal.key(text)
        }
        assert f"Follows, {len(causal.closure(text))} literal" in page.inner_text("#details")


def test_conjunctions_and_votes_are_shown_and_can_be_left_out(browser, causal, tmp_path):
    table = tabulate(causal)
    with opened(browser, causal, tmp_path) as page:
        find(page, "∧ 2 for second:3")
        assert "first:0 and second:1 together force second:3" in page.inner_text("#details")
        assert "48 of 50 held-out examples" in page.inner_text("#details")
        find(page, "second:1")
        assert "votes with weight 1.5" in page.inner_text("#details")
        assert "Implies directly, or votes on (" in page.inner_text("#details")  # a vote implies nothing
        assert "Is implied directly by (" in page.inner_text("#details")
        before = page.inner_text("#status")
        page.uncheck("#votes")
        assert before != page.inner_text("#status")
        page.uncheck(f"#layer{table.layers.index('conjunctions')}")
        assert f"{len(table.classes['texts']) - 3} of {len(table.classes['texts'])} nodes" in page.inner_text("#status")
