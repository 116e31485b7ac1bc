"""The page of runs of several labels and of numbers, without a browser: what is shown, left out, and comes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ig_worker.insight.report.examples import choose_examples, read_candidates
from ig_worker.insight.report.labels import MOST_LABELS
from ig_worker.insight.report.write import write_report
from tests.insight.conftest import make_labelled_rows, make_valued_rows
from tests.insight.pages import EVIL
from tests.insight.test_label_tables import planted


def page(store) -> str:
    return Path(write_report(store, examples=6)).read_text(encoding="utf-8")


def test_labels_that_nobody_knows_leave_their_columns_out(build) -> None:
    shown = page(build([row | {"labels": None} for row in make_labelled_rows(20)]))
    assert "The data say of no text which labels it has" in shown
    assert "no text has labels" in shown
    for what in ("precision", 'id="calibration"', "Most labels wrong"):
        assert what not in shown, what


def test_numbers_without_any_in_the_data_are_shown_by_themselves(build) -> None:
    shown = page(build([row | {"value": None} for row in make_valued_rows(20)]))
    assert "The data have no numbers to hold against it" in shown
    assert 'data-measure="prediction"' in shown
    for what in ('data-chart="grid"', 'data-measure="error"', "Largest error", "error_from"):
        assert what not in shown, what


def test_of_many_labels_those_that_most_texts_have_are_shown(build) -> None:
    rows = make_labelled_rows(40, labels=100)
    for row in rows:
        row["labels"] = sorted({*(row["labels"] or []), 99})
    shown = page(build(rows))
    assert shown.count('<a href="#?label=') == MOST_LABELS
    assert "40 rarer labels are left out" in shown
    assert shown.partition('id="confusion"')[2].partition('<th scope="row">')[2].startswith("class 99<")


def test_names_of_labels_are_escaped(build) -> None:
    shown = page(build(make_labelled_rows(20), data={"class_names": [EVIL] * 3}))
    assert "</script><script>document" not in shown
    assert "document.title=" in shown  # as text


def test_examples_of_labels_begin_with_the_text_that_has_most_wrong(build) -> None:
    rows = [
        planted([0.9, 0.1, 0.1], [0], id="right"),
        planted([0.9, 0.1, 0.1], [1], id="two wrong"),
        planted([0.9, 0.9, 0.9], [], id="three wrong"),
        planted([0.9, 0.49, 0.1], None, id="not known"),
    ]
    store = build(rows[:1], rows[1:])
    found = read_candidates(store)
    assert found.wrong is not None
    assert np.nan_to_num(found.wrong, nan=-1).tolist() == [0, 2, 3, -1]
    kinds: dict[str, list[str]] = {}
    for example in choose_examples(found, 10):
        kinds.setdefault(example.kind, []).append(rows[example.row]["id"])
    assert kinds == {"wrong": ["three wrong", "two wrong"], "right": ["right"], "unlabelled": ["not known"]}


def test_examples_of_numbers_are_the_largest_errors_and_the_smallest(build) -> None:
    rows = [
        row | {"id": str(i), "probabilities": [float(i)], "value": value}
        for i, (row, value) in enumerate(zip(make_valued_rows(5), [0.0, 1.5, 5.0, None, None], strict=True))
    ]
    found = read_candidates(build(rows))
    kinds: dict[str, list[int]] = {}
    for example in choose_examples(found, 2):
        kinds.setdefault(example.kind, []).append(example.row)
    assert kinds == {"wrong": [2], "right": [0]}
    every = [example.row for example in choose_examples(found, 5) if example.kind == "unlabelled"]
    assert every[0] == 4  # the largest number first
