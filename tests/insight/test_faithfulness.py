"""The table of faithfulness: the right means, intervals, and comparison with a random ranking."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from ig_worker import schema
from ig_worker.explain.perturb import Grid
from ig_worker.insight.tables.faithfulness import (
    FAITHFULNESS,
    faithfulness,
    faithfulness_lines,
    mean_interval,
    table_lines,
)
from ig_worker.run.chunk.evaluator import write_curves
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps.evaluate import FaithfulnessTotals
from ig_worker.run.store.run_store import RunStore
from jobs import evaluate as job

GRID = Grid((0.25, 0.5), 2)


def curves(id: str, method: str, *after_one: float) -> dict[str, object]:
    """F is 1 for the text, what is given after one and two of four tokens, and 0 without tokens."""
    deletion = [1.0, *after_one, 0.0]
    return {
        "id": id, "method": method, "target": 1, "counts": [0, 1, 2, 4],
        "deletion": deletion, "insertion": [1 - value for value in deletion],
    }  # fmt: skip


def table_of(*records: dict[str, object]) -> pa.Table:
    return faithfulness([pa.Table.from_pylist([record], schema=schema.EVALUATION) for record in records], GRID)


def cell(table: pa.Table, method: str, metric: str, fraction: float | None = None) -> dict[str, float]:
    (row,) = (
        row
        for row in table.to_pylist()
        if (row["method"], row["metric"], row["fraction"]) == (method, metric, fraction)
    )
    return row


BOTH = [
    *(curves(f"r{i}", "integrated_gradients", 0.25 + 0.0625 * i, 0.0) for i in range(3)),
    *(curves(f"r{i}", "random", 0.75, 0.5) for i in range(3)),
]


def test_means_are_over_rows_and_intervals_are_students() -> None:
    found = cell(table_of(*BOTH), "integrated_gradients", "comprehensiveness", 0.25)
    values = np.array([0.75, 0.6875, 0.625])
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert [found[name] for name in ("rows", "mean", "low", "high")] == pytest.approx([3, values.mean(), low, high])


def test_the_comparison_with_random_is_paired_by_row() -> None:
    records = [*BOTH, curves("r1", "occlusion", 0.5, 0.0)]
    table = table_of(*records)
    own, other = (cell(table, m, "comprehensiveness", 0.25) for m in ("integrated_gradients", "occlusion"))
    assert own["over_random"] == pytest.approx(0.5 - 0.0625)
    assert (other["rows"], other["over_random"], other["over_random_low"], other["low"]) == (1, 0.25, None, None)
    assert cell(table, "random", "comprehensiveness", 0.25)["over_random"] is None


def test_the_table_has_every_metric_of_every_method_in_order() -> None:
    table = table_of(*reversed(BOTH))
    assert table.schema.equals(FAITHFULNESS)
    assert table.column("method").to_pylist() == ["integrated_gradients"] * 14 + ["random"] * 14
    assert list(zip(*(table.column(n).to_pylist()[:14] for n in ("metric", "fraction")), strict=True)) == GRID.names


def test_a_ranking_without_a_number_is_left_out() -> None:
    table = table_of(*BOTH, curves("r9", "random", float("nan"), 0.5))
    assert cell(table, "random", "deletion_auc")["rows"] == 3


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    _, low, high = mean_interval(random.normal(0.5, 0.2, (12, 4000)))
    assert np.mean((low <= 0.5) & (high >= 0.5)) == pytest.approx(0.95, abs=0.015)


def test_the_lines_say_whether_the_attributions_beat_a_random_ranking() -> None:
    good = faithfulness_lines(table_of(*BOTH))
    assert good[0].startswith("faithful     comprehensiveness 0.844 ± 0.078 (random 0.375), sufficiency 0.156 ± 0.078")
    assert good[1].endswith("(random 0.500), 3 rows")
    assert len(good) == 2
    turned = [{**r, "method": "random" if r["method"] != "random" else "integrated_gradients"} for r in BOTH]
    assert (
        "not shown to be better than a random ranking by comprehensiveness, sufficiency, "
        in faithfulness_lines(table_of(*turned))[2]
    )


def test_nothing_evaluated_is_said_in_one_line() -> None:
    table = table_of()
    assert (table.num_rows, table_lines(table)) == (0, [])
    assert faithfulness_lines(table) == ["faithful     unknown, no row fell into the share that is evaluated"]


def test_the_printed_table_shows_every_method_and_fraction() -> None:
    lines = table_lines(table_of(*BOTH, curves("r1", "occlusion", 0.5, 0.0)))
    assert sum(line.startswith("occlusion (1)") for line in lines) == 3
    assert next(line for line in lines if line.startswith("sufficiency at")).split() == [
        "sufficiency",
        "at",
        "0.25",
        "0.5",
    ]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--share", "0"], "--share is 0.0; expected a share above 0, at most 1"),
        (["--share", "nan"], "--share is nan"),
        (["--baselines-share", "0.5"], "--baselines-share is 0.5; expected 0 to --share (0.05)"),
        (["--fractions", "0.1,2"], "--fractions is '0.1,2'; expected numbers above 0 and at most 1"),
        (["--fractions", "a"], "--fractions is 'a'"),
        (["--curve-steps", "0"], "--curve-steps is 0; expected at least 1"),
        (["--actors", "none"], "--actors is 'none'"),
        ([], "is not a run"),
    ],
)
def test_wrong_settings_and_places_are_one_line(tmp_path: Path, capsys, flags: list[str], message: str) -> None:
    assert job.main([str(tmp_path), *flags]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_a_run_without_results_is_not_evaluated(build: Callable[..., RunStore], capsys) -> None:
    assert job.main([build().uri]) == 1
    assert "has no results to evaluate; run jobs.explain first" in capsys.readouterr().err


def test_the_job_prints_and_writes_the_table(build, row, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    store = build([row(id="r0"), row(id="r1")])
    config = EvaluateConfig(fractions="0.25,0.5", curve_steps=2)
    write_curves(store, store.results.read_commit(0), BOTH, config)
    monkeypatch.setattr(job, "measure_faithfulness", lambda *_: FaithfulnessTotals(1))
    assert job.main([store.uri, "--fractions", "0.25,0.5", "--curve-steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert "integrated_gradients (3)" in shown
    assert "faithful     comprehensiveness 0.844" in shown
    table = store.aggregates.read("faithfulness")
    assert json.loads(table.schema.metadata[schema.META_EVALUATION]) == config.identity()
    assert table.replace_schema_metadata(None).equals(table_of(*BOTH))
