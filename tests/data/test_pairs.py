"""Sentence pairs in the publishers' formats: reading and errors."""

import gzip

import pytest

from ndg import data
from ndg.config import Data
from ndg.data import corpora, text_files
from ndg.errors import DataError
from tests.data.text_fixtures import counts, dumped, pair, put, read, real


def test_snli_leaves_out_pairs_without_a_majority_and_says_how_many(tmp_path):
    found = [pair(label, pairID=str(n)) for n, label in enumerate(["neutral", "-", "contradiction", "entailment"])]
    put(tmp_path, **{"snli_1.0_train__jsonl": dumped(*found, genre="x"), "snli_1.0_test__jsonl": dumped(*found[2:])})
    pool = read("snli", tmp_path)
    assert pool.class_names == ("entailment", "neutral", "contradiction")
    assert pool.labels.tolist() == [1, 2, 0, 2, 0]
    assert pool.parts.tolist() == [0, 0, 0, 2, 2]
    assert pool.inputs.second == ("A man moves.",) * 5
    assert pool.source == (
        "snli, 3 + 2 examples, in files that have no published sum, 1 without a label left out, "
        "not the whole release (3 of 549,367 train examples; no validation set; 2 of 9,824 test examples)"
    )


def test_snli_without_a_training_set_trains_on_the_validation_set(tmp_path):
    found = [pair(label, pairID=label) for label in corpora.CLASSES]
    put(tmp_path, **{"snli_1.0_dev__jsonl": dumped(*found), "snli_1.0_test__jsonl": dumped(*found)})
    pool = read("snli", tmp_path)
    assert pool.parts.tolist() == [0, 0, 0, 2, 2, 2]
    assert pool.source.endswith(
        "(no train set; 3 of 9,842 validation examples; 3 of 9,824 test examples), trained on its validation set"
    )
    (tmp_path / "snli_1.0_dev.jsonl").unlink()
    alone = read("snli", tmp_path)
    assert alone.parts is None
    assert "3 examples (test only)" in alone.source
    assert alone.source.endswith("divided here, not comparable with published figures")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 2 must be one JSON object; .*; copy the file again"),
        ("[1]", r"line 2 must be a JSON object with the fields sentence1, sentence2, gold_label, pairID; got list"),
        ("[" * 100_000, r"line 2 must be one JSON object"),
        (
            '{"gold_label": "neutral"}',
            r"line 2 must be a JSON object with the fields.*; got gold_label; set data",
        ),
        (dumped(pair("neutral", pairID="a"))[0], r"line 2 must have its own pairID; got 'a', as line 1 has"),
        (
            dumped(pair("neutrl", pairID="b"))[0],
            r"line 2 must have a class as 'gold_label'; got 'neutrl'; nearest: n",
        ),
        (dumped(pair("neutral", " ", pairID="b"))[0], r"line 2 must have a text as 'sentence1'; got an empty one"),
        (dumped(pair("neutral", 7, pairID="b"))[0], r"line 2 must have a text as 'sentence1'; got int"),
        (
            dumped(pair("neutral", "\ud800", pairID="b"))[0],
            r"line 2 must have Unicode text as 'sentence1'; .*surro",
        ),
    ],
)
def test_a_damaged_line_of_snli_is_named(tmp_path, line, message):
    put(tmp_path, **{"snli_1.0_test__jsonl": [*dumped(pair("neutral", pairID="a")), line]})
    with pytest.raises(DataError, match=r"snli_1\.0_test\.jsonl, " + message):
        read("snli", tmp_path)


ALLNLI = [
    "split\tdataset\tfilename\tsentence1\tsentence2\tlabel",
    'test\tMultiNLI\tm\tIt\'s "so".\tIt is.\tentailment',
    "train\tSNLI\ts\tA man runs.\tNo man runs.\tcontradiction",
    "train\tSNLI\ts\tA man runs.\tA man wins.\tneutral",
    "dev\tSNLI\ts\tA man runs.\tA man moves.\tentailment",
    "train\tMultiNLI\tm\tOne.\tOne!\tentailment",
]


def test_allnli_is_one_packed_file_whose_rows_say_their_split(tmp_path):
    (tmp_path / "AllNLI.tsv.gz").write_bytes(gzip.compress("\n".join(ALLNLI).encode()))
    pool = read("allnli", tmp_path)
    assert pool.labels.tolist() == [2, 1, 0, 0, 0]
    assert pool.parts.tolist() == [0, 0, 0, 1, 2]
    assert pool.inputs.first == ("A man runs.", "A man runs.", "One.", "A man runs.", 'It\'s "so".')
    assert pool.inputs.second == ("No man runs.", "A man wins.", "One!", "A man moves.", "It is.")
    assert pool.source.startswith("allnli, 3 + 1 + 1 examples, in files that have no published sum, not the whole rel")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress("\n".join([*ALLNLI, *ALLNLI[1:]]).encode(), mtime=0)[:-20],
            r"AllNLI\.tsv\.gz must be a whole text file, plain or gzip",
        ),
        (
            b"no archive",
            r"AllNLI\.tsv\.gz must be a whole text file, plain or gzip as its name says; Not a gzipped file",
        ),
        (gzip.compress(b"a\tb\n", mtime=0), r"must begin with the header split, dataset, filename.*; got a, b; copy"),
        (
            gzip.compress("\n".join([*ALLNLI, "val" + ALLNLI[1][4:]]).encode(), mtime=0),
            r"line 7 must have a class as 'split'; got",
        ),
        (gzip.compress("\n".join([*ALLNLI, ALLNLI[1] + "\t"]).encode(), mtime=0), r"line 7 must have 6 columns.*got 7"),
        (
            gzip.compress(ALLNLI[0].encode(), mtime=0),
            r"'allnli' must have examples; .*AllNLI\.tsv\.gz has none; copy it again",
        ),
        (
            gzip.compress(b"\0" * (text_files.LONGEST + 9), mtime=0),
            r"line 1 must have at most 4,194,304 bytes; got more",
        ),
    ],
)
def test_a_damaged_allnli_is_named(tmp_path, content, message):
    (tmp_path / "AllNLI.tsv.gz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read("allnli", tmp_path)


def test_allnli_is_also_snli_and_multinli_side_by_side(tmp_path):
    put(tmp_path, **{"multinli_1.0_train__jsonl": dumped(pair("neutral"), pair("-"))})
    with pytest.raises(DataError, match=r"has multinli_1\.0_train\.jsonl without snli_1\.0_train\.jsonl; copy that"):
        read("allnli", tmp_path)
    put(
        tmp_path,
        **{
            "snli_1.0_train__jsonl": dumped(pair("entailment")),
            "multinli_1.0_dev_matched__jsonl": dumped(pair("contradiction")),
            "multinli_1.0_dev_mismatched__jsonl": dumped(pair("entailment")),
        },
    )
    pool = read("allnli", tmp_path)
    assert pool.labels.tolist() == [0, 1, 2, 0]
    assert pool.parts.tolist() == [0, 0, 1, 2]
    assert "1 without a label left out" in pool.source
    assert data.absent(Data(name="allnli", dir=str(tmp_path))) is None


@pytest.mark.parametrize("number", range(3))
def test_mqnli_is_read_by_each_of_its_file_names(tmp_path, number):
    names = [files[number].replace(".", "__") for files in corpora.MQNLI_FILES.values()]
    found = dumped(pair("entails"), pair("permits"), pair("contradicts"), pair("neutral"))
    put(tmp_path, **dict(zip(names, (found, found[:3], found), strict=True)))
    pool = read("mqnli", tmp_path)
    assert pool.labels.tolist() == [0, 1, 2, 1, 0, 1, 2, 0, 1, 2, 1]
    assert pool.parts.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    assert pool.source == "mqnli, 4 + 3 + 4 examples, in files that have no published sum"
    assert data.absent(Data(name="mqnli", dir=str(tmp_path))) is None


SICK = ["\t".join(corpora.SICK_COLUMNS), "1\tA dog\tA pet\t4.5\tENTAILMENT", "4\tA dog\tNo dog\t3\tCONTRADICTION"]


def test_sick_has_three_files_with_headers(tmp_path):
    trial = [SICK[0], "9\tA dog\tA big dog\t4\tNEUTRAL"]
    put(tmp_path, SICK_train__txt=SICK, SICK_trial__txt=trial, SICK_test_annotated__txt="\r\n".join(SICK))
    pool = read("sick", tmp_path)
    assert pool.class_names == ("entailment", "neutral", "contradiction")
    assert pool.labels.tolist() == [0, 2, 1, 0, 2]
    assert pool.parts.tolist() == [0, 0, 1, 2, 2]
    assert pool.inputs.second == ("A pet", "No dog", "A big dog", "A pet", "No dog")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (SICK[1:], r"SICK_train\.txt must begin with the header pair_ID, sentence_A.*; got 1, A dog, A pet"),
        ([*SICK, SICK[1]], r"SICK_train\.txt, line 4 must have its own pair_ID; got '1', as line 2 has"),
        (
            [*SICK, "5\tA\tB\t3\tneutral"],
            r"line 4 must have a class as 'entailment_judgment'; got 'neutral'; near",
        ),
    ],
)
def test_a_damaged_sick_is_named(tmp_path, lines, message):
    put(tmp_path, SICK_train__txt=lines, SICK_trial__txt=SICK, SICK_test_annotated__txt=SICK)
    with pytest.raises(DataError, match=message):
        read("sick", tmp_path)


def test_real_snli_sample_says_that_it_is_a_part():
    folder = real("snli_sample")
    pool = read("snli", folder)
    assert counts(pool) == [[433, 421, 419], [0, 0, 0], [405, 429, 420]]
    assert pool.source == (
        "snli, 1,273 + 1,254 examples, in files that have no published sum, 39 without a label left out, "
        "not the whole release (no train set; 1,273 of 9,842 validation examples; 1,254 of 9,824 test examples), "
        "trained on its validation set"
    )
    splits = data.load(Data(name="snli", dir=str(folder.parent), length=48))
    assert splits.sizes() == {"train": 1146, "validation": 127, "test": 1254}
    assert splits.form.sentences == 2


def test_real_sick_is_whole():
    pool = read("sick", real("sick"))
    assert pool.source == "sick, 4,500 + 500 + 4,927 examples, in files that have no published sum"
    assert counts(pool) == [[1299, 2536, 665], [144, 282, 74], [1414, 2793, 720]]
