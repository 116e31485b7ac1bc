"""The report of a run of pairs in a real Chromium: both texts of each row, with a visible break between them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.insight.report.write import write_report
from ig_worker.run.store.run_store import RunStore
from tests import browser
from tests.insight.conftest import make_quarantine, make_row
from tests.insight.pages import fill, ids, keys, opened, press

ROWS = 12


def pairs() -> list[dict]:
    """Rows of two texts, the second of which begins with a word of two pieces."""
    rows = []
    for i in range(ROWS):
        tokens = f"[CLS] film number w{i} [SEP] un ##do {'good' if i % 2 else 'bad'} . [SEP]"
        values = [0.0, 0.01, -0.02, 0.001 * i, 0.0, 0.1, 0.05, 0.2, -0.1, 0.0]
        segments = [-1, 0, 0, 0, -1, 1, 1, 1, 1, -1]
        rows.append(make_row(tokens, values, id=f"row-{i:02d}", segments=segments))
    return rows


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = RunStore(str(tmp_path_factory.mktemp("report")))
    store.manifest.write({"fingerprint": "f00d", "data": {"class_names": ["negative", "positive"]}})
    table = pa.Table.from_pylist(pairs(), schema=schema.attributions(pairs=True))
    store.results.commit(0, table, make_quarantine(0), "f00d")
    return Path(write_report(store, examples=5))


@pytest.fixture
def page(driver, index):
    browser.open_report(driver, index)
    yield driver
    assert [entry["message"] for entry in driver.get_log("browser")] == []


BREAKS = """
    return [...arguments[0].querySelectorAll('.begins')].map((begin) => [
      begin.textContent, begin.nextElementSibling.textContent, begin.getBoundingClientRect().top,
      begin.nextElementSibling.getBoundingClientRect().top,
    ])
"""


def check_breaks(driver, map, first: str, second: str) -> None:
    (one, other) = driver.execute_script(BREAKS, map)
    assert one[:2] == ["first text", first]
    assert other[:2] == ["second text", second]
    assert one[2] < one[3] < other[2] < other[3]  # each on a line of its own, above its text


def test_examples_show_both_texts_below_each_other(page) -> None:
    maps = page.find_elements("css selector", ".card .heat")
    assert len(maps) == 5
    for map in maps:
        check_breaks(page, map, "[CLS]", "undo")


@pytest.mark.parametrize(("view", "second"), [("words", "undo"), ("pieces", "undo")])
def test_the_explorer_shows_both_texts_below_each_other(page, view: str, second: str) -> None:
    fill(page, q='"w2"', view=view)
    press(page, "j", keys().ENTER)
    opened(page)
    check_breaks(page, page.find_element("css selector", "#results .heat"), "[CLS]", second)
    tokens = [one.text for one in page.find_elements("css selector", "#results .heat b")]
    pieces = ["un", "do"] if view == "pieces" else ["undo"]
    assert tokens == ["[CLS]", "film", "number", "w2", "[SEP]", *pieces, "bad", ".", "[SEP]"]


def test_the_list_shows_where_the_second_text_begins(page) -> None:
    fill(page, q='"w2"')
    opening = page.find_element("css selector", "#results .opening").text
    assert opening == "film number w2 │ undo bad."


@pytest.mark.parametrize("fields", [{"word": "undo"}, {"token": "##do"}, {"q": "undo"}])
def test_words_of_the_second_text_are_found(page, fields: dict[str, str]) -> None:
    fill(page, **fields)
    assert len(ids(page)) == ROWS


def test_both_schemes_tell_the_texts_apart(page) -> None:
    for name in ("dark", "light"):
        browser.scheme(page, name)
        lines = page.execute_script(
            "return [...document.querySelectorAll('.card .begins')].map((b) => getComputedStyle(b).borderTopStyle)"
        )
        assert lines == ["none", "dashed"] * 5


def test_the_page_says_how_much_lies_on_each_text(page) -> None:
    tables = page.find_elements("xpath", "//section[@aria-labelledby='position']//table")
    assert any("attribution on the first text on the second" in table.text.replace("\n", " ") for table in tables)
