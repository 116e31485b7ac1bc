"""Which run is tonight's, what is kept, and when a night has failed: pure decisions."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.insight.night.rules import GOOD, Earlier, RunName, choose, compared_with, following, to_remove
from ig_worker.insight.thresholds import Found, Thresholds, crossed

DAY = datetime.date(2026, 11, 24)


def run(days_ago: int, code: int | None = 0, *, complete: bool = True, number: int = 1) -> Earlier:
    return Earlier(RunName(DAY - datetime.timedelta(days_ago), number, "imdb"), complete, code)


RUNS = st.lists(
    st.builds(
        lambda ago, code, complete, number: run(ago, code, complete=complete, number=number),
        st.integers(0, 30), st.sampled_from([0, 3, 4, 5, 6, None]), st.booleans(), st.integers(1, 3),
    ),
    unique_by=lambda run: run.name,
)  # fmt: skip


@given(st.dates(), st.integers(1, 99))
def test_names_are_read_as_they_are_written(day: datetime.date, number: int) -> None:
    name = RunName(day, number, "imdb.v2")
    assert RunName.parse(str(name), "imdb.v2") == name
    assert RunName.parse(str(name), "imdb") is None


@pytest.mark.parametrize("text", ["imdb", "imdb-2026-13-01", "imdb-2026-11-24-1", "imdb-2026-11-24-02", "x-2026-11-24"])
def test_what_is_no_run_of_the_line_is_passed_over(text: str) -> None:
    assert RunName.parse(text, "imdb") is None


@pytest.mark.parametrize(
    ("runs", "resume", "expected"),
    [
        ([], True, "imdb-2026-11-24"),
        ([run(1)], True, "imdb-2026-11-24"),
        ([run(0)], True, "imdb-2026-11-24"),  # said once more: nothing is computed twice
        ([run(1), run(0, None, complete=False)], True, "imdb-2026-11-24"),
        ([run(1), run(0, None, complete=False)], False, "imdb-2026-11-24-2"),
        ([run(2, 4, complete=False)], True, "imdb-2026-11-22"),
        ([run(2, 4, complete=False)], False, "imdb-2026-11-24"),
        ([run(3, 4, complete=False), run(1)], True, "imdb-2026-11-24"),  # only the newest is gone on with
        ([run(-3)], True, "imdb-2026-11-24"),
    ],
)
def test_which_run_is_tonights(runs: list[Earlier], resume: bool, expected: str) -> None:
    assert str(choose("imdb", DAY, runs, resume=resume)) == expected


def test_a_new_name_of_one_day_is_after_the_last() -> None:
    first = RunName(DAY, 9, "imdb")
    assert str(following(first, DAY)) == "imdb-2026-11-24-10"
    assert following(first, DAY) > first
    assert str(following(run(1).name, DAY)) == "imdb-2026-11-24"


def test_a_night_is_compared_with_the_newest_complete_run_before_it() -> None:
    runs = [run(3), run(2, 6), run(1, 4, complete=False), run(0)]
    assert compared_with(run(0).name, runs) == run(2).name
    assert compared_with(run(3).name, runs) is None


@given(RUNS, st.integers(1, 20))
def test_the_newest_and_the_last_good_run_are_always_kept(runs: list[Earlier], keep: int) -> None:
    removed = set(to_remove(runs, keep))
    left = [run for run in runs if run.name not in removed]
    newest = sorted((run.name for run in runs), reverse=True)[:keep]
    assert set(newest) <= {run.name for run in left}
    assert len(left) <= keep + 1
    good = [run.name for run in runs if run.complete and run.exit_code in GOOD]
    assert not good or max(good) not in removed


def test_runs_in_use_are_kept() -> None:
    runs = [run(n) for n in range(5)]
    assert to_remove(runs, 2) == [run(4).name, run(3).name, run(2).name]
    assert to_remove(runs, 2, also=[run(4).name]) == [run(3).name, run(2).name]


def test_every_threshold_that_is_crossed_is_told_with_its_value() -> None:
    limits = Thresholds(min_accuracy=0.85, max_quarantined=0.01, min_converged=0.99, max_drift=0.2)
    found = Found(accuracy=0.5, quarantined=0.02, converged=0.9, drift=0.4)
    reasons = crossed(found, limits)
    assert reasons[0] == "accuracy is 50.0%, expected at least 85.0% (min_accuracy)"
    assert [reason.rpartition("(")[2] for reason in reasons] == [
        "min_accuracy)", "max_quarantined)", "min_converged)", "max_drift)",
    ]  # fmt: skip


def test_what_is_at_its_limit_or_not_known_crosses_nothing() -> None:
    limits = Thresholds(min_accuracy=0.85, max_quarantined=0.01, min_converged=0.99, max_drift=0.2)
    assert crossed(Found(accuracy=0.85, quarantined=0.01, converged=0.99, drift=0.2), limits) == []
    assert crossed(Found(), limits) == []
    assert crossed(Found(accuracy=0.0, drift=1.0), Thresholds()) == []
