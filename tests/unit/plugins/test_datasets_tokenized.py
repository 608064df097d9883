"""Tokens of documents, by a tokenizer trained here, against the tokenizer's own words."""

from __future__ import annotations

import numpy as np
import pytest

from oodbench import DataError, MissingDataError, Tokens
from oodbench.testing import assert_conforms, check_dataset
from plugins.datasets.digits import Digits
from plugins.datasets.text.text_files import TextFiles
from plugins.datasets.text.tokenized import Tokenized
from plugins.datasets.transformed import Transformed

tokenizers = pytest.importorskip("tokenizers")

WORDS = (
    "the cat sat on a mat and the dog saw the cat on the mat in Málaga \u2013 then it ran".split()
)
DOCUMENTS = {f"{n}.txt": " ".join(WORDS[n:] + WORDS[: 3 * n]) for n in range(8)}
VOCABULARY = 320


@pytest.fixture
def corpus(tmp_path):
    """A folder of documents, with a byte-level tokenizer beside it as on the hub."""
    (tmp_path / "corpus").mkdir()
    for name, text in DOCUMENTS.items():
        (tmp_path / "corpus" / name).write_text(text, encoding="utf-8")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(DOCUMENTS.values(), trainer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def built(corpus, **options):
    given = {"length": 5, "vocabulary": VOCABULARY, "tokenizer_file": corpus / "tokenizer.json"}
    return Tokenized(source=TextFiles(path=corpus / "corpus", length=3), **given | options)


def test_windows_are_the_tokens_of_whole_documents(corpus):
    dataset = built(corpus)
    assert dataset.domain == Tokens(5, VOCABULARY)
    tokenizer = tokenizers.Tokenizer.from_file(str(corpus / "tokenizer.json"))
    source = TextFiles(path=corpus / "corpus", length=3)
    rest = 0
    for split in dataset.splits:
        windows = dataset.load(split)
        assert windows.dtype == np.uint16
        expected = []
        for document in source.documents(split):
            tokens = tokenizer.encode(document.decode()).ids
            whole = len(tokens) // 5 * 5
            rest += len(tokens) - whole
            expected += [tokens[i : i + 5] for i in range(0, whole, 5)]
            assert document.decode().startswith(tokenizer.decode(tokens[:whole]))
        if split == "train":
            train = expected
        assert windows.tolist() == [x for x in expected if split == "train" or x not in train]
    note, _ = dataset.notes()
    assert f"dropped: {rest} tokens at the ends of files" in note
    assert "test windows that are in train files too" in note


def test_a_note_tells_the_bytes_of_a_token(tmp_path):
    """By hand: words are tokens, windows have two, and the bytes reach to the next window."""
    words = {"[UNK]": 0, "Málaga": 1, "is": 2, "warm": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    (tmp_path / "train/a.txt").write_text("is warm", encoding="utf-8")
    (tmp_path / "test/a.txt").write_text("warm", encoding="utf-8")  # no window
    (tmp_path / "test/b.txt").write_text("Málaga is warm", encoding="utf-8")  # 11 bytes, dropped 4
    (tmp_path / "test/c.txt").write_text("is   warm is warm\n", encoding="utf-8")  # all 18
    _, note = Tokenized(
        source=TextFiles(path=tmp_path, length=1, split="folders"),
        length=2,
        vocabulary=4,
        tokenizer_file=tmp_path / "tokenizer.json",
    ).notes()
    assert note == (
        f"a token of the test split has {29 / 6:.3f} bytes on average: bits/token divided by "
        "4.833 are bits/byte"
    )


def test_it_conforms(corpus):
    assert_conforms(check_dataset(lambda: built(corpus)))


def test_short_documents_are_counted(corpus):
    note, _ = built(corpus, length=24).notes()
    assert "files shorter than 24 tokens" in note
    with pytest.raises(MissingDataError, match="no file of at least 999 tokens for the train"):
        built(corpus, length=999).load("train")


def test_the_stamp_follows_documents_and_tokenizer(corpus):
    stamps = [built(corpus).stamp()]
    (corpus / "corpus/0.txt").write_text("other words")
    stamps.append(built(corpus).stamp())
    file = corpus / "tokenizer.json"
    file.write_text(file.read_text() + " ")
    stamps.append(built(corpus).stamp())
    assert len(set(stamps)) == 3


def test_what_does_not_fit_is_refused(corpus, monkeypatch):
    with pytest.raises(
        DataError, match=r"tokenizer.json: token \d+ is not in a vocabulary of 100"
    ):
        built(corpus, vocabulary=100).load("train")
    with pytest.raises(MissingDataError, match="nowhere.json does not exist"):
        built(corpus, tokenizer_file=corpus / "nowhere.json").stamp()
    (corpus / "wrong.json").write_text("{}")
    with pytest.raises(DataError, match="wrong.json: cannot be read as a tokenizer"):
        built(corpus, tokenizer_file=corpus / "wrong.json").load("train")
    texts = TextFiles(path=corpus / "corpus", length=3)
    for source in (Digits(), Transformed(source=texts, transform="upper-case"), built(corpus)):
        with pytest.raises(DataError, match="the source has no documents of text"):
            Tokenized(
                source=source,
                length=5,
                vocabulary=9,
                tokenizer_file=corpus / "tokenizer.json",
            )
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingDataError, match="install the extra text of oodbench"):
        built(corpus).load("train")
