"""What the charts show, from tables as RUN/aggregates has them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ig_worker.insight.report import changes, convergence, faithfulness, position, predictions, words
from ig_worker.insight.report.page import charts
from ig_worker.insight.report.section import MAX_CLASSES, Classes
from ig_worker.insight.tables.aggregate import finish, partial

TWO = Classes(("negative", "positive"), 2)


@pytest.fixture
def tables(rows, table):
    return finish(partial(table(rows(300))))


def test_every_table_of_a_run_has_its_chart(tables):
    data = charts(tables, TWO, 300)
    assert [group["name"] for group in data["importance"]["word"]] == ["negative", "positive"]
    assert data["importance"]["token"][0]["terms"]
    assert data["reliability"]["bins"]
    assert {"abs_delta", "evaluations", "error_estimate", "length", "confidence"} <= data["histograms"].keys()
    assert {point["name"] for point in data["positions"]} == {"negative", "positive"}
    assert all(0 < point["place"] < 1 for point in data["positions"])
    assert data["faithfulness"] is None
    assert data["drift"] is None


def test_tables_that_are_missing_leave_their_charts_out(tables):
    data = charts({"tokens": tables["tokens"]}, TWO, 300)
    assert data["importance"]["word"] is None
    assert [data[name] for name in ("reliability", "histograms", "positions")] == [None, {}, None]
    assert words.ngrams(None, TWO, 300) == []
    assert faithfulness.headlines(None) is changes.change(None) is None
    assert position.shares(None, TWO) == position.truncation(None) == []
    assert changes.flipped_ids(None) == frozenset()


def test_a_word_in_pieces_is_one_word_and_several_tokens(row, table):
    data = [row("[CLS] un ##do [SEP]", [0, 0.1, 0.2, 0], id=str(i)) for i in range(3)]
    found = charts(finish(partial(table(data))), TWO, 3)["importance"]
    assert [term["term"] for term in found["word"][1]["terms"]] == ["undo"]
    assert {term["term"] for term in found["token"][1]["terms"]} == {"un", "##do"}


def test_without_labels_there_is_no_reliability_curve(row, table):
    tables = finish(partial(table([row(label=None)])))
    assert predictions.reliability(tables["calibration"]) is None


def test_a_fixed_rule_has_no_histogram_of_estimates(row, table):
    tables = finish(partial(table([row(), row(id="b")])))
    assert "error_estimate" not in convergence.histograms(tables["histograms"])


def test_the_bin_of_what_is_nearly_zero_has_a_place_on_a_logarithmic_axis():
    table = pa.Table.from_pylist([{"measure": "abs_delta", "bin": 0, "low": 0.0, "high": 1e-9, "rows": 2}])
    (bin,) = convergence.histograms(table)["abs_delta"]
    assert 0 < bin["low"] < bin["high"] == 1e-9


def test_with_many_classes_the_most_frequent_have_charts(rows, table):
    tables = finish(partial(table(rows(300, classes=20))))
    data = charts(tables, Classes((), 20), 300)
    assert len(data["importance"]["token"]) == MAX_CLASSES
    assert len({point["name"] for point in data["positions"]}) == position.MAX_PROFILES


def test_only_words_that_changed_for_sure_are_drawn():
    table = [{"word": w, "documents": 9, "mean_before": 0.1, "mean": 0.3, "drift": 0.2, "q": q} for w, q in
             (("sure", 0.001), ("unsure", 0.5), ("untested", None))]  # fmt: skip
    assert [word["word"] for word in changes.drift(pa.Table.from_pylist(table))] == ["sure"]


def test_curves_say_of_how_many_texts_they_are():
    cell = {"rows": 12, "mean": 0.5, "low": None, "high": None}
    table = pa.Table.from_pylist(
        [
            {"method": "gradient_input", "metric": "deletion", "fraction": 0.1, **cell},
            {"method": "gradient_input", "metric": "deletion_auc", "fraction": None, **cell},
        ]
    )
    (point,) = faithfulness.curves(table)
    assert (point["method"], point["fraction"], point["mean"]) == ("gradient input (12 texts)", 0.1, 0.5)
    assert faithfulness.headlines(table)["rows"][0]["values"] == ["–", "–", "0.500", "–"]


def test_a_comparison_tells_flips_and_where_they_are():
    rows = [{"id": id, "flipped": flipped, "moved": moved} for id, flipped, moved in
            (("a", True, 0.5), ("b", False, None), ("c", False, 0.1), ("d", True, 0.3))]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    assert changes.change(table) == {
        "before": "an earlier run", "rows": "4", "flips": "2", "flipped_share": "50.0%", "moved": "30.0%",
        "numbers": "",
    }  # fmt: skip
    assert changes.flipped_ids(table) == {"a", "d"}


def test_shares_are_told_by_class_and_of_few_classes_only(rows, row, table):
    data = [row("[CLS] good [UNK]", [0.1, 0.2, -0.7]), row("good", [0.4], id="b", target=0)]
    found = position.shares(finish(partial(table(data)))["shares"], TWO)
    assert [(view["target"], view["tokens"]) for view in found] == [("negative", "1"), ("positive", "3")]
    assert found[0]["shares"][0] == "100.0%"
    many = position.shares(finish(partial(table(rows(300, classes=20))))["shares"], Classes((), 20))
    assert len(many) == MAX_CLASSES


def test_truncation_is_told_only_where_a_text_was_cut(row, table):
    assert position.truncation(finish(partial(table([row()])))["truncation"]) == []
    found = position.truncation(finish(partial(table([row(), row(id="b", truncated=True)])))["truncation"])
    assert {view["name"]: view["rows"] for view in found} == {"whole": "1", "truncated": "1"}
