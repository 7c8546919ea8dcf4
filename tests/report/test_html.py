"""The report: one file, offline, escaped, complete, and honest about the prototype."""

import re
from html.parser import HTMLParser

import pytest

from ndg import atomic
from ndg.errors import OutputError
from ndg.report import findings, html, markdown, pdf
from ndg.report.html import Picture, Report
from ndg.report.render import Look, svg

VOID = {"meta", "input", "br", "img", "link", "hr"}
HOSTILE = "<script>alert('x')</script>&\"'"


class Reader(HTMLParser):
    """Checks that elements nest; keeps tags, attributes and the text outside of style."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def report(record, planted, planted_bits):
    pictures = [Picture("Overview", svg(planted)), Picture("Class 3", svg(planted, Look(target=3)))]
    edges = planted.evaluate(planted_bits).to_dict("records")
    return Report("NDG of planted", record, pictures, edges, "test", planted.rules(20), "name: planted\nseed: 7\n")


def test_the_report_holds_every_part(report, planted):
    reader = read(html.page(report))
    text = "".join(reader.text)
    for part in (
        "In words",
        "The picture",
        "The trial",
        "Mined and held-out precision",
        "Importance of neurons",
        "How to reproduce it",
    ):
        assert part in text, part
    assert reader.tags.count("svg") == 2
    assert "the graph's choice" in text
    assert "class prototype, surest neurons" in text
    assert "binarising alone" in text
    assert "0.620 [0.550, 0.690]" in text
    assert "5.5" in text
    assert "seed: 7" in text
    assert "second:1" in text
    assert "-2.0000" in text


def test_pictures_and_tables_come_before_the_sentences(report):
    heads = re.findall(r"<h2>(.*?)</h2>", html.page(report))
    places = [heads.index(head) for head in ("The picture", "The trial", "In words", "What to believe")]
    assert places == sorted(places)
    for words in (markdown.text(report), "\n".join(line for *_, line in pdf._lines(report))):
        assert words.index("The trial") < words.index("In words") < words.index("What to believe")


def test_the_footer_says_where_the_run_came_from(report, planted):
    footer = html.page(report).partition("<footer>")[2]
    for fact in ("run-1", "run-0", "ab12cd34", planted.digest, "0123abcd with changes", "seed 7, data 0", "ndg 0.1.0"):
        assert fact in footer, fact
    assert "torch" not in footer


def test_nothing_is_asked_of_the_network_or_of_a_script(report):
    page = html.page(report)
    reader = read(page)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(reader.tags)
    names = dict(reader.attributes)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "srcset", "action")]
    links = [value for name, value in reader.attributes if name.endswith("href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in names["content"] or "default-src 'none'" in page


def test_ids_are_unique_and_every_link_has_its_target(report):
    reader = read(html.page(report))
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in reader.attributes if name == "href"} <= set(ids)


def test_hostile_text_stays_text(report, record):
    from dataclasses import replace

    record |= {"name": HOSTILE, "command": HOSTILE, "_id": HOSTILE}
    record["results"]["data"]["source"] = HOSTILE
    record["results"]["scores"]["gndi"]["layers"][0]["layer"] = HOSTILE
    edge = {**report.edges[0], "antecedent": f"{HOSTILE}:0"}
    picture = Picture(HOSTILE, report.pictures[0].svg)
    reader = read(
        html.page(replace(report, title=HOSTILE, config=HOSTILE, rules=HOSTILE, edges=[edge], pictures=[picture]))
    )
    assert "script" not in reader.tags
    assert "".join(reader.text).count("alert('x')") >= 8


def test_a_class_name_cannot_leave_its_picture(planted, record):
    picture = Picture("x", svg(planted, Look(class_names=[HOSTILE, "</svg><b>", "c", "d"])))
    reader = read(html.page(Report("t", record, [picture])))
    assert "script" not in reader.tags
    assert reader.tags.count("svg") == 1
    assert "</svg><b>" in "".join(reader.text)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.05, "is better than the strongest class prototype: difference +3.0 points [+1.0, +5.0]"),
        (-0.01, 0.05, "is not better than the strongest class prototype: difference"),
        (-0.07, -0.01, "is worse than the strongest class prototype"),
        (None, None, "no interval of the difference"),
    ],
)
def test_the_verdict_follows_the_interval_of_the_difference(record, low, high, verdict):
    figures = record["results"]["trial"]["q"]["test"]
    figures |= {"selectivity": 0.03, "selectivity_low": low, "selectivity_high": high}
    assert verdict in " ".join(findings.says(record))


def test_words_carry_the_size_of_the_intervention_and_its_controls(record):
    (told,) = [sentence for sentence in findings.says(record) if sentence.startswith("Q, on test")]
    for part in (
        "5.5 of 14 neurons",
        "2.8 of them had the other value",
        "62.0% [55.0%, 69.0%] of 200",
        "random booleans 5.0%",
    ):
        assert part in told, part


def test_an_intervention_without_neurons_is_told_in_its_own_words(record):
    figures = record["results"]["trial"]["q"]["test"]
    figures |= {"neurons_set": 0.0, "words": "Q on test: the graph names no neuron."}
    assert "Q on test: the graph names no neuron." in findings.says(record)
    assert ("Q aligned", "–", "the graph names no neuron") in findings.headline(record)


def test_the_headline_has_no_prototype_where_binarising_changes_the_network(record):
    figures = record["results"]["trial"]["q"]["test"]
    assert any("strongest class prototype" in remark for _, _, remark in findings.headline(record))
    figures |= {"kept": figures["n"] // 2, "kept_at_least": 0.9}
    (remark,) = [remark for name, _, remark in findings.headline(record) if name == "Q aligned"]
    assert remark == "no verdict: binarising alone changes the network"


def test_a_run_that_wrote_little_gives_a_short_report(record):
    for stage in list(record["results"]):
        del record["results"][stage]
        read(html.page(Report("short", record)))
    reader = read(html.page(Report("empty", {})))
    assert "What to believe" in "".join(reader.text)
    assert "table" not in reader.tags


def test_a_run_that_predicts_nothing_correctly_has_dashes(record):
    for stage in record["results"]["trial"]["q"].values():
        for figures in (stage, *stage["controls"].values()):
            figures |= dict.fromkeys(
                ("aligned", "changed", "unchanged", "contradictory", "neurons_set", "neurons_changed")
            )
        stage["words"] = "Q: the network predicts no example correctly."
    text = "".join(read(html.page(Report("t", record))).text)
    assert "predicts no example correctly" in text
    assert "–" in text


def test_the_file_is_written_whole_or_not_at_all(report, tmp_path):
    path = atomic.write(tmp_path / "runs" / "report.html", html.page(report))
    assert path.read_text(encoding="utf-8") == html.page(report)
    with pytest.raises(OutputError, match=r"cannot be written"):
        atomic.write(path / "below.html", html.page(report))
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
