"""The reports of several labels and of numbers in a real Chromium: chips, filters, tables and charts of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ig_worker.insight.report import review_index
from ig_worker.insight.report.write import write_report
from ig_worker.run.store.run_store import RunStore
from tests import browser
from tests.insight.conftest import make_labelled_rows, make_quarantine, make_table, make_valued_rows
from tests.insight.pages import count, fill, ids, keys, opened, press

ROWS = 60
NAMES = ["joy", "anger", "fear"]
THRESHOLD = 0.6
LABELLED, VALUED = make_labelled_rows(ROWS, seed=3), make_valued_rows(ROWS, seed=3)


def written(place: Path, rows: list[dict], names: list[str]) -> Path:
    store = RunStore(str(place))
    store.manifest.write({"fingerprint": "f00d", "data": {"class_names": names}, "config": {"threshold": THRESHOLD}})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("DETAIL_ROWS", 10), ("SEGMENT_ROWS", 40)):
            patch.setattr(review_index, name, value)
            patch.setattr(f"ig_worker.insight.report.page.{name}", value)
        store.results.commit(0, make_table(rows), make_quarantine(0), "f00d")
        return Path(write_report(store, examples=12))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("labels"), LABELLED, NAMES)


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("values"), VALUED, ["score"])


@pytest.fixture
def page(driver):
    """Opens a report; afterwards it must have complained of nothing."""

    def open_page(index: Path):
        browser.open_report(driver, index)
        return driver

    yield open_page
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def predicted(row: dict) -> list[int]:
    return [i for i, p in enumerate(row["probabilities"]) if p >= THRESHOLD]


def wrong(row: dict) -> int | None:
    return None if row["labels"] is None else len(set(predicted(row)) ^ set(row["labels"]))


def error(row: dict) -> float | None:
    return None if row["value"] is None else abs(row["probabilities"][0] - row["value"])


@pytest.mark.parametrize("which", ["labels", "values"])
def test_every_chart_is_drawn(page, request, which: str) -> None:
    driver = page(request.getfixturevalue(which))
    browser.draw_charts(driver)
    places = "[...document.querySelectorAll('[data-chart]')]"
    empty = f"return {places}.filter((p) => !p.querySelector('svg')).map((p) => p.textContent)"
    assert set(driver.execute_script(empty)) <= {"nothing that often"}
    kinds = driver.execute_script("return [...document.querySelectorAll('[data-chart]')].map((p) => p.dataset.chart)")
    assert ("calibration" in kinds, "grid" in kinds) == (which == "labels", which == "values")
    assert "reliability" not in kinds


LABEL_FILTERS: list[tuple[dict[str, str], Callable[[dict], object]]] = [
    ({"label": "1"}, lambda row: 1 in (row["labels"] or [])),
    ({"prediction": "2"}, lambda row: 2 in predicted(row)),
    ({"outcome": "right"}, lambda row: wrong(row) == 0),
    ({"outcome": "wrong"}, lambda row: (wrong(row) or 0) > 0),
    ({"outcome": "unlabelled"}, lambda row: row["labels"] is None),
    ({"confidence_from": "0.5"}, lambda row: row["probabilities"][row["target"]] >= 0.5),
]
VALUE_FILTERS: list[tuple[dict[str, str], Callable[[dict], object]]] = [
    ({"confidence_to": "1.5"}, lambda row: row["probabilities"][0] <= 1.5),
    ({"error_from": "1"}, lambda row: (error(row) or 0) >= 1),
    ({"error_to": "0.5"}, lambda row: error(row) is not None and error(row) <= 0.5),
]


@pytest.mark.parametrize(("fields", "test"), LABEL_FILTERS)
def test_labels_are_filtered_by_each_of_them(page, labels, fields, test) -> None:
    driver = page(labels)
    fill(driver, **fields)
    expected = {row["id"] for row in LABELLED if test(row)}
    assert 0 < len(expected) < ROWS
    assert count(driver) == len(expected)
    assert set(ids(driver)) <= expected


@pytest.mark.parametrize(("fields", "test"), VALUE_FILTERS)
def test_numbers_are_filtered_by_themselves_and_by_their_error(page, values, fields, test) -> None:
    driver = page(values)
    fill(driver, **fields)
    expected = {row["id"] for row in VALUED if test(row)}
    assert 0 < len(expected) < ROWS
    assert count(driver) == len(expected)
    assert set(ids(driver)) <= expected


def test_texts_are_listed_by_how_wrong_they_are(page, labels, values) -> None:
    first = ids(page(labels))[0]
    (row,) = [row for row in LABELLED if row["id"] == first]
    assert wrong(row) == max(wrong(row) or 0 for row in LABELLED)
    assert ids(page(values))[0] == max(VALUED, key=lambda row: error(row) or 0)["id"]


CHIPS = """
    const text = (badge) => `${badge.className}|${badge.textContent}`;
    const lines = [...document.querySelectorAll('#results .line')];
    return lines.map((line) => [...line.querySelectorAll('.badge')].map(text));
"""


def test_a_text_has_a_chip_for_each_predicted_and_for_each_missed_label(page, labels) -> None:
    driver = page(labels)
    shown = dict(zip(ids(driver), driver.execute_script(CHIPS), strict=True))
    assert len(shown) == 20
    for id, found in shown.items():
        (row,) = [row for row in LABELLED if row["id"] == id]
        told = sorted(predicted(row), key=lambda i: -row["probabilities"][i])
        truth = row["labels"]
        sign = {i: "unlabelled|" if truth is None else "right|✓ " if i in truth else "wrong|✗ " for i in told}
        expected = [f"badge {sign[i]}{NAMES[i]} {row['probabilities'][i]:.3f}" for i in told]
        expected += [f"badge missed|missed {NAMES[i]}" for i in truth or [] if i not in told]
        assert found == (expected or ["badge unlabelled|no label predicted"])


def test_numbers_stand_beside_those_of_the_data(page, values) -> None:
    driver = page(values)
    fill(driver, sort="file")
    lines = driver.execute_script("return [...document.querySelectorAll('#results .line')].map((l) => l.textContent)")
    for row, line in zip(VALUED, lines, strict=False):
        assert f"score {row['probabilities'][0]:.4g}" in line
        said = "no number in the data" if row["value"] is None else f"in the data {row['value']:.4g}, error "
        assert said in line
    driver.find_element("css selector", "#results button.row").click()
    opened(driver)
    assert f"{VALUED[0]['target_probability']:.4g}" in driver.find_element("css selector", "#results .facts").text


def test_what_makes_no_sense_is_left_out(page, labels, values) -> None:
    text = page(labels).find_element("css selector", "main").text
    assert "Confident" not in text
    assert "Labels and predictions" not in text
    assert "F1" in text
    driver = page(values)
    text = driver.find_element("css selector", "main").text.casefold()
    for word in ("confiden", "accuracy", "calibration", "class", "outcome", "probability"):
        assert word not in text, word
    assert "raises score" in text
    assert "lowers score" in text


def test_a_link_of_the_table_of_labels_leads_to_its_texts(page, labels) -> None:
    driver = page(labels)
    link = driver.find_element("css selector", "#confusion ~ .scroll a[href='#?label=0']")
    texts = int(link.text)
    link.click()
    browser.until(driver, "location.hash.includes('label=0')")
    assert count(driver) == texts == sum(0 in (row["labels"] or []) for row in LABELLED)
    press(driver, keys().ESCAPE)
