"""Published texts in their true files: formats, encodings, splits, counts, hostile archives."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zipfile
from importlib import import_module

import pytest

from oodbench import DataError, Dataset, HasStamp, MissingDataError, Tokens
from oodbench.testing import assert_conforms, check_dataset
from plugins.datasets import bench_datasets
from plugins.datasets.text.published.clinc150 import Clinc150
from plugins.datasets.text.published.imdb import Imdb
from plugins.datasets.text.published.packed import read_documents
from plugins.datasets.text.published.rostd import Rostd
from plugins.datasets.text.published.twenty_newsgroups import TwentyNewsgroups

SETS = {
    "20newsgroups": TwentyNewsgroups,
    "imdb": Imdb,
    "clinc150": Clinc150,
    "rostd": Rostd,
}
POST = (
    "From: someone@{where} (Someone)\nSubject: Re: {subject}\nLines: 9\n\n"
    "In article <1@x> other@y writes:\n> quoted {subject}\n\nCaf\u00e9 at {where}: {subject}!\n"
    "It is {subject} that I wrote about.\n\n-- \nSomeone, signature\n"
)
NEWS = {
    "20news-bydate-train/sci.space/59848": POST.format(where="moon", subject="a train rocket"),
    "20news-bydate-train/rec.autos/101551": POST.format(where="road", subject="a train car"),
    "20news-bydate-test/sci.space/62317": POST.format(where="mars", subject="a test probe"),
    "20news-bydate-test/rec.autos/103007": POST.format(where="city", subject="a test engine"),
}
REVIEWS = {
    f"aclImdb/{split}/{label}/{number}_{stars}.txt": f"A {label} {split} film \u2013{number}<br />"
    for split in ("train", "test")
    for label, stars in (("neg", 2), ("pos", 9))
    for number in range(3)
}
QUERIES = {
    "train": ["book me a table for two", "what is a train query"],
    "val": ["this is never read at all"],
    "test": ["how warm is it in Málaga", "what is a test query, then"],
    "oos_train": ["who wrote the first out of scope query"],
    "oos_val": ["this one is never read either"],
    "oos_test": ["why is the sky of mars red at noon"],
}
INSIDE = {
    "train": ["set an alarm for seven in the morning", "will it rain in train town"],
    "test": ["remind me to test the alarm", "how hot is it in test town"],
}
INSIDE_ZIP = "rostd/multilingual_task_oriented_dialog_slotfilling.zip"
OUTSIDE = ["search the web for baby patterns", "send money to a friend, quick"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path / "raw"


def write_archive(file, members):
    """Write a .tar.gz as published: folders first, members in no good order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for folder in dict.fromkeys(name.rpartition("/")[0] for name in members):
            item = tarfile.TarInfo(folder)
            item.type = tarfile.DIRTYPE
            archive.addfile(item)
        for name, content in reversed(members.items()):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))


def write_20newsgroups(root):
    members = {name: post.encode("latin-1") for name, post in NEWS.items()}
    write_archive(root / "20newsgroups/20news-bydate.tar.gz", members)


def write_imdb(root):
    members = {name: text.encode() for name, text in REVIEWS.items()}
    more = {
        "aclImdb/train/unsup/0_0.txt": b"A review without a label.",
        "aclImdb/train/urls_pos.txt": b"http://www.imdb.com/title/tt0453418/usercomments\n",
        "aclImdb/imdb.vocab": b"the\nand\n",
        "aclImdb/train/pos/.hidden.txt": b"Not a review, but hidden.",
    }
    write_archive(root / "imdb/aclImdb_v1.tar.gz", members | more)


def write_clinc150(root):
    (root / "clinc150").mkdir(parents=True)
    content = {part: [[text, "intent"] for text in texts] for part, texts in QUERIES.items()}
    (root / "clinc150/data_full.json").write_text(json.dumps(content), encoding="utf-8")


def table(texts, form):
    return "".join(f"{form.format(text)}\n" for text in texts).encode()


IN_DOMAIN = 'alarm/set_alarm\t8:12:datetime\t{}\ten_XX\t{{"tokens": []}}'
OUT_OF_DOMAIN = "outOfDomain\tFILLER\t{}\tFILLER"


def write_rostd(root):
    (root / "rostd").mkdir(parents=True)
    (root / "rostd/OODrelease.tsv").write_bytes(table(OUTSIDE, OUT_OF_DOMAIN))
    with zipfile.ZipFile(root / INSIDE_ZIP, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, texts in INSIDE.items():
            archive.writestr(f"en/{split}-en.tsv", table(texts, IN_DOMAIN))
            archive.writestr(f"es/{split}-es.tsv", table(["una alarma"], IN_DOMAIN))


WRITERS = {
    "20newsgroups": write_20newsgroups,
    "imdb": write_imdb,
    "clinc150": write_clinc150,
    "rostd": write_rostd,
}


def texts_of(dataset, split):
    return [bytes(x).decode(errors="replace") for x in dataset.load(split)]


def test_they_are_registered_under_their_names():
    entries = [
        x for x in bench_datasets() if x.target.startswith("plugins.datasets.text.published")
    ]
    assert [entry.name for entry in entries] == list(SETS)
    for entry in entries:
        module, _, attribute = entry.target.partition(":")
        assert getattr(import_module(module), attribute) is SETS[entry.name]
        assert SETS[entry.name].name == entry.name
        assert isinstance(SETS[entry.name](), Dataset)
        assert isinstance(SETS[entry.name](), HasStamp)


@pytest.mark.parametrize("name", SETS)
def test_they_conform(root, name):
    WRITERS[name](root)
    assert_conforms(check_dataset(lambda: SETS[name](length=16, verify=False)))


@pytest.mark.parametrize("name", SETS)
def test_absent_files_are_named_with_the_way_to_get_them(root, name):
    dataset = SETS[name]()
    for call in (dataset.stamp, lambda: dataset.load("test"), dataset.notes):
        with pytest.raises(MissingDataError) as caught:
            call()
        assert f"`bench data fetch {name}` downloads it; by hand: store http" in str(caught.value)
        assert str(root / "") in str(caught.value)


def test_posts_are_cleaned_as_by_scikit_learn(root):
    write_20newsgroups(root)
    dataset = TwentyNewsgroups(length=16, verify=False)
    assert dataset.domain == Tokens(16)
    (space, cars) = (
        f"\nCaf\u00e9 at {x}!\nIt is" for x in ("moon: a train rocket", "road: a train car")
    )
    expected = [text.encode()[i : i + 16] for text in (cars, space) for i in (0, 16)]
    assert [bytes(x) for x in dataset.load("train")][:2] == expected[:2]
    every = "\n".join(texts_of(dataset, "train") + texts_of(dataset, "test"))
    assert not re.search("From:|quoted|signature", every)
    whole = TwentyNewsgroups(length=16, remove=(), verify=False)
    raw = NEWS["20news-bydate-train/rec.autos/101551"].encode()
    assert [bytes(x) for x in whole.load("train")[: len(raw) // 16]] == [
        raw[i : i + 16] for i in range(0, len(raw) - 15, 16)
    ]


def test_the_rules_are_those_of_fetch_20newsgroups(root, tmp_path, monkeypatch):
    """scikit-learn reads the same archive, through its own cache."""
    from sklearn.datasets import _twenty_newsgroups as theirs
    from sklearn.datasets import fetch_20newsgroups

    write_20newsgroups(root)
    archive = root / "20newsgroups/20news-bydate.tar.gz"
    monkeypatch.setattr(theirs, "_fetch_remote", lambda *_, **__: str(tmp_path / "copy.tar.gz"))
    for remove in ((), ("headers",), ("footers", "quotes"), ("headers", "footers", "quotes")):
        (tmp_path / "copy.tar.gz").write_bytes(archive.read_bytes())
        for split in ("train", "test"):
            read = fetch_20newsgroups(
                data_home=tmp_path / "sk", subset=split, remove=remove, shuffle=False
            )
            ours = TwentyNewsgroups(length=1, remove=remove, verify=False).documents(split)
            assert sorted(text.encode() for text in read.data) == sorted(ours)


def test_groups_choose_a_subject(root):
    write_20newsgroups(root)
    found = {
        groups: "".join(texts_of(TwentyNewsgroups(length=8, groups=groups, verify=False), "train"))
        for groups in ("all", "sci", "rec")
    }
    assert ["rocket" in found["sci"], "car" in found["sci"]] == [True, False]
    assert ["rocket" in found["rec"], "road" in found["rec"]] == [False, True]
    assert len(found["all"]) == len(found["sci"]) + len(found["rec"])
    with pytest.raises(MissingDataError, match="no post of at least 8 bytes for the train split"):
        TwentyNewsgroups(length=8, groups="talk", verify=False).load("train")


def test_reviews_are_those_with_a_label(root):
    write_imdb(root)
    for split in ("train", "test"):
        documents = Imdb(verify=False).documents(split)
        names = sorted(name for name in REVIEWS if f"/{split}/" in name)
        assert documents == [REVIEWS[name].encode() for name in names]


@pytest.mark.parametrize("name", ["20newsgroups", "imdb"])
def test_unpacked_folders_are_read_too(root, name):
    WRITERS[name](root)
    (archive,) = (root / name).glob("*.tar.gz")
    before = {
        split: SETS[name](length=16, verify=False).load(split) for split in ("train", "test")
    }
    with tarfile.open(archive) as packed:
        packed.extractall(root / name, filter="data")
    archive.unlink()
    for split, windows in before.items():
        assert (SETS[name](length=16, verify=False).load(split) == windows).all()


@pytest.mark.parametrize(
    ("scope", "parts"), [("in", ("train", "test")), ("out", ("oos_train", "oos_test"))]
)
def test_queries_in_and_out_of_scope(root, scope, parts):
    write_clinc150(root)
    dataset = Clinc150(length=16, scope=scope, verify=False)
    for split, part in zip(dataset.splits, parts, strict=True):
        expected = [text.encode()[:16] for text in QUERIES[part]]
        assert [bytes(x) for x in dataset.load(split)][:: 2 if scope == "out" else 1] == expected


def test_utterances_inside_and_outside_the_domain(root):
    write_rostd(root)
    inside, outside = (Rostd(length=16, scope=scope, verify=False) for scope in ("in", "out"))
    assert (inside.splits, outside.splits) == (("train", "test"), ("test",))
    assert outside.documents("test") == [text.encode() for text in OUTSIDE]
    for split in ("train", "test"):
        assert inside.documents(split) == [text.encode() for text in INSIDE[split]]
    (root / INSIDE_ZIP).unlink()
    (root / "rostd/en").mkdir()
    for split, texts in INSIDE.items():
        (root / f"rostd/en/{split}-en.tsv").write_bytes(table(texts, IN_DOMAIN))
    assert inside.documents("train") == [text.encode() for text in INSIDE["train"]]


@pytest.mark.parametrize("name", SETS)
def test_another_number_of_documents_and_another_checksum(root, name, monkeypatch):
    WRITERS[name](root)
    dataset = SETS[name]()
    if name != "rostd":
        with pytest.raises(
            DataError, match=r": the (md5|sha256) is [0-9a-f]+, the published file"
        ):
            dataset.load("train")
    for kind in ("md5", "sha256"):
        monkeypatch.setattr(SETS[name], kind, {})
    with pytest.raises(DataError, match=r"the train split has \d documents, the published split"):
        dataset.load("train")


def test_a_checksum_that_fits_is_accepted(root, monkeypatch):
    write_clinc150(root)
    file = root / "clinc150/data_full.json"
    sums = {"clinc150/data_full.json": hashlib.sha256(file.read_bytes()).hexdigest()}
    monkeypatch.setattr(Clinc150, "sha256", sums)
    with pytest.raises(DataError, match="2 documents, the published split 15000"):
        Clinc150().load("train")


def test_the_numbers_are_those_of_the_papers():
    counts = {name: [SETS[name]()._count(s) for s in ("train", "test")] for name in SETS}
    assert counts == {
        "20newsgroups": [11_314, 7_532],
        "imdb": [25_000, 25_000],
        "clinc150": [15_000, 4_500],
        "rostd": [30_521, 8_621],
    }
    assert [Clinc150(scope="out")._count(s) for s in ("train", "test")] == [100, 1_000]
    assert Rostd(scope="out")._count("test") == 4_590


def test_the_checksum_of_20newsgroups_is_that_of_scikit_learn():
    from sklearn.datasets._twenty_newsgroups import ARCHIVE

    assert list(TwentyNewsgroups.sha256.values()) == [ARCHIVE.checksum]
    assert list(TwentyNewsgroups.sources.values()) == [ARCHIVE.url]


# Hostile and damaged files


def test_nothing_is_written_and_only_regular_files_are_read(tmp_path):
    file = tmp_path / "a.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name in ("top/good", "top/../../evil", "/top/evil", "other/file", "top/.hidden"):
            item = tarfile.TarInfo(name)
            item.size = 4
            archive.addfile(item, io.BytesIO(b"text"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            item = tarfile.TarInfo(f"top/of kind {kind!r}")
            item.type, item.linkname = kind, "/etc/passwd"
            archive.addfile(item)
    before = sorted(tmp_path.rglob("*"))
    found = read_documents(file, "top")
    assert set(found) <= {"good", "../../evil"}
    assert found["good"] == b"text"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_is_refused_by_name(tmp_path, monkeypatch):
    file = tmp_path / "a.tar.gz"
    file.write_bytes(b"no archive at all")
    with pytest.raises(DataError, match=re.escape(f"{file}: cannot be read as a .tar.gz archive")):
        read_documents(file, "top")
    write_archive(file, {"top/a": b"text" * 100})
    with pytest.raises(DataError, match="no documents in other"):
        read_documents(file, "other")
    monkeypatch.setattr("plugins.datasets.text.published.packed.MOST_DOCUMENT", 10)
    with pytest.raises(DataError, match="top/a has 400 bytes, too many"):
        read_documents(file, "top")
    monkeypatch.undo()
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match=re.escape(f"{file}: cannot be read")):
        read_documents(file, "top")
    with tarfile.open(file, "w:gz") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("top/a"), io.BytesIO())
    with pytest.raises(DataError, match="a appears twice"):
        read_documents(file, "top")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "no list 'test'"),
        ('{"test": {}}', "no list 'test'"),
        ('{"test": [["query"]]}', "item 0 of 'test' is no query with an intent"),
        ('{"test": [["query", "intent"], [1, "intent"]]}', "item 1 of 'test' is no query"),
    ],
)
def test_queries_in_another_form_are_refused(root, content, message):
    write_clinc150(root)
    (root / "clinc150/data_full.json").write_text(content)
    with pytest.raises(DataError, match=f"data_full.json: {message}"):
        Clinc150(verify=False).load("test")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\tb\n", ":1: 2 columns, not at least 3"), (b"a\tb\t\xff\tc\n", ": not in UTF-8")],
)
def test_utterances_in_another_form_are_refused(root, content, message):
    write_rostd(root)
    (root / "rostd/OODrelease.tsv").write_bytes(content)
    with pytest.raises(DataError, match=f"OODrelease.tsv{message}"):
        Rostd(scope="out", verify=False).load("test")


def test_an_archive_without_the_table_is_refused(root):
    write_rostd(root)
    with zipfile.ZipFile(root / INSIDE_ZIP, "w") as archive:
        archive.writestr("fr/train-fr.tsv", b"")
    with pytest.raises(DataError, match="one table en/train-en.tsv was expected, 0 were found"):
        Rostd(verify=False).load("train")


def test_fetch_downloads_each_file_once_and_verifies_it(root, monkeypatch):
    asked = []

    def download(url, file, progress):
        asked.append((url, file))
        (root / "clinc150").rmdir()
        write_clinc150(root)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    said = []
    with pytest.raises(
        MissingDataError, match=r"clinc150 could not be downloaded \(.*the sha256 is"
    ):
        Clinc150().fetch(said.append)
    url = "https://raw.githubusercontent.com/clinc/oos-eval/master/data/data_full.json"
    assert asked == [(url, f"{root}/clinc150/data_full.json")]
    assert said == [f"clinc150: {url}"]
    with pytest.raises(MissingDataError, match="the sha256 is"):
        Clinc150().fetch(said.append)  # what is there is kept, and verified again
    assert len(asked) == len(said) == 1
