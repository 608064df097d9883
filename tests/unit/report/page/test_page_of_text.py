"""The page and the tables of a run on text: hostile text is shown, and stays text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from harness.compute.samples import stored_samples
from harness.plan.jobs import ChainId
from harness.report.figures import Drawing, draw_figures
from harness.report.looks import looks
from harness.report.page import render_page
from harness.report.page.atlas import sheet
from harness.report.render.formats import render
from harness.text import shown_bytes
from oodbench import Tokens
from tests.page_of import data_of, make_text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def page(made):
    suite, outcome, store = made
    found = looks(outcome.plan, outcome.results)
    return render_page(
        suite, outcome, store, arguments=["text.toml"], looks=found, temperature=1.0
    )


def test_examples_and_samples_are_shown_as_text(made, page):
    _, outcome, store = made
    data = data_of(page)
    prepared = outcome.plan.prepared
    assert set(data["examples"]["sets"]) == {"words", "shuffled"}
    for name, found in data["examples"]["sets"].items():
        windows = prepared[name].load("test")[found["ids"]]
        assert found["texts"] == [shown_bytes(window.tobytes()) for window in windows]
        assert len(found["texts"]) > 6
    (drawn,) = data["samples"]["sheets"]
    chain = ChainId("bigram", "words", 0)
    samples = stored_samples(outcome.plan, store, chain, 0, 1.0)
    assert drawn["texts"] == [shown_bytes(bytes(x)) for x in samples[:16].astype(np.uint8)]


def test_nothing_in_the_text_acts_on_the_page(page):
    assert page.replace("\n", "").isprintable()
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 2
    assert not re.search("[\u0300-\u036f]{3}", page)


def test_bits_are_per_byte_in_tables_and_on_the_page(made, page):
    suite, outcome, _ = made
    printing = {"suite": suite.name, "title": "t"}
    for form in ("table", "markdown", "latex"):
        text = render(outcome.results, format=form, **printing)
        assert "bits/byte" in text
        assert "bits/dim" not in text
        assert "pixels" not in text
    data = data_of(page)
    assert data["bits"] == "bits/byte"
    assert [training["own_unit"] for training in data["trainings"]] == ["bits/byte"]


def test_figures_of_text_have_no_pictures_of_samples(made, tmp_path):
    _, outcome, store = made
    drawing = Drawing(looks(outcome.plan, outcome.results))
    gallery = draw_figures(outcome.plan, outcome.results, store, tmp_path, drawing)
    assert not [file for file in gallery.files if file.name.startswith("samples")]
    assert gallery.notes == [
        "samples of bigram on words are text, which --html FILE --samples shows"
    ]


def test_tokens_that_are_no_bytes_are_shown_as_numbers():
    windows = np.array([[1, 2, 299], [0, 0, 7]], np.uint16)
    assert sheet(windows, Tokens(3, vocabulary=300)) == {"texts": ["1 2 299", "0 0 7"]}
    long = np.zeros((1, 502), np.uint16)
    (text,) = sheet(long, Tokens(502, vocabulary=300))["texts"]
    assert text.endswith("0 0 … and 2 tokens")
