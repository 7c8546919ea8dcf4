"""Sentences, programs and your own texts: reading, errors and tokens."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import data
from ndg.config import Data
from ndg.data import text_files
from ndg.data.samples import SAMPLES
from ndg.errors import DataError
from tests.data.text_fixtures import counts, dumped, pair, put, read, real

SST2 = ["a fine film\t1", 'a "dull" one , really\t0']


def test_sst2_is_read_without_header_and_without_quoting(tmp_path):
    put(tmp_path, train__tsv=SST2, dev__tsv=SST2[:1], test__tsv="\n".join(SST2[::-1]))
    pool = read("sst2", tmp_path)
    assert pool.inputs.first == ("a fine film", 'a "dull" one , really', "a fine film", SST2[1][:-2], "a fine film")
    assert pool.inputs.second is None
    assert not pool.inputs.cased
    assert pool.labels.tolist() == [1, 0, 1, 0, 1]
    assert pool.parts.tolist() == [0, 0, 1, 2, 2]
    assert pool.class_names == ("negative", "positive")
    assert pool.source == (
        "sst2, 2 + 1 + 2 examples, in files that have no published sum, not the whole release "
        "(2 of 6,920 train examples; 1 of 872 validation examples; 2 of 1,821 test examples)"
    )


def test_sst2_of_glue_has_headers_and_no_labelled_test_set(tmp_path):
    header = "sentence\tlabel"
    put(tmp_path, train__tsv=[header, *SST2], dev__tsv=[header, *SST2], test__tsv=["index\tsentence", "0\tgood"])
    pool = read("sst2", tmp_path)
    assert pool.labels.tolist() == [1, 0, 1, 0]
    assert pool.parts.tolist() == [0, 0, 1, 1]
    assert pool.source == (
        "sst2, 2 + 2 examples, in files that have no published sum, in the layout of GLUE, "
        "no labelled test set of the publisher, not the whole release (2 of 67,349 train examples; 2 of 872 validation "
        "examples), tested on half of its validation set, divided here, not comparable with published figures"
    )
    (tmp_path / "test.tsv").unlink()
    assert read("sst2", tmp_path).source == pool.source


def test_the_test_set_of_glue_is_half_of_its_validation_set_since_training_holds_phrases(tmp_path):
    header = "sentence\tlabel"
    train = [f"{word} phrase {row}\t{row % 2}" for row in range(20) for word in ("one", "another")]
    dev = [f"sentence {row}\t{row % 2}" for row in range(12)]
    put(tmp_path, train__tsv=[header, *train], dev__tsv=[header, *dev])
    found = [
        data.load(Data(name="sst2", dir=str(tmp_path), length=16, vocabulary=300, seed=seed)) for seed in (0, 0, 1)
    ]
    splits = found[0]
    assert splits.sizes() == {"train": 40, "validation": 6, "test": 6}
    assert splits.test.indices.min() >= 40
    assert not set(splits.test.indices.tolist()) & set(splits.validation.indices.tolist())
    assert torch.equal(found[1].test.indices, splits.test.indices)
    assert not torch.equal(found[2].test.indices, splits.test.indices)
    said = "tested on half of its validation set, divided here, not comparable with published figures"
    assert splits.source.endswith(said)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"no label", r"line 3 must have 2 columns with tabs between \(sentence, label\); got 1; copy the file again"),
        (b"a\tb\t1", r"line 3 must have 2 columns.*got 3"),
        (
            b"good\t2",
            r"line 3 must have a class as 'label'; got '2'; there is: 0, 1; correct that row, or set data",
        ),
        (b" \t1", r"line 3 must have a text as 'sentence'; got an empty one; correct or leave out that row"),
        (b"caf\xe9\t1", r"line 3 must be UTF-8; .* at byte 3; convert the file to UTF-8"),
        (b"a" * (text_files.LONGEST + 1), r"line 3 must have at most 4,194,304 bytes; got more"),
    ],
)
def test_a_damaged_line_of_sst2_is_named(tmp_path, line, message):
    put(tmp_path, train__tsv="\n".join(SST2).encode() + b"\n" + line + b"\n", dev__tsv=SST2)
    with pytest.raises(DataError, match=r"train\.tsv, " + message):
        read("sst2", tmp_path)


MARK = "\ufeff"


@pytest.mark.parametrize("mark", ["", MARK])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_blank_lines_and_long_texts_are_read_alike_in_every_format(tmp_path, mark, end):
    long = "word " * 40_000 + "end"
    rows = ["text,label", f"{long},x", "", "b,y", "", ""]
    put(tmp_path, texts__csv=mark + end.join(rows))
    assert read("texts", tmp_path).inputs.first == (long, "b")
    put(tmp_path, texts__csv=mark + end.join(rows).replace(",", ";"))
    assert read("texts", tmp_path).inputs.first == (long, "b"), "another delimiter"
    put(tmp_path, train__tsv=mark + end.join([f"{long}\t0", "", "b\t1", "", ""]), dev__tsv=SST2)
    assert read("sst2", tmp_path).inputs.first[:2] == (long, "b")
    lines = dumped(function(0, func=long), function(1, 1, func="b"))
    put(tmp_path, train__jsonl=mark + end.join([lines[0], "", lines[1], "", ""]))
    assert read("devign", tmp_path).inputs.first == (long, "b")


def test_a_mark_within_a_text_stays(tmp_path):
    put(tmp_path, texts__csv=f"text,label\n{MARK}a,x\n")
    assert read("texts", tmp_path).inputs.first == (f"{MARK}a",)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('"a,x', "unexpected end of data in line 41"),
        ('"a\nb\nc,x', "unexpected end of data in line 43"),
        ('"a"b,x', "',' expected after '\"'"),
    ],
)
def test_a_broken_quote_is_named_by_the_line_where_its_row_begins(tmp_path, row, reason):
    put(tmp_path, texts__csv="\n".join(["text,label", *["a,x"] * 9, row, *["b,y"] * 30]))
    with pytest.raises(
        DataError, match=rf"line 11 must be a row of a csv file; {re.escape(reason)}; correct it: close"
    ):
        read("texts", tmp_path)
    put(tmp_path, texts__csv='text,label\n"a\nb",x\n"c\nd",y,z\n')
    with pytest.raises(DataError, match="line 4 must have 2 columns"):
        read("texts", tmp_path)


def test_other_encodings_are_refused_with_the_command_that_converts_them(tmp_path):
    for code, named in (("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("cp1252", "WINDOWS-1252")):
        put(tmp_path, texts__csv="text,label\ncafé,x\n".encode(code))
        with pytest.raises(DataError, match=f"convert the file to UTF-8, perhaps by iconv -f {named} -t UTF-8"):
            read("texts", tmp_path)


def test_an_empty_set_is_refused(tmp_path):
    put(tmp_path, train__tsv="", dev__tsv=SST2)
    with pytest.raises(DataError, match=r"the train split must have examples; it is empty.*train\.tsv"):
        read("sst2", tmp_path)


def function(number, target=0, **more):
    text = f"int F{number}(void)\n{{\n}}\n"
    return {"project": "qemu", "commit_id": "0" * 40, "target": target, "func": text, "idx": number, **more}


def test_devign_keeps_case_and_divides_a_test_set_alone(tmp_path):
    put(tmp_path, test__jsonl=dumped(*(function(number, number % 2) for number in range(40))))
    pool = read("devign", tmp_path)
    assert pool.inputs.cased
    assert pool.inputs.first[7] == "int F7(void)\n{\n}\n"
    assert pool.labels.tolist() == [0, 1] * 20
    assert pool.parts is None
    assert pool.source == (
        "devign, 40 examples (test only), in files that have no published sum, not the whole release (no train set; "
        "no validation set; 40 of 2,732 test examples), divided here, not comparable with published figures"
    )
    splits = data.load(Data(name="devign", dir=str(tmp_path), length=16, vocabulary=300))
    assert splits.tokenizer.decode(splits.train.inputs.ids[0].tolist()).startswith("int F")
    put(tmp_path, train__jsonl=dumped(function(1, 1), function(2)), valid__jsonl=dumped(function(3)))
    assert read("devign", tmp_path).parts.tolist() == [0, 0, 1] + [2] * 40


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (function(1, 2), r"line 2 must have a class as 'target'; got '2'; there is: 0, 1"),
        (function(1, True), r"line 2 must have a class as 'target'; got 'True'"),
        (function(1, func=None), r"line 2 must have a text as 'func'; got NoneType"),
        (function(0), r"line 2 must have its own idx; got '0', as line 1 has"),
        (pair("neutral"), r"line 2 must be a JSON object with the fields func, target, idx; got gold_label, sentence1"),
    ],
)
def test_a_damaged_line_of_devign_is_named(tmp_path, row, message):
    put(tmp_path, train__jsonl=dumped(function(0), row))
    with pytest.raises(DataError, match=r"train\.jsonl, " + message):
        read("devign", tmp_path)


def test_texts_are_any_columns_of_a_csv(tmp_path):
    table = '\ufeffid,label,text\n1,zoo,"A lion, ""Leo"",\nroars."\n\n2,art,Blue and red.\n3,zoo,An owl.\n'
    put(tmp_path, texts__csv=table)
    pool = read("texts", tmp_path)
    assert pool.inputs.first == ('A lion, "Leo",\nroars.', "Blue and red.", "An owl.")
    assert pool.class_names == ("art", "zoo")
    assert pool.labels.tolist() == [1, 0, 1]
    assert pool.parts is None
    assert pool.source == f"{tmp_path}, 3 texts"


ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=30)


@given(st.lists(st.tuples(ANY.filter(str.strip), st.sampled_from(["x", "y, z", '"'])), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_a_csv_writer_writes_is_read_back(found):
    with TemporaryDirectory() as folder:
        with (Path(folder) / "texts.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *found])
        pool = read("texts", Path(folder))
    assert pool.inputs.first == tuple(text.replace("\r\n", "\n") for text, _ in found)
    assert [pool.class_names[label] for label in pool.labels] == [label for _, label in found]


@given(st.lists(ANY.filter(str.strip), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_json_writes_is_read_back(found):
    with TemporaryDirectory() as folder:
        lines = dumped(*(function(number, func=text) for number, text in enumerate(found)))
        pool = read("devign", put(Path(folder), train__jsonl=lines))
    assert pool.inputs.first == tuple(found)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_texts_are_also_pairs_in_a_file_for_each_split(tmp_path, suffix):
    between = {"csv": ",", "tsv": "\t"}[suffix]
    lines = [between.join(row) for row in (("kind", "b", "a"), ("x", "B1", "A1"), ("y", "B2", "A2"))]
    files = {f"{split}__{suffix}": lines for split in ("train", "test")} | {f"validation__{suffix}": lines[:2]}
    put(tmp_path, **files)
    pool = read("texts", tmp_path, columns=["a", "b", "kind"])
    assert pool.inputs.first == ("A1", "A2", "A1", "A1", "A2")
    assert pool.inputs.second == ("B1", "B2", "B1", "B1", "B2")
    assert pool.parts.tolist() == [0, 0, 1, 2, 2]
    assert pool.class_names == ("x", "y")
    assert pool.source == f"{tmp_path}, 2 + 1 + 2 texts"
    (tmp_path / f"test.{suffix}").unlink()
    halved = read("texts", tmp_path, columns=["a", "b", "kind"])
    assert halved.source == f"{tmp_path}, 2 + 1 texts, tested on half of its validation set"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "Text,label\na,b\n",
            r"must begin with a header that has the column 'text' once; got Text, label; nearest: T",
        ),
        ("text,text,label\na,b,c\n", r"header that has the column 'text' once; got text, text, label"),
        ("", r"header that has the column 'text' once; got nothing; there is none; set data\.columns"),
        (
            "text,label\na,b,c\n",
            r"texts\.csv, line 2 must have 2 columns, as the header \(text, label\); got 3; put q",
        ),
        ('text,label\n"a,b\n', r"texts\.csv, line 2 must be a row of a csv file; unexpected end of data; correct it"),
        ("text,label\na,\n", r"texts\.csv, line 2 must have a text as 'label'; got an empty one"),
        ("text,label\n,x\n", r"texts\.csv, line 2 must have a text as 'text'; got an empty one"),
        (b"text,label\n\xff,x\n", r"texts\.csv, line 2 must be UTF-8; .* at byte 0; convert the file to UTF-8"),
        (
            "text,label\n" + '"' + ("a" * 500_000 + "\n") * 9 + '",x\n',
            r"texts\.csv, line 2 must have at most 4,194,304 characters; got more by line 10; shorten its texts, close",
        ),
        ("text,label\n", r"the train split must have examples; it is empty"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, content, message):
    put(tmp_path, texts__csv=content)
    with pytest.raises(DataError, match=message):
        read("texts", tmp_path)


def test_two_files_of_the_same_texts_are_refused(tmp_path):
    put(tmp_path, texts__csv="text,label\na,b\n", train__tsv="text\tlabel\na\tb\n")
    with pytest.raises(DataError, match=r"one file of all texts, or one per split; got texts\.csv, train\.tsv"):
        read("texts", tmp_path)
    put(tmp_path, texts__tsv="text\tlabel\na\tb\n")
    with pytest.raises(DataError, match=r"must contain one file 'texts'; got texts\.csv and texts\.tsv; move one away"):
        read("texts", tmp_path)


def test_the_tokenizer_is_trained_on_the_training_texts_alone(tmp_path):
    train = [f"alpha beta {number}\t{number % 2}" for number in range(40)]
    put(
        tmp_path,
        train__tsv=train,
        dev__tsv=["secret secret\t0", "secret\t1"],
        test__tsv=["hidden\t0", "hidden hidden\t1"],
    )
    splits = data.load(Data(name="sst2", dir=str(tmp_path), length=16, vocabulary=400))
    known = splits.tokenizer.backend.get_vocab()
    assert "Ġalpha" in known
    assert not {"Ġsecret", "Ġhidden"} & known.keys()
    assert splits.tokenizer.decode(splits.validation.inputs.ids[0].tolist()) == "secret secret"
    splits.tokenizer.save(tmp_path / "kept")
    again = data.load(Data(name="sst2", dir=str(tmp_path), length=16, tokenizer=str(tmp_path / "kept")))
    assert again.digest == splits.digest


def test_a_limit_takes_the_same_tokens_of_fewer_texts(tmp_path):
    put(
        tmp_path,
        train__tsv=[f"word{number} of{number}\t{number % 2}" for number in range(90)],
        dev__tsv=SST2,
        test__tsv=SST2,
    )
    whole = data.load(Data(name="sst2", dir=str(tmp_path), length=8, vocabulary=300))
    whole.tokenizer.save(tmp_path / "kept")
    few = data.load(Data(name="sst2", dir=str(tmp_path), length=8, limit=10, tokenizer=str(tmp_path / "kept")))
    assert len(few.train) == 10
    assert torch.equal(few.train.inputs.ids, whole.train.inputs.ids[few.train.indices])


def test_the_log_says_how_many_texts_are_cut_and_how_many_stand_in_training_as_well(tmp_path, caplog):
    short, long = "a film", " ".join("abcdefghijklmnop")
    train = [f"{long if row % 4 == 0 else short} {row}\t{row % 2}" for row in range(40)]
    dev = [f"{short} 1\t1", f"{short.upper()}  2\t0", "unseen\t0", "never seen\t1"]
    put(tmp_path, train__tsv=train, dev__tsv=dev, test__tsv=[*dev[2:], f"{long} 0\t1", "no\t0", "nor\t1"])
    config = Data(name="sst2", dir=str(tmp_path), length=12, vocabulary=300)
    facts = data.load(config).facts()
    assert facts["cut"] == {"train": 0.25, "validation": 0.0, "test": 0.2}
    assert facts["duplicates"] == {"validation": 0.5, "test": 0.2}  # case and white space are not seen
    assert "sst2: 25.0% of the training texts are cut at data.length=12" in caplog.text
    caplog.clear()
    assert data.load(replace(config, length=40)).facts()["cut"]["train"] == 0
    assert not caplog.text
    assert not {"cut", "duplicates"} & data.load(Data()).facts().keys()


def test_a_csv_that_is_divided_here_has_no_text_in_two_splits(tmp_path):
    rows = [f"text number {row % 30},{'ab'[row % 2]}" for row in range(120)]
    put(tmp_path, texts__csv=["text,label", *rows])
    splits = data.load(Data(name="texts", dir=str(tmp_path), length=16, vocabulary=300))
    assert sum(splits.sizes().values()) == 120
    assert splits.facts()["duplicates"] == {"validation": 0.0, "test": 0.0}


def test_a_size_of_texts_is_refused(tmp_path):
    put(tmp_path, train__tsv=SST2, dev__tsv=SST2, test__tsv=SST2)
    with pytest.raises(DataError, match=r"bytes as pixels; data set 'sst2' has texts; leave both null"):
        data.load(Data(name="sst2", dir=str(tmp_path), size=8))


def test_real_devign_says_how_many_functions_are_cut(caplog):
    splits = data.load(Data(name="devign", dir=str(real("devign")), length=512, limit=400))
    assert 0.1 < splits.facts()["cut"]["train"] < 0.6
    assert "% of the training texts are cut at data.length=512" in caplog.text


def test_real_sst2_is_whole():
    pool = read("sst2", real("sst2"))
    assert pool.source == "sst2, 6,920 + 872 + 1,821 examples, in files that have no published sum"
    assert counts(pool) == [[3310, 3610], [428, 444], [912, 909]]
    assert pool.inputs.first[1] == "apparently reassembled from the cutting room floor of any given daytime soap"


def test_real_sst2_becomes_tokens_that_read_as_its_sentences():
    splits = data.load(Data(name="sst2", dir=str(real("sst2")), length=64))
    pool = read("sst2", real("sst2"))
    assert splits.tokenizer.vocabulary == 8192
    for part in (splits.train, splits.test):
        for row in range(0, len(part), 97):
            if part.inputs.lengths[row] < 64:
                assert splits.tokenizer.decode(part.inputs.ids[row].tolist()) == pool.inputs.first[part.indices[row]]


def test_real_devign_is_its_test_set_alone():
    pool = read("devign", real("devign"))
    assert np.bincount(pool.labels).tolist() == [1477, 1255]
    assert pool.inputs.first[0].startswith("int ff_get_wav_header(AVFormatContext *s, AVIOContext *pb,")
    assert pool.source == (
        "devign, 2,732 examples (test only), in files that have no published sum, not the whole release (no train set; "
        "no validation set), divided here, not comparable with published figures"
    )


def test_texts_are_as_long_as_the_longest_and_no_longer(tmp_path):
    SAMPLES["sst2"](tmp_path, 0)
    short, long = (data.load(Data(name="sst2", dir=str(tmp_path), length=length)) for length in (64, 4096))
    assert short.form.shape == long.form.shape
    longest = max(int(long[name].inputs.lengths.max()) for name in ("train", "validation", "test"))
    assert long.form.shape == (longest,)
    assert short.digest == long.digest
