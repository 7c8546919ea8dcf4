"""Tokenizers: reproducible, lossless, and readable from pretrained folders."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.config import Train
from ndg.data.inputs import Texts, Tokens
from ndg.data.tokenizer import SMALLEST, Tokenizer
from ndg.errors import DataError

ROOT = Path(__file__).parents[2]
WORDS = ("a", "film", "of", "wit", "and", "charm", "dull", "plot", "players", "played", "play", "it", "is", ",", ".")
SENTENCES = [" ".join(np.random.default_rng(row).choice(WORDS, 9)) for row in range(300)]
FUNCTION = "static int put_bits(PutBits *s, int n)\n{\n    if (s->left < n)\n\treturn -EINVAL;\n    x[PAD] |= n;\n}\n"


@pytest.fixture(scope="module")
def words():
    return Tokenizer.trained(SENTENCES, 400)


@pytest.fixture(scope="module")
def code():
    return Tokenizer.trained([FUNCTION] * 3, 400, lower=False)


def normalised(tokenizer, text):
    return tokenizer.backend.normalizer.normalize_str(text)


def test_known_words_are_one_token_and_others_are_parted(words):
    ids = words.encode(Texts((SENTENCES[0], "unplayed")), 32)
    assert ids.lengths[0] == 9 + 2
    tokens = [words.backend.id_to_token(number) for number in ids.ids[1, : ids.lengths[1]].tolist()]
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert "".join(tokens[1:-1]) == "Ġunplayed"
    assert len(tokens) > 3
    assert ids.vocabulary == words.vocabulary <= 400


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_decoding_gives_the_whole_normalised_text_back(words, code, text):
    for tokenizer in (words, code):
        tokens = tokenizer.encode(Texts((text,)), 400)
        assert tokenizer.decode(tokens.ids[0].tolist()) == normalised(tokenizer, text)


def test_texts_lose_case_accents_and_spaces_and_programs_only_spaces(words, code):
    assert normalised(words, "  A\tCafé \n\x00noir ") == "a cafe noir"
    assert normalised(code, FUNCTION) == " ".join(FUNCTION.split())


def test_the_words_of_a_program_are_parted_from_its_signs(code):
    pieces = code.backend.pre_tokenizer.pre_tokenize_str("if (s->left_bits < n)")
    assert [piece for piece, _ in pieces] == ["Ġif", "Ġ(", "s", "->", "left", "_", "bits", "Ġ<", "Ġn", ")"]


def test_what_looks_like_a_special_token_is_text(words, code):
    for tokenizer, text in ((words, "[pad] it [cls]"), (code, "x[PAD] = [SEP]")):
        tokens = tokenizer.encode(Texts((text,)), 64)
        kept = tokens.ids[0, 1 : tokens.lengths[0] - 1]
        assert not set(kept.tolist()) & {0, 1, 2}
        assert tokenizer.decode(kept.tolist()) == text
        copied = pickle.loads(pickle.dumps(tokenizer))
        assert torch.equal(copied.encode(Texts((text,)), 64).ids, tokens.ids)


SCRIPT = """
import hashlib, sys
sys.path.insert(0, "tests/data")
from ndg.data.inputs import Texts
from ndg.data.tokenizer import Tokenizer
import numpy as np
words = [f"{a}{b}{c}" for a in "abcdefgh" for b in "aeiou" for c in "mnprst"]
texts = [" ".join(np.random.default_rng(row).choice(words, 12)) for row in range(400)]
tokenizer = Tokenizer.trained(texts, 500)
tokens = tokenizer.encode(Texts(tuple(texts)), 32)
print(hashlib.sha256(tokenizer.backend.to_str().encode() + tokens.ids.numpy().tobytes()).hexdigest())
"""


def run(code, **environment):
    inherited = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=inherited | environment)


def test_training_and_tokens_are_the_same_in_every_process_and_on_any_number_of_threads():
    given = [
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2", "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "2"},
        {"PYTHONHASHSEED": "3", "TOKENIZERS_PARALLELISM": "false"},
    ]
    assert len({run(SCRIPT, **environment).stdout for environment in given}) == 1


def test_a_fork_after_training_and_encoding_is_silent():
    fork = "\nimport os\nchild = os.fork()\nif child:\n    os.waitpid(child, 0)\nelse:\n    os._exit(0)\n"
    fork += "assert 'TOKENIZERS_PARALLELISM' not in os.environ"
    assert not run("import warnings; warnings.simplefilter('ignore')" + SCRIPT + fork).stderr


def test_the_order_of_the_texts_does_not_matter(words):
    again = Tokenizer.trained(SENTENCES[::-1], 400)
    assert again.backend.to_str() == words.backend.to_str()


def test_saving_and_loading_gives_the_same_tokens(words, code, tmp_path):
    texts = Texts(tuple(SENTENCES), tuple(SENTENCES[::-1]))
    for name, tokenizer in (("words", words), ("code", code)):
        tokenizer.save(tmp_path / name)
        loaded = Tokenizer.load(tmp_path / name)
        assert loaded.padding == tokenizer.padding
        assert loaded.vocabulary == tokenizer.vocabulary
        before, after = (each.encode(texts, 24) for each in (tokenizer, loaded))
        assert torch.equal(before.ids, after.ids)
        assert torch.equal(before.segments, after.segments)
        assert loaded.decode(after.ids[0].tolist()) == tokenizer.decode(before.ids[0].tolist())


def test_pairs_have_segments_and_the_longer_sentence_is_cut(words):
    first, second = "a film of wit and charm", "it 's dull"
    tokens = words.encode(Texts((first, second), (second, first)), 10)
    assert tokens.lengths.tolist() == [10, 10]
    separators = [(row == 2).nonzero().flatten().tolist() for row in tokens.ids]
    for row, (middle, end) in enumerate(separators):
        assert end == 9
        assert tokens.segments[row].tolist() == [0] * (middle + 1) + [1] * (9 - middle)
    whole = words.encode(Texts(("it", "a"), ("film", "plot")), 10)
    assert whole.segments[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert whole.form.sentences == 2
    assert words.encode(Texts(("it",)), 10).form.sentences == 1


def test_each_text_has_the_tokens_it_has_alone(words):
    texts = Texts(tuple(SENTENCES) * 20)
    together = words.encode(texts, 12)
    for row in (0, 1, 4095, 4096, 5999):
        alone = words.encode(texts[np.array([row])], 12)
        assert torch.equal(alone.ids[0], together.ids[row])
        assert alone.lengths[0] == together.lengths[row]


def test_a_length_without_room_for_text_and_a_vocabulary_without_room_for_bytes_are_refused(words):
    assert words.encode(Texts(("it is",)), 3).ids.shape == (1, 3)
    with pytest.raises(DataError, match=r"more tokens than the 2 special ones; got data\.length=2; set data\.length=4"):
        words.encode(Texts(("it is",)), 2)
    with pytest.raises(DataError, match=r"the 3 special ones; got data\.length=3; set data\.length=5"):
        words.encode(Texts(("it is",), ("so",)), 3)
    with pytest.raises(DataError, match=rf"256 bytes.*data\.vocabulary=100; set it to at least {SMALLEST}"):
        Tokenizer.trained(SENTENCES, 100)
    assert Tokenizer.trained(SENTENCES, SMALLEST).vocabulary == SMALLEST


BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "##s", "play", ".")


@pytest.fixture
def bert(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(BERT) + "\n")
    return tmp_path


@pytest.fixture
def roberta(tmp_path):
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(SENTENCES, vocab_size=300, special_tokens=special, show_progress=False)
    made.save_model(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("config", [None, {"model_type": "distilbert"}])
def test_an_older_folder_of_the_bert_family(bert, config):
    if config:
        (bert / "config.json").write_text(json.dumps(config))
    loaded = Tokenizer.load(bert)
    tokens = loaded.encode(Texts(("A films.",), ("play",)), 12)
    assert tokens.ids[0].tolist() == [2, 5, 6, 7, 9, 3, 8, 3, 0, 0, 0, 0]
    assert tokens.segments[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert loaded.padding == 0
    assert loaded.vocabulary == len(BERT)


@pytest.mark.parametrize("config", [None, {"model_type": "roberta"}])
def test_an_older_folder_of_the_roberta_family_tells_pairs_apart_by_separators_alone(roberta, config):
    if config:
        (roberta / "config.json").write_text(json.dumps(config))
    loaded = Tokenizer.load(roberta)
    assert loaded.padding == 1
    tokens = loaded.encode(Texts(("film", "plot"), ("wit", "a dull plot")), 12)
    start, *rest = tokens.ids[0, : tokens.lengths[0]].tolist()
    assert start == 0
    assert rest.count(2) == 3
    assert tokens.ids[0, tokens.lengths[0] :].eq(1).all()
    assert tokens.segments is None
    assert set(tokens.batch()) == {"input_ids", "attention_mask"}
    assert tokens.form.sentences == 1


def test_a_padding_token_with_a_name_of_its_own_is_taken_and_kept(words, tmp_path):
    backend = copy.deepcopy(words.backend)
    document = json.loads(backend.to_str())
    document = json.loads(json.dumps(document).replace("[PAD]", "<|fill|>"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"a padding token; .* neither \[PAD\] nor <pad> and names no other"):
        Tokenizer.load(tmp_path)
    for named in ("<|fill|>", {"content": "<|fill|>"}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"pad_token": named, "model_max_length": 16}))
        loaded = Tokenizer.load(tmp_path)
        assert loaded.backend.id_to_token(loaded.padding) == "<|fill|>"
    loaded.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").padding == loaded.padding
    assert loaded.encode(Texts(("it",)), 16).ids.shape == (1, 16)
    with pytest.raises(DataError, match=r"at most 16, as tokenizer_config\.json says; got data\.length=17; set data\."):
        loaded.encode(Texts(("it",)), 17)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"model": {"type": "BPE"}}'])
def test_a_folder_without_a_tokenizer_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(DataError, match=r"must contain a tokenizer \(tokenizer\.json.*data\.tokenizer=null to train"):
        Tokenizer.load(tmp_path)


def test_damaged_settings_beside_a_tokenizer_are_named(words, tmp_path):
    words.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="must contain a tokenizer"):
        Tokenizer.load(tmp_path)


def test_no_text_is_no_tokens(words):
    tokens = words.encode(Texts(()), 8)
    assert isinstance(tokens, Tokens)
    assert len(tokens) == 0
    assert tokens.varied(Train(), torch.Generator())["input_ids"].shape == (0, 0)
