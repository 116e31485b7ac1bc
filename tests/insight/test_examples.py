from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ig_worker.insight.report.examples import Candidates, choose_examples, read_candidates, read_examples


def make(count: int, seed: int = 0, classes: int = 2) -> Candidates:
    random = np.random.default_rng(seed)
    return Candidates(
        chunk=np.repeat(0, count),
        position=np.arange(count),
        label=random.integers(0, classes, count),
        prediction=random.integers(0, classes, count),
        confidence=random.uniform(1 / classes, 1, count),
        abs_delta=random.exponential(0.01, count),
        length=random.permutation(count) + 1,
        classes=classes,
    )


def of(kind: str, rows: Candidates, count: int = 60) -> list[int]:
    return [example.row for example in choose_examples(rows, count) if example.kind == kind]


@pytest.mark.parametrize(
    ("rows", "count", "expected"), [(500, 60, 60), (20, 60, 20), (500, 5, 5), (500, 0, 0), (1, 1, 1)]
)
def test_each_row_is_shown_once_and_no_more_than_asked_for(rows, count, expected):
    chosen = [example.row for example in choose_examples(make(rows), count)]
    assert len(chosen) == len(set(chosen)) == expected


def test_every_kind_has_its_place_in_a_large_run():
    kinds = [example.kind for example in choose_examples(make(500), 60)]
    assert list(dict.fromkeys(kinds)) == ["wrong", "right", "uncertain", "inexact", "long", "short"]


def test_the_most_confident_wrong_rows_come_first():
    rows = make(500)
    wrong = np.flatnonzero(rows.label != rows.prediction)
    best = wrong[np.argsort(-rows.confidence[wrong])]
    shown = of("wrong", rows)
    assert shown == best[: len(shown)].tolist()


def test_right_rows_take_the_classes_in_turn_the_most_confident_first():
    rows = make(500, classes=3)
    shown = of("right", rows)
    assert rows.prediction[shown[:6]].tolist() == [0, 1, 2, 0, 1, 2]
    right = np.flatnonzero((rows.label == rows.prediction) & (rows.prediction == 1))
    assert shown[1] == right[np.argmax(rows.confidence[right])]


def test_the_extremes_are_among_the_examples():
    rows = make(500)
    chosen = {example.row for example in choose_examples(rows, 60)}
    extremes = (np.argmax(rows.length), np.argmin(rows.length), np.argmin(rows.confidence), np.argmax(rows.abs_delta))
    assert chosen.issuperset(int(row) for row in extremes)


def test_rows_without_label_are_neither_right_nor_wrong():
    rows = dataclasses.replace(make(200), label=np.full(200, -1))
    kinds = {example.kind for example in choose_examples(rows, 60)}
    assert kinds == {"unlabelled", "uncertain", "inexact", "long", "short"}
    assert len(choose_examples(rows, 60)) == 60


def test_ties_go_to_the_earlier_row():
    rows = dataclasses.replace(
        make(50), confidence=np.full(50, 0.9), label=np.zeros(50, int), prediction=np.ones(50, int)
    )
    assert of("wrong", rows, 10)[:3] == [0, 1, 2]


def test_a_perfect_model_still_fills_the_page():
    rows = make(300)
    rows = dataclasses.replace(rows, label=rows.prediction)
    assert len(choose_examples(rows, 60)) == 60
    assert of("wrong", rows) == []


def test_the_chosen_rows_are_read_in_their_order_across_chunks(build, rows):
    data = rows(40)
    store = build(data[:7], [], data[7:31], data[31:])
    light = read_candidates(store)
    chosen = choose_examples(light, 12)
    assert [row["id"] for row in read_examples(store, light, chosen)] == [data[e.row]["id"] for e in chosen]


def test_the_light_pass_sees_what_the_rows_say(build, row):
    store = build([row("[CLS] good ##ly film [SEP]", label=None, prediction=0, probabilities=[0.9, 0.1], delta=-0.5)])
    light = read_candidates(store)
    assert light.classes == 2
    found = [getattr(light, name)[0] for name in ("label", "prediction", "confidence", "abs_delta", "length")]
    assert found == pytest.approx([-1, 0, 0.9, 0.5, 3])


def test_only_the_chunks_with_examples_are_read_in_full(build, row, monkeypatch):
    store = build([row()], [row(id="b", label=0)])
    light = read_candidates(store)
    read: list[int] = []
    original = store.results.read
    monkeypatch.setattr(store.results, "read", lambda i, columns: read.append(i) or original(i, columns))
    read_examples(store, light, choose_examples(light, 1))
    assert read == [1]
