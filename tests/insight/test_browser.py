"""The report in a real Chromium, opened from disk: charts, and the explorer. Each test opens the page anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ig_worker.insight.report import review_index
from tests import browser
from tests.insight.pages import ROWS, count, fill, focused, ids, keys, made_up, opened, press, tip, write


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of `made_up`, in several segments and details."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(review_index, "DETAIL_ROWS", 10)
        patch.setattr(review_index, "SEGMENT_ROWS", 40)
        patch.setattr("ig_worker.insight.report.page.DETAIL_ROWS", 10)
        patch.setattr("ig_worker.insight.report.page.SEGMENT_ROWS", 40)
        return write(tmp_path_factory.mktemp("report"), made_up(), data={"class_names": ["negative", "positive"]})


@pytest.fixture
def page(driver, index):
    """The page, ready; afterwards it must have complained of nothing and loaded nothing from elsewhere."""
    browser.open_report(driver, index)
    yield driver
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith("file:") for name in loaded)


def test_every_chart_is_drawn(page):
    browser.draw_charts(page)
    assert page.execute_script(
        "return [...document.querySelectorAll('[data-chart]')].every((place) => place.querySelector('svg'))"
    )
    kinds = page.execute_script("return [...document.querySelectorAll('[data-chart]')].map((p) => p.dataset.chart)")
    assert {"importance", "reliability", "histogram", "positions", "drift"} <= set(kinds)


def test_all_reviews_are_listed_the_surely_wrong_first(page):
    assert count(page) == ROWS
    wrong = [row for row in made_up() if row["label"] is not None and row["label"] != row["prediction"]]
    assert ids(page)[:5] == [row["id"] for row in wrong[::-1][:5]]


@pytest.mark.parametrize(
    ("fields", "test"),
    [
        ({"outcome": "wrong"}, lambda row, i: row["label"] is not None and row["label"] != row["prediction"]),
        ({"outcome": "unlabelled"}, lambda row, i: row["label"] is None),
        ({"label": "1", "prediction": "0"}, lambda row, i: row["label"] == 1 and row["prediction"] == 0),
        ({"confidence_from": "0.6", "confidence_to": "0.7"}, lambda row, i: 0.6 <= 0.5 + i / (2 * ROWS) <= 0.7),
        ({"delta_from": "0.0405", "delta_to": "0.0505"}, lambda row, i: 41 <= i <= 50),
        ({"length_from": "8"}, lambda row, i: False),
        ({"changed": "1"}, lambda row, i: i < 4),
        ({"word": "good"}, lambda row, i: i % 2),
        ({"word": "undo"}, lambda row, i: True),
        ({"word": "un"}, lambda row, i: False),
        ({"token": "##do"}, lambda row, i: True),
        ({"token": "good"}, lambda row, i: i % 2),
        ({"token": "undo"}, lambda row, i: False),
        ({"q": "W8"}, lambda row, i: i == 8 or i >= 80),
        ({"q": '"w8"'}, lambda row, i: i == 8),
        ({"q": "cafe go w4"}, lambda row, i: i % 2 and (i == 4 or 40 <= i < 50)),
        ({"q": "id:row-7 bad"}, lambda row, i: 70 <= i < 80 and i % 2 == 0),
        ({"q": "nowhere"}, lambda row, i: False),
        ({"q": "good", "outcome": "right", "sort": "file"}, lambda row, i: i % 2 and row["label"] == row["prediction"]),
    ],
)  # fmt: skip
def test_filters_let_through_what_they_say(page, fields, test):
    fill(page, **fields)
    expected = [row["id"] for i, row in enumerate(made_up()) if test(row, i)]
    assert count(page) == len(expected)
    assert set(ids(page)) <= set(expected)
    assert len(ids(page)) == min(20, len(expected))


@pytest.mark.parametrize(
    ("sort", "first"), [("file", "row-00"), ("delta", "row-89"), ("uncertain", "row-00"), ("confident", "row-89")]
)
def test_reviews_are_sorted(page, sort, first):
    fill(page, sort=sort)
    assert ids(page)[0] == first


def test_pages_turn_and_stop_at_the_ends(page):
    fill(page, sort="file")
    press(page, "n")
    assert ids(page)[0] == "row-20"
    for _ in range(9):
        press(page, "n")
    assert ids(page)[-1] == "row-89"
    assert page.find_element("css selector", "[data-step='1']").get_attribute("disabled")
    press(page, "p")
    assert ids(page)[0] == "row-60"


def test_keys_search_move_open_and_close(page):
    fill(page, sort="file")
    press(page, "/", "w1")
    assert page.execute_script("return document.activeElement.name") == "q"
    browser.until(page, "document.getElementById('status').textContent.startsWith('11 ')")
    press(page, keys().ESCAPE, "j", "j", keys().ARROW_DOWN, "k")
    assert "row-10" in focused(page)
    press(page, keys().ENTER)
    opened(page)
    assert page.switch_to.active_element.get_attribute("aria-expanded") == "true"
    press(page, keys().ESCAPE)
    assert page.find_elements("css selector", ".review") == []
    assert "row-10" in focused(page)
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_words_of_a_heat_map_have_the_spaces_that_they_have_in_python(page):
    """Of WordPiece, and of a tokenizer with marks of several characters and a space that is a token."""
    from tests.insight.test_heat import text_of

    for tokens, words in (
        (["[CLS]", "it", "'", "s", "un", "##do", "(", "w", ")", "!", "[SEP]"], [-1, 0, 1, 2, 3, 3, 4, 5, 6, 7, -1]),
        (["<s>", "It", "'s", "", "##so", "...", "((", "w", ")),", "</s>"], [-1, 0, 1, 2, 2, 3, 4, 5, 6, -1]),
    ):
        kinds = ["SPECIAL" if i < 0 else "CONTINUES" if n and words[n - 1] == i else "" for n, i in enumerate(words)]
        drawn = page.execute_script(
            "return igReport.plain(arguments[0].map((text, i) => ({ text, kind: igReport[arguments[1][i]] })))",
            tokens,
            kinds,
        )
        assert drawn == text_of(tokens, words)


def test_a_heat_map_tells_values_on_hover_and_on_focus(page):
    from selenium.webdriver.common.action_chains import ActionChains

    fill(page, q='"w2"')
    press(page, "j", keys().ENTER)
    opened(page)
    words = page.find_elements("css selector", "#results .heat b")
    assert [word.text for word in words] == ["[CLS]", "film", "number", "w2", "undo", "bad", "café", "[SEP]"]
    ActionChains(page, duration=0).move_to_element(words[4]).perform()
    assert tip(page) == "undo +0.1500"
    press(page, keys().TAB, keys().ARROW_RIGHT, keys().ARROW_RIGHT)
    assert focused(page) == "number"
    assert tip(page) == "number -0.0200"
    press(page, keys().END)
    assert focused(page) == "[SEP]"
    stops = page.execute_script("return document.querySelectorAll('#results .heat [tabindex=\"0\"]').length")
    assert stops == 1


def test_word_pieces_have_values_of_their_own(page):
    fill(page, q='"w2"', view="pieces")
    press(page, "j", keys().ENTER)
    opened(page)
    labels = [word.get_attribute("aria-label") for word in page.find_elements("css selector", "#results .heat b")]
    assert labels[4:6] == ["un +0.1000", "##do +0.0500"]
    page.find_element("css selector", "input[name=view][value=words]").click()
    browser.until(page, "document.querySelectorAll('#results .heat b').length === 8")


def test_enter_on_a_word_shows_the_reviews_that_have_it(page):
    fill(page, q='"w2"')
    press(page, "j", keys().ENTER)
    opened(page)
    press(page, keys().TAB, *[keys().ARROW_RIGHT] * 5, keys().ENTER)
    browser.until(page, "document.getElementById('status').textContent.startsWith('45 ')")
    assert page.execute_script("return location.hash") == "#?word=bad"


def test_words_of_charts_lead_to_their_reviews(page):
    page.execute_script("document.getElementById('words').scrollIntoView()")
    link = browser.until(page, "document.querySelector('[data-chart=importance] a')")
    page.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', { bubbles: true }))", link)
    browser.until(page, "location.hash.startsWith('#?word=')")
    assert 0 < count(page) <= ROWS


def test_a_link_shares_filter_page_and_open_review(page, index):
    fill(page, outcome="right", sort="file")
    press(page, "n", keys().ENTER)
    opened(page)
    hash = page.execute_script("return location.hash")
    assert re.fullmatch(r"#\?outcome=right&sort=file&page=2&open=\d+", hash)
    before = (count(page), ids(page), focused(page))
    browser.open_report(page, index, hash)
    opened(page)
    assert (count(page), ids(page)) == before[:2]
    assert page.execute_script("return document.querySelector('#filters [name=outcome]').value") == "right"


@pytest.mark.parametrize("hash", ["#?page=x&open=-4", "#?sort=constructor&outcome=%3Cb%3E", "#?__proto__=1&open=1e9"])
def test_a_nonsensical_link_is_no_fault(page, index, hash):
    browser.open_report(page, index, hash)
    assert count(page) == ROWS
    assert page.execute_script("return document.getElementById('place').textContent") == "page 1 of 5"


def test_light_and_dark_are_readable(page):
    def contrast() -> float:
        colours = page.execute_script(
            "const of = (e, what) => getComputedStyle(e)[what].match(/[0-9.]+/g).slice(0, 3).map(Number);"
            "const panel = document.querySelector('.panel');"
            "return [of(panel, 'color'), of(panel, 'backgroundColor'), of(document.querySelector('svg rect'), 'fill')]"
        )
        from ig_worker.insight.heat.colour import contrast as ratio

        text, surface, bar = ([c / 255 for c in colour] for colour in colours)
        return min(ratio(text, surface) / 4.5, ratio(bar, surface) / 3)

    page.execute_script("document.getElementById('words').scrollIntoView()")
    browser.until(page, "document.querySelector('svg rect')")
    for name in ("dark", "light"):
        browser.scheme(page, name)
        assert contrast() >= 1, name
