"""Texts with several targets, and contrasts, in a report and in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ig_worker.insight.report import review_index
from ig_worker.insight.report.text_rows import OTHER_ATTRIBUTIONS, OTHERS, by_text
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run.store.run_store import RunStore
from tests import browser
from tests.insight.conftest import make_quarantine, make_row, make_table
from tests.insight.pages import count

NAMES = ["sad", "glad", "mad"]
TEXTS = 23


def rows_of(text: int) -> list[dict]:
    """A text's rows: one to four targets, the last of four a contrast; numbers follow from text and rank."""
    sure = 0.5 + text / 100
    order = [text % 3, (text + 1) % 3, (text + 2) % 3]
    probabilities = [0.0] * 3
    for number, p in zip(order, (sure, 0.7 * (1 - sure), 0.3 * (1 - sure)), strict=True):
        probabilities[number] = p
    found = []
    for rank in range(1 + text % 4):
        target, contrast = (order[rank], None) if rank < 3 else (order[0], order[1])
        values = [0.0, *(0.01 * (text + 1) * (rank + 1) * sign for sign in (1, -0.5, 0.25)), 0.0][: 4 + text % 2]
        tokens = ["[CLS]", "film", f"w{text}", "good", "[SEP]"][: 4 + text % 2]
        f = probabilities[target] - (0.0 if contrast is None else probabilities[contrast])
        found.append(
            make_row(
                " ".join(tokens), values, id=f"t{text:02d}", label=order[0], prediction=order[0], target=target,
                contrast=contrast, rank=rank, probabilities=probabilities, target_probability=f,
                baseline_probability=0.25, error_estimate=0.001 * (rank + 1), delta=0.0001 * (rank + 1),
                status="converged",
            )
        )  # fmt: skip
    return found


EVERY = [row for text in range(TEXTS) for row in rows_of(text)]


def test_a_text_is_one_row_with_what_else_is_explained_of_it() -> None:
    table = by_text(make_table(EVERY))
    assert table.column("id").to_pylist() == [f"t{text:02d}" for text in range(TEXTS)]
    for text, row in enumerate(table.to_pylist()):
        first, *others = rows_of(text)
        np.testing.assert_allclose(row["attributions"], first["attributions"], rtol=1e-6)
        for name, column in OTHERS.items():
            wanted = [other[column] for other in others]
            if column in ("target", "contrast"):
                assert row[name] == wanted
            else:
                np.testing.assert_allclose(row[name], wanted, rtol=1e-6)
        flat = [value for other in others for value in other["attributions"]]
        np.testing.assert_allclose(row[OTHER_ATTRIBUTIONS], flat, rtol=1e-6)


def test_of_one_target_each_nothing_is_added() -> None:
    single = [row for row in EVERY if row["rank"] == 0]
    table = by_text(make_table(single))
    assert table.select(make_table(single).schema.names).equals(make_table(single))
    assert table.column(OTHER_ATTRIBUTIONS).to_pylist() == [[]] * TEXTS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    store = RunStore(str(tmp_path_factory.mktemp("targets")))
    store.manifest.write({"fingerprint": "f00d", "data": {"class_names": NAMES, "rows": TEXTS}})
    cut = len([row for text in range(9) for row in rows_of(text)])
    for index, rows in enumerate((EVERY[:cut], EVERY[cut:])):
        store.results.commit(index, make_table(rows), make_quarantine(0), "f00d")
    return store


@pytest.fixture(scope="module")
def index(store: RunStore) -> Path:
    with pytest.MonkeyPatch.context() as patch:  # several files, whose ends are in the midst of chunks
        for name, value in (("DETAIL_ROWS", 5), ("SEGMENT_ROWS", 10)):
            patch.setattr(review_index, name, value)
            patch.setattr(f"ig_worker.insight.report.page.{name}", value)
        return Path(write_report(store, examples=6))


def test_aggregates_count_texts_once_and_words_for_each_target(store: RunStore) -> None:
    tables = aggregate(store)
    assert sum(tables["classes"].column("count").to_pylist()) == TEXTS
    (film,) = {"film"} & set(tables["words"].column("word").to_pylist())
    counted = sum(row["count"] for row in tables["words"].to_pylist() if row["word"] == film)
    assert counted == len(EVERY)


@pytest.mark.parametrize("text", [0, 1, 6, 11, 22])
def test_an_open_text_shows_its_targets_side_by_side(driver, index: Path, text: int) -> None:
    browser.open_report(driver, index, f"#?word=w{text}")
    assert count(driver) == 1
    driver.execute_script("document.querySelector('#results button.row').click()")
    browser.until(driver, "document.querySelector('#results .review .heat') !== null")
    maps = driver.execute_script(
        "return [...document.querySelectorAll('#results .review .heat')].map((map) =>"
        " [...map.querySelectorAll('b')].map((b) => b.getAttribute('aria-label')))"
    )
    wanted = rows_of(text)
    assert len(maps) == len(wanted)
    for shown, row in zip(maps, wanted, strict=True):
        values = [float(label.rpartition(" ")[2].replace("−", "-")) for label in shown]
        np.testing.assert_allclose(values, row["attributions"][: len(values)], atol=6e-5)
    heads = driver.execute_script(
        "return [...document.querySelectorAll('#results .review h4')].map((head) => head.textContent)"
    )
    names = [
        NAMES[row["target"]] + ("" if row["contrast"] is None else f" − {NAMES[row['contrast']]}") for row in wanted
    ]
    assert heads == (
        [f"{name} {row['target_probability']:.3f}" for name, row in zip(names, wanted, strict=True)]
        if len(wanted) > 1
        else []
    )
    assert [entry["message"] for entry in driver.get_log("browser")] == []
