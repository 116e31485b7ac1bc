"""Two runs side by side: what is the same is the same, and a planted change is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ig_worker.errors import UsageError
from ig_worker.insight.compare import statistics
from ig_worker.insight.compare.rows import MINIMUM_DOCUMENTS, compare, spelt, write_comparison
from ig_worker.run.store.run_store import RunStore
from jobs import compare as job
from tests.insight.conftest import make_quarantine, make_row, make_rows, make_table

NUMBERS = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30)


def a_run(place: Path, *chunks: list) -> RunStore:
    store = RunStore(str(place))
    store.manifest.write({"fingerprint": "f00d"})
    for index, rows in enumerate(chunks):
        store.results.commit(index, make_table(rows), make_quarantine(0), "f00d")
    return store


def other(row: dict, **changes: object) -> dict:
    return {**row, **changes}


def flipped(row: dict) -> dict:
    """The row as another network sees it that takes one class for the other."""
    return other(
        row,
        prediction=1 - row["prediction"],
        target=1 - row["target"],
        probabilities=row["probabilities"][::-1],
        attributions=[-a for a in row["attributions"]],
    )


def test_a_run_is_the_same_as_itself_whatever_its_chunks(tmp_path: Path) -> None:
    rows = make_rows(40)
    found, table, _ = compare(a_run(tmp_path / "a", rows[:7], rows[7:]), a_run(tmp_path / "b", rows[20:], rows[:20]))
    assert (found.paired, found.flips, found.only_before, found.only_now) == (40, 0, 0, 0)
    assert found.drift == 0
    assert (found.worse, found.better, found.p_value) == (0, 0, 1.0)
    assert found.accuracy == found.accuracy_before
    assert found.words == ()
    assert set(table.column("id").to_pylist()) == {row["id"] for row in rows}


def test_rows_of_one_run_only_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = make_rows(30)
    found, *_ = compare(a_run(tmp_path / "a", rows[:20]), a_run(tmp_path / "b", rows[5:]))
    assert (found.paired, found.only_before, found.only_now) == (15, 5, 10)


def test_runs_without_a_common_row_cannot_be_compared(tmp_path: Path) -> None:
    rows = make_rows(4)
    with pytest.raises(UsageError, match="no row in common"):
        compare(a_run(tmp_path / "a", rows[:2]), a_run(tmp_path / "b", rows[2:]))


def test_a_class_that_got_lost_is_named(tmp_path: Path) -> None:
    good = [make_row(id=f"g{i}", label=1) for i in range(40)]
    bad = [flipped(make_row(id=f"b{i}", label=0)) for i in range(40)]
    now = [other(row, prediction=1, probabilities=[0.25, 0.75], target=1) for row in bad]
    found, *_ = compare(a_run(tmp_path / "a", good + bad), a_run(tmp_path / "b", good + now))
    assert (found.accuracy_before, found.accuracy, found.worse, found.better, found.flips) == (1.0, 0.5, 40, 0, 40)
    assert found.p_value < 1e-9
    assert [(change.label, change.before, change.now) for change in found.classes] == [(0, 1.0, 0.0), (1, 1.0, 1.0)]
    assert any("class 0" in line and "0.0% now" in line for line in found.lines())


def test_with_two_classes_a_flipped_prediction_with_the_same_reasons_is_no_drift(tmp_path: Path) -> None:
    rows = [make_row("[CLS] good film [SEP]", [0.0, 0.5, -0.1, 0.0], id=f"r{i}") for i in range(3)]
    found, *_ = compare(a_run(tmp_path / "a", rows), a_run(tmp_path / "b", [flipped(row) for row in rows]))
    assert (found.flips, found.drift) == (3, 0.0)


def test_a_word_whose_weight_changed_for_sure_is_named_and_noise_is_not(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    before, now = [], []
    for i in range(60):
        noise = chance.normal(0, 0.01, (2, 5)).astype(np.float32)
        text = "[CLS] the film trig ##ger [SEP]" if i % 2 else "[CLS] the film was good [SEP]"
        pieces = len(text.split())
        values = np.pad(noise[:, : pieces - 1], ((0, 0), (0, 1)))
        values[1, 3] += 0.4 if i % 2 else 0.0
        before.append(make_row(text, values[0].tolist(), id=f"r{i}"))
        now.append(make_row(text, values[1].tolist(), id=f"r{i}"))
    found, _, words = compare(a_run(tmp_path / "a", before), a_run(tmp_path / "b", now))
    assert [word["word"] for word in found.words] == ["trigger"]
    assert found.words[0]["drift"] == pytest.approx(0.4, abs=0.02)
    assert words.column("documents").to_pylist() == [30, *words.column("documents").to_pylist()[1:]]
    assert min(words.column("documents").to_pylist()) >= MINIMUM_DOCUMENTS


def test_a_word_that_came_to_speak_for_one_class_is_named_whichever_class_was_explained(tmp_path: Path) -> None:
    before, now = [], []
    for i in range(40):
        text, noise = "[CLS] film trigger [SEP]", 0.001 * (i % 7)
        row = make_row(text, [0.0, 0.1 + noise, 0.0, 0.0], id=f"r{i}", prediction=i % 2, target=i % 2)
        before.append(row)
        now.append(other(row, attributions=[0.0, 0.1 + noise, (0.4 + noise) * (1 if i % 2 else -1), 0.0]))
    found, *_ = compare(a_run(tmp_path / "a", before), a_run(tmp_path / "b", now))
    assert [word["word"] for word in found.words] == ["trigger"]
    assert found.words[0]["drift"] == pytest.approx(0.4, abs=0.01)


def test_networks_with_other_tokenizers_are_compared_by_word(tmp_path: Path) -> None:
    before = [make_row("[CLS] never bor ##ing film [SEP]", [0, 0.5, 0.1, 0.2, -0.1, 0], id="a")]
    now = [make_row("[CLS] nev ##er boring film [SEP]", [0, 0.2, 0.3, 0.3, -0.1, 0], id="a")]
    found, table, _ = compare(a_run(tmp_path / "a", before), a_run(tmp_path / "b", now))
    assert table.column("aligned").to_pylist() == ["word"]
    assert found.drift == pytest.approx(0, abs=1e-6)
    assert table.column("cosine").to_pylist() == pytest.approx([1])


def test_words_are_put_together_from_their_pieces() -> None:
    assert spelt(["[CLS]", "bor", "##ing", "film", "[SEP]"], np.array([-1, 0, 0, 1, -1])) == ["boring", "film"]
    assert spelt(["[CLS]", "[SEP]"], np.array([-1, -1])) == []


@given(NUMBERS, st.floats(0.1, 10))
def test_what_is_only_scaled_has_not_moved(values: list[float], scale: float) -> None:
    a = np.array(values)
    if np.abs(a).sum() > 1e-3:
        assert statistics.moved(a, a * scale) == pytest.approx(0, abs=1e-9)
        assert statistics.moved(a, -a) == pytest.approx(1)


@given(st.data(), NUMBERS)
def test_rank_correlation_is_spearmans(data: st.DataObject, a: list[float]) -> None:
    b = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=len(a), max_size=len(a)))
    found = statistics.rank_correlation(np.array(a), np.array(b))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert found == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)
    else:
        assert np.isnan(found)


def test_what_has_no_attribution_has_no_similarity() -> None:
    nothing, some = np.zeros(3), np.ones(3)
    assert np.isnan([statistics.moved(nothing, some), statistics.cosine(nothing, some)]).all()
    assert np.isnan(
        [statistics.rank_correlation(nothing, some), statistics.top_overlap(np.zeros(0), np.zeros(0))]
    ).all()


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    sure = np.array([0.9] * 10 + [0.6] * 10)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    assert statistics.calibration_error(sure, right) == pytest.approx(0.15)


def test_the_job_writes_both_tables_into_the_later_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = make_rows(20)
    a_run(tmp_path / "a", rows)
    later = a_run(tmp_path / "b", [flipped(row) for row in rows])
    assert job.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "20 predictions changed (100.0%)" in capsys.readouterr().out
    assert later.aggregates.read("compare").num_rows == 20
    assert later.aggregates.read("compare_words") is not None
    assert write_comparison(later, RunStore(str(tmp_path / "a"))).flips == 20


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        ([], 0, ""),
        (["--max-drift", "0.3", "--max-flips", "0.6", "--max-accuracy-loss", "0.6"], 0, ""),
        (["--max-drift", "0.2"], 6, "25.0% of the attribution has moved since the run before, expected at most 20.0%"),
        (["--max-flips", "0.4"], 6, "50.0% of the predictions have changed"),
        (["--max-accuracy-loss", "0.4"], 6, "the accuracy has fallen by 50.0% of the labelled rows"),
    ],
)
def test_a_change_beyond_a_limit_ends_the_job_with_6(tmp_path: Path, capsys, flags, code: int, reason: str) -> None:
    rows = [make_row("[CLS] good film [SEP]", [0.0, 0.5, 0.5, 0.0], id=f"r{i}", label=1) for i in range(2)]
    now = [
        other(rows[0], attributions=[0.0, 1.0, 0.0, 0.0]),
        other(flipped(rows[1]), attributions=[0.0, -0.5, -0.5, 0.0]),
    ]
    a_run(tmp_path / "a", rows), a_run(tmp_path / "b", now)
    assert job.main([str(tmp_path / "a"), str(tmp_path / "b"), *flags]) == code
    assert reason in capsys.readouterr().out


def test_rows_that_got_wrong_are_told_apart_from_those_that_stayed(tmp_path: Path) -> None:
    rows = [make_row(id=f"r{i}", label=1) for i in range(4)]
    lost = other(flipped(rows[3]), probabilities=[0.6, 0.4])
    found, *_ = compare(a_run(tmp_path / "a", rows), a_run(tmp_path / "b", [*rows[:3], lost]))
    kept, gone = found.outcomes
    assert (kept.before, kept.now, kept.rows, kept.drift) == ("right", "right", 3, 0.0)
    assert (gone.before, gone.now, gone.rows) == ("right", "wrong", 1)
    assert (gone.confidence_before, gone.confidence) == (pytest.approx(0.75), pytest.approx(0.6))
    assert "             1 rows right, now wrong: confidence 0.750 before, 0.600 now" in "\n".join(found.lines())
