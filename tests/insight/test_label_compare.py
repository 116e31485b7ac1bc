"""Two runs of several labels, or of numbers, side by side; what a night makes of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.compare.rows import compare, write_comparison
from ig_worker.insight.report.write import write_report
from ig_worker.insight.thresholds import ChangeThresholds, Found, Thresholds, crossed, without_meaning
from ig_worker.run.store.run_store import RunStore
from jobs import compare as job
from tests.insight.conftest import make_labelled_rows, make_quarantine, make_rows, make_table, make_valued_rows
from tests.insight.test_label_tables import planted

MADE = {schema.LABELS: make_labelled_rows, schema.VALUES: make_valued_rows}


def a_run(place: Path, rows: list[dict], **config: object) -> RunStore:
    store = RunStore(str(place))
    store.manifest.write({"fingerprint": "f00d", "config": config})
    store.results.commit(0, make_table(rows), make_quarantine(0), "f00d")
    return store


def labelled(probabilities: list[list[float]], truth: list[list[int] | None]) -> list[dict]:
    return [planted(p, t, id=str(i)) for i, (p, t) in enumerate(zip(probabilities, truth, strict=True))]


def valued(numbers: list[float], truth: list[float | None]) -> list[dict]:
    rows = make_valued_rows(len(numbers))
    return [
        row | {"probabilities": [number], "target_probability": number, "value": value}
        for row, number, value in zip(rows, numbers, truth, strict=True)
    ]


@pytest.mark.parametrize("outputs", [schema.LABELS, schema.VALUES])
def test_a_run_is_the_same_as_itself(tmp_path: Path, outputs: str) -> None:
    rows = MADE[outputs](40)
    found, table, _ = compare(a_run(tmp_path / "a", rows), a_run(tmp_path / "b", rows[::-1]))
    assert (found.paired, found.flips, found.drift, found.worse, found.better) == (40, 0, 0, 0, 0)
    assert found.scores == pytest.approx(found.scores_before, nan_ok=True)
    assert found.change == (0 if outputs == schema.VALUES else None)
    assert not any(table.column("flipped").to_pylist())
    assert asdict(found)["outputs"] == outputs


def test_other_labels_are_flips_and_those_that_got_wrong_are_counted(tmp_path: Path) -> None:
    truth = [[0], [0, 1], [], None]
    before = labelled([[0.9, 0.1], [0.9, 0.8], [0.1, 0.2], [0.9, 0.1]], truth)
    now = labelled([[0.9, 0.2], [0.9, 0.3], [0.6, 0.2], [0.1, 0.1]], truth)
    found, table, _ = compare(a_run(tmp_path / "a", before), a_run(tmp_path / "b", now))
    assert (found.paired, found.labelled, found.flips) == (4, 3, 3)
    assert (found.accuracy_before, found.accuracy) == (1.0, pytest.approx(1 / 3))
    assert (found.worse, found.better) == (2, 0)
    assert [(c.label, c.rows, c.before, c.now) for c in found.classes] == [(0, 2, 1.0, 1.0), (1, 1, 1.0, 0.0)]
    assert found.scores_before["micro_f1"] == 1.0
    assert found.scores["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert table.column("predicted").to_pylist() == [[0], [0], [0], []]
    assert table.column("right").to_pylist() == [True, False, False, None]
    lines = found.lines()
    assert "flips        3 predictions changed (75.0%)" in lines
    assert "F1           1 before, 0.67 now over all labels; 1 and 0.4 as their mean" in lines
    assert any(line.startswith("label 1") for line in lines)


def test_each_run_has_its_own_threshold(tmp_path: Path) -> None:
    rows = labelled([[0.55, 0.1]], [[0]])
    found, *_ = compare(a_run(tmp_path / "a", rows), a_run(tmp_path / "b", rows, threshold=0.6))
    assert (found.flips, found.accuracy_before, found.accuracy) == (1, 1.0, 0.0)


def test_numbers_are_held_against_each_other_and_against_the_data(tmp_path: Path) -> None:
    before = valued([1.0, 2.0, 3.0], [1.0, 2.5, None])
    now = valued([2.0, 2.0, 3.5], [1.0, 2.5, None])
    found, table, _ = compare(a_run(tmp_path / "a", before), a_run(tmp_path / "b", now))
    assert found.change == pytest.approx(0.5)
    assert found.scores_before["mean_absolute_error"] == pytest.approx(0.25)
    assert found.scores["mean_absolute_error"] == pytest.approx(0.75)
    assert table.column("number").to_pylist() == [2.0, 2.0, 3.5]
    assert found.lines()[2:5] == [
        "numbers      changed by 0.5 (mean)",
        "error        0.25 before, 0.75 now, of 2 labelled rows",
        "correlation  1 before, – now",
    ]
    assert found.crossed(ChangeThresholds(max_flips=0.0, max_accuracy_loss=0.0)) == []
    (reason,) = found.crossed(ChangeThresholds(max_error_rise=1.5))
    assert reason == "the mean error has risen by 200.0% since the run before, expected at most 150.0% (max_error_rise)"


def test_a_run_without_the_column_of_labels_is_compared_by_those_of_the_later_one(tmp_path: Path) -> None:
    now = labelled([[0.9, 0.1]], [[1]])
    older = [{key: value for key, value in row.items() if key != "labels"} for row in now]
    stores = [a_run(tmp_path / "a", older), a_run(tmp_path / "b", now)]
    for store in stores:
        store.manifest.write(store.manifest.existing() | {"data": {"outputs": "labels"}})
    found, *_ = compare(*stores)
    assert (found.flips, found.labelled, found.accuracy) == (0, 1, 0.0)


def test_runs_of_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gives classes, that of .* labels; expected two runs of one kind"):
        compare(a_run(tmp_path / "a", make_rows(3)), a_run(tmp_path / "b", make_labelled_rows(3)))
    with pytest.raises(UsageError, match="give 3 and 2 numbers"):
        compare(a_run(tmp_path / "c", make_labelled_rows(3)), a_run(tmp_path / "d", make_labelled_rows(3, labels=2)))


def test_the_job_says_which_limit_means_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, numbers in (("a", [1.0, 2.0]), ("b", [1.0, 3.0])):
        a_run(tmp_path / name, valued(numbers, [1.0, 2.1]))
    code = job.main([str(tmp_path / "a"), str(tmp_path / "b"), "--max-flips", "0", "--max-error-rise", "0.1"])
    said = capsys.readouterr().out
    assert code == 6
    assert "note         max_flips means nothing here: the model gives a number" in said
    assert "(max_error_rise)" in said


@pytest.mark.parametrize("outputs", [schema.LABELS, schema.VALUES])
def test_the_report_shows_what_has_changed(tmp_path: Path, outputs: str) -> None:
    rows = MADE[outputs](30)
    moved = [row | {"probabilities": [float(np.float32(p * 0.5)) for p in row["probabilities"]]} for row in rows]
    now = a_run(tmp_path / "b", moved)
    write_comparison(now, a_run(tmp_path / "a", rows))
    page = Path(write_report(now, examples=3)).read_text()
    assert ("model's numbers changed by" in page) == (outputs == schema.VALUES)
    assert ("predictions changed" in page) == (outputs == schema.LABELS)


def test_limits_of_a_night_are_those_of_its_model() -> None:
    limits = Thresholds(min_accuracy=0.5, min_f1=0.6, max_error=0.3)
    assert crossed(Found(f1=0.5, error=0.4), limits) == [
        "F1 over all labels is 50.0%, expected at least 60.0% (min_f1)",
        "the mean error is 0.4, expected at most 0.3 (max_error)",
    ]
    told = {outputs: [line.split()[0] for line in without_meaning(limits, outputs)] for outputs in schema.OUTPUTS}
    assert told == {
        schema.CLASSES: ["min_f1", "max_error"],
        schema.LABELS: ["max_error"],
        schema.VALUES: ["min_accuracy", "min_f1"],
    }
