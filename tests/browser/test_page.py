"""The report page in a real browser: it works by mouse and keyboard, and asks nobody."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from harness.report.looks import looks
from harness.report.page import render_page
from harness.report.render.formats import render
from harness.results import Result
from harness.run.outcome import Outcome
from tests.page_of import SCORER, SCRIPT, TITLE, data_of, make, make_text

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no chromium and chromedriver here; apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def path(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(made.page(temperature=1.0), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for argument in (
        "--headless=new",
        "--no-sandbox",  # CI is root in a container, and the page is our own
        "--disable-dev-shm-usage",
        "--force-prefers-reduced-motion",
        "--window-size=1280,1000",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, path):
    """The page, freshly opened; afterwards, that it said nothing and asked nobody."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get(path.as_uri())
    assert browser.find_elements(By.CSS_SELECTOR, "html[data-ready]"), "the script ran to its end"
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert {url for url in requested(browser) if url != path.as_uri()} == set()


def requested(browser):
    """What was asked for, from wherever, but for what stands in the page itself."""
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                yield url


def texts(page, selector):
    return [found.text for found in page.find_elements(By.CSS_SELECTOR, selector)]


def column(page, label):
    """The texts of a column of the table of cells, as shown."""
    heads = [text.rstrip("▲▼") for text in texts(page, "#cells thead th")]
    place = heads.index(label) + 1
    return texts(page, f"#cells tbody tr > :nth-child({place})")


def number(text):
    """The number in a text, whatever marks stand beside it."""
    (found,) = re.findall(r"[−+]?\d\.\d+", text)
    return float(found.replace("−", "-"))


def choose(page, key, text):
    Select(page.find_element(By.ID, f"filter-{key}")).select_by_visible_text(text)


def results(made):
    return {result.cell: result for result in made.outcome.results}


def test_it_sorts_by_mouse_and_keyboard(page):
    head = page.find_element(By.CSS_SELECTOR, '#cells [data-key="auroc"]')
    cell = head.find_element(By.XPATH, "..")
    assert cell.get_attribute("aria-sort") == "none"
    head.click()
    assert cell_state(page) == "ascending"
    rising = [number(text) for text in column(page, "AUROC")]
    assert rising == sorted(rising)
    assert len(set(rising)) > 5
    page.switch_to.active_element.send_keys(Keys.ENTER)  # the head keeps the focus
    assert cell_state(page) == "descending"
    assert [number(text) for text in column(page, "AUROC")] == rising[::-1]


def cell_state(page):
    head = page.find_element(By.CSS_SELECTOR, '#cells [data-key="auroc"]')
    return head.find_element(By.XPATH, "..").get_attribute("aria-sort")


def test_the_matrix_sorts_the_scorers_of_each_training(page):
    def shown():
        return texts(page, "#matrix tbody th[scope=row]")

    def aurocs():
        cells = texts(page, "#matrix tbody td:nth-child(2)")
        return [number(text) for text in cells]

    of_suite = shown()
    for order in ("descending", "ascending"):
        head = page.find_element(By.CSS_SELECTOR, "#matrix [data-out='0']")
        head.send_keys(Keys.ENTER)
        head = page.find_element(By.CSS_SELECTOR, "#matrix [data-out='0']")
        assert page.switch_to.active_element == head
        assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == order
        assert aurocs() == sorted(aurocs(), reverse=order == "descending")
        assert sorted(shown()) == sorted(of_suite)
    head.send_keys(Keys.ENTER)
    assert shown() == of_suite


def test_it_filters_and_compares_with_a_baseline(page, made):
    assert texts(page, "#cells .count") == ["24 cells"]
    choose(page, "scorer", SCORER)
    choose(page, "out", SCRIPT)
    choose(page, "baseline", "gradient-gaussian")
    assert texts(page, "#cells .count") == ["4 cells"]
    assert set(column(page, "Scorer")) == {SCORER}
    assert set(column(page, "OOD")) == {SCRIPT}
    found = results(made)
    rows = [cell for cell in found if (cell.scorer, cell.out_dataset) == (SCORER, SCRIPT)]
    baselines = [cell._replace(scorer="gradient-gaussian") for cell in rows]
    expected = [
        found[a].metrics.auroc - found[b].metrics.auroc
        for a, b in zip(rows, baselines, strict=True)
    ]
    shown = [number(text) for text in column(page, "vs gradient-gaussian")]
    assert shown == pytest.approx(expected, abs=6e-4)
    assert [number(text) for text in column(page, "AUROC")] == pytest.approx(
        [found[cell].metrics.auroc for cell in rows], abs=6e-4
    )
    page.find_element(By.CSS_SELECTOR, "#filters [type=reset]").click()
    assert texts(page, "#cells .count") == ["24 cells"]


def test_a_cell_opens_and_closes_by_keyboard(page, made):
    choose(page, "scorer", "gradient-gaussian")
    button = page.find_element(By.CSS_SELECTOR, "#cells .auroc")
    button.send_keys(Keys.ENTER)
    title = page.find_element(By.CSS_SELECTOR, "dialog[open] h2").text
    assert title == "flow, digits against noise: gradient-gaussian, b = 1, epoch 0"
    heads = texts(page, "dialog h3")
    assert heads[:4] == ["Scores", "Examples", "Layer by layer", "Along the epochs"]
    assert heads[4:] == ["Samples of the model at this epoch", "Compute this cell"]
    shown = page.find_element(By.TAG_NAME, "dialog").text
    assert "null" not in shown
    assert "Likelihood\nexact\n" in shown
    assert "on digits (likelihood: exact)" in texts(page, "#losses figcaption")[0]
    assert "flow on digits (likelihood: exact)" in texts(page, "#matrix .training")
    command = page.find_element(By.CSS_SELECTOR, "dialog .command").text
    assert command.startswith("bench run 'tiny suite.toml' --only model=flow --only in=digits")
    assert command.endswith("--only epoch=0 --only group_size=1 --only seed=0")
    curve = "dialog figure:nth-child(2) .series path"
    before = page.find_element(By.CSS_SELECTOR, curve).get_attribute("d")
    page.find_element(By.ID, "log-roc").click()
    assert page.find_element(By.CSS_SELECTOR, curve).get_attribute("d") != before
    layers = page.find_element(By.CSS_SELECTOR, "dialog .wide svg")
    layers.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    said = page.find_element(By.CSS_SELECTOR, "dialog [aria-live]").text
    assert re.fullmatch(r"Layer 1, \S+: median \S+ ID, \S+ OOD", said)
    WebDriverWait(page, 5).until(lambda _: page.execute_script(DRAWN) > 20)
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find_elements(By.CSS_SELECTOR, "dialog[open]")
    assert page.switch_to.active_element == button


DRAWN = """
return [...document.querySelectorAll('dialog canvas')].filter((canvas) =>
  new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size > 2
).length;
"""
"""How many images show more than one colour."""


def test_cells_are_turned_in_the_order_of_the_table(page):
    page.find_element(By.CSS_SELECTOR, '#cells [data-key="auroc"]').click()
    shown = [number(text) for text in column(page, "AUROC")]
    page.find_element(By.CSS_SELECTOR, "#cells .auroc").click()
    page.find_element(By.XPATH, "//dialog//button[text()='Next']").click()
    for expected in shown[1:4]:
        text = page.find_element(By.CSS_SELECTOR, "dialog .numbers dd").text
        assert float(text.split()[0]) == expected
        assert page.switch_to.active_element.text == "Next"
        page.switch_to.active_element.send_keys(Keys.ENTER)


def test_a_link_opens_its_cell_with_the_filters(page):
    choose(page, "scorer", SCORER)
    choose(page, "out", SCRIPT)
    choose(page, "baseline", "gradient-gaussian")
    page.find_element(By.CSS_SELECTOR, "#cells .auroc").click()
    page.find_element(By.XPATH, "//dialog//button[text()='Next']").click()
    title = page.find_element(By.CSS_SELECTOR, "dialog[open] h2").text
    link = page.execute_script("return location.href")
    page.get("about:blank")
    page.get(link)
    assert page.find_element(By.CSS_SELECTOR, "dialog[open] h2").text == title
    assert texts(page, "#cells .count") == ["4 cells"]
    for key, text in (("scorer", SCORER), ("out", SCRIPT), ("baseline", "gradient-gaussian")):
        chosen = Select(page.find_element(By.ID, f"filter-{key}")).first_selected_option
        assert chosen.text == text
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert "cell=" not in page.execute_script("return location.hash")
    assert page.switch_to.active_element.get_attribute("id") == "auroc"  # nothing had opened it
    page.find_element(By.CSS_SELECTOR, "#filters [type=reset]").click()
    assert page.execute_script("return location.hash") == ""
    assert texts(page, "#cells .count") == ["24 cells"]


def test_back_closes_a_cell_and_an_unknown_cell_opens_none(page, path):
    page.find_element(By.CSS_SELECTOR, "#cells .auroc").click()
    page.back()
    WebDriverWait(page, 10).until_not(
        lambda _: page.find_elements(By.CSS_SELECTOR, "dialog[open]")
    )
    page.get("about:blank")
    page.get(f"{path.as_uri()}#model=nothing&cell=a/b/c&show=%E0&epoch=2")
    assert not page.find_elements(By.CSS_SELECTOR, "dialog[open]")
    assert texts(page, "#cells .count") == ["12 cells"]


def test_a_search_finds_words_of_all_names(page):
    box = page.find_element(By.ID, "filter-search")
    box.send_keys("NOISE typ")
    WebDriverWait(page, 10).until(lambda _: texts(page, "#cells .count") == ["0 cells"])
    box.send_keys(Keys.BACKSPACE * 3, "100%")
    WebDriverWait(page, 10).until(lambda _: texts(page, "#cells .count") == ["4 cells"])
    assert page.execute_script("return location.hash") == "#search=NOISE%20100%25"


def test_the_theme_is_switched(page):
    button = page.find_element(By.ID, "theme")
    grounds = {}
    for theme in ("system", "light", "dark"):
        assert button.text == f"Theme: {theme}"
        grounds[theme] = page.execute_script("return getComputedStyle(document.body).background")
        button.click()
    assert grounds["light"] != grounds["dark"]
    assert button.text == "Theme: system"


def test_names_are_shown_and_do_nothing(page):
    assert page.find_element(By.TAG_NAME, "h1").text == TITLE
    assert page.title == TITLE
    assert SCRIPT in texts(page, "#matrix thead th")
    assert SCORER in texts(page, "#matrix tbody th")
    assert len(page.find_elements(By.TAG_NAME, "script")) == 2
    assert not page.find_elements(By.CSS_SELECTOR, "h1 b")


def test_text_is_shown_and_does_nothing(browser, tmp_path):
    suite, outcome, store = make_text(tmp_path)
    path = tmp_path / "text.html"
    path.write_text(
        render_page(
            suite,
            outcome,
            store,
            arguments=["text.toml"],
            looks=looks(outcome.plan, outcome.results),
            temperature=1.0,
        ),
        encoding="utf-8",
    )
    browser.get(path.as_uri())
    browser.find_element(By.CSS_SELECTOR, "#cells .auroc").click()
    found = browser.find_elements(By.CSS_SELECTOR, "dialog .text")
    shown = [one.get_property("textContent") for one in found]
    data = data_of(path.read_text(encoding="utf-8"))
    known = [text for one in data["examples"]["sets"].values() for text in one["texts"]]
    (samples,) = data["samples"]["sheets"]
    assert len(shown) == 4 * 6 + 16
    assert set(shown) <= {*known, *samples["texts"]}
    assert any(set(text) & set("<>") for text in shown)
    assert any("\\" in text for text in shown)
    assert all(one.size["width"] <= 600 for one in found)
    assert "bits/byte" in browser.find_element(By.CSS_SELECTOR, "dialog .numbers").text.lower()
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert set(requested(browser)) == {path.as_uri()}


def test_the_csv_is_that_of_the_harness(page, made, tmp_path):
    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.find_element(By.ID, "csv").click()
    deadline = time.monotonic() + 10
    while not (found := list(tmp_path.glob("*.csv"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    rows = list(csv.DictReader(found[0].read_text(encoding="utf-8").splitlines()))
    text = render(made.outcome.results, suite="tiny", title="", format="csv")
    expected = list(csv.DictReader(text.splitlines()))
    assert len(rows) == len(expected) == 24
    for row, other in zip(rows, expected, strict=True):
        for key in ("model", "in", "out", "scorer", "epoch", "group_size", "status", "message"):
            assert row[key] == other[key]
        for key in ("auroc", "auroc_low", "fpr95", "bits_per_dim_out", "ovl"):
            assert float(row[key]) == pytest.approx(float(other[key]), abs=6e-7)


def test_a_cell_that_does_not_apply_is_n_a_in_the_matrix_and_in_its_cell(browser, made, tmp_path):
    kept = [x for x in made.outcome.results if x.cell.scorer != SCORER]
    lacking = [
        Result(x.cell, "unsupported", "needs a flow")
        for x in made.outcome.results
        if x.cell.scorer == SCORER
    ]
    outcome = Outcome(made.outcome.plan, [*kept, *lacking], [])
    path = tmp_path / "report.html"
    path.write_text(made.page(outcome=outcome), encoding="utf-8")
    browser.get(path.as_uri())
    shown = browser.find_elements(By.CSS_SELECTOR, "#matrix .auroc.status")
    assert {button.text for button in shown} == {"n/a"}
    shown[0].click()
    (told,) = browser.find_elements(By.CSS_SELECTOR, "dialog .status.unsupported")
    assert told.text == "n/a"
    assert "needs a flow" in browser.find_element(By.TAG_NAME, "dialog").text
    browser.get_log("browser"), browser.get_log("performance")  # the next test reads its own


def test_it_can_be_read_aloud_and_reached_by_keyboard(page):
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to the results"
    tables = page.find_elements(By.TAG_NAME, "table")
    assert len(tables) > 4
    for table in tables:
        assert table.find_elements(By.CSS_SELECTOR, "caption")
        assert table.find_elements(By.CSS_SELECTOR, "thead th[scope=col]")
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('button, select, input, svg[role=img], canvas')]"
        ".filter((x) => !(x.textContent.trim() || x.ariaLabel || x.labels?.length)).length;"
    )
    assert unnamed == 0


SPOKEN_ONLY = """
const found = [...document.querySelectorAll('.scroll .hidden')];
return found.every((one) => one.closest('.scroll').contains(one.offsetParent)) ? found.length : -1;
"""
"""How many texts for screen readers tables have, where none can widen the page."""


def test_it_fits_a_phone(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    width = "return document.documentElement.scrollWidth"
    assert page.execute_script(width) == 390
    assert page.execute_script(SPOKEN_ONLY) > 0
    page.find_element(By.CSS_SELECTOR, "#matrix .auroc").click()
    assert page.execute_script(width) == 390
