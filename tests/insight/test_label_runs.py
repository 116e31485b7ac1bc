"""Whole runs of several labels and of a number, from texts to the report, and in a notebook; of tiny networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ig_worker
from ig_worker.errors import DataError, UsageError
from ig_worker.explain.predicted import predicted_labels
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.insight.tables.faithfulness import faithfulness_lines, write_faithfulness
from ig_worker.insight.tables.flat_rows import first_of_texts
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import Shared, explain_here
from tests.tiny import save_tiny_model

TEXTS = ["the film was great", "a dull plot", "not very good , but joy", "never boring", "an awful actor", "slow end"]
NAMES = {0: "joy", 1: "anger", 2: "fear"}
FAST = {"max_length": 16, "method": "gausslegendre", "n_steps": 10}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    own = {"id2label": NAMES, "label2id": {name: number for number, name in NAMES.items()}}
    return {
        "labels": save_tiny_model(folder / "l", "bert", problem_type="multi_label_classification", **own),
        "values": save_tiny_model(folder / "v", "distilbert", num_labels=1, problem_type="regression"),
    }


def run(place: Path, model: Path, labels: list) -> RunStore:
    pq.write_table(pa.table({"text": TEXTS, "label": labels}), place / "rows.parquet")
    config = ExplainConfig(
        dataset=str(place / "rows.parquet"), model=str(model), actors="1", gpus_per_actor=0.0, chunk_rows=4, **FAST
    )
    explain_here(place / "run", config, Shared)
    store = RunStore(str(place / "run"))
    assert verify_run(store).faults == []
    return store


def test_a_run_of_several_labels_comes_to_its_report(tmp_path: Path, models: dict[str, Path]) -> None:
    truth = [["JOY"], ["anger", "fear"], [], None, ["fear"], ["joy"]]
    store = run(tmp_path, models["labels"], truth)
    tables = aggregate(store)
    rows = first_of_texts(pa.concat_tables([store.results.read(i) for i in (0, 1)])).to_pylist()
    assert [row["labels"] for row in rows] == [[0], [1, 2], [], None, [2], [0]]
    exact = [predicted_labels(r["probabilities"]) == r["labels"] for r in rows if r["labels"] is not None]
    assert tables["label_scores"].column("subset_accuracy")[0].as_py() == pytest.approx(np.mean(exact))
    page = Path(write_report(store, examples=6)).read_text()
    assert ">anger</th>" in page
    assert "labels anger, fear" in page
    assert 'id="calibration"' in page
    opened = ig_worker.open(str(tmp_path / "run"))
    assert opened.summary().accuracy == pytest.approx(np.mean(exact))
    assert "every label right" in opened._repr_html_()
    assert "labels anger, fear" in opened[1].html()
    assert write_comparison(store, store).flips == 0
    evaluated = EvaluateConfig(share=1.0, baselines_share=1.0, actors="1")
    assert measure_faithfulness(store.uri, evaluated, executor=InProcess(Shared)).rows == len(TEXTS)
    assert any(line.startswith("faithful") for line in faithfulness_lines(write_faithfulness(store, evaluated)))


def test_a_run_of_a_number_comes_to_its_report(tmp_path: Path, models: dict[str, Path]) -> None:
    store = run(tmp_path, models["values"], [0.5, -1.0, None, 2.0, 0.0, 1.0])
    tables = aggregate(store)
    rows = first_of_texts(pa.concat_tables([store.results.read(i) for i in (0, 1)])).to_pylist()
    errors = [abs(row["probabilities"][0] - row["value"]) for row in rows if row["value"] is not None]
    assert tables["value_scores"].column("mean_absolute_error")[0].as_py() == pytest.approx(np.mean(errors))
    page = Path(write_report(store, examples=6)).read_text()
    assert 'data-chart="grid"' in page
    assert "Confiden" not in page
    assert f"in the data {rows[0]['value']:.4g}, error" in page
    opened = ig_worker.open(str(tmp_path / "run"))
    assert opened.summary().error == pytest.approx(np.mean(errors))
    assert "no number in the data" in opened[2].html()
    assert write_comparison(store, store).change == 0


@pytest.mark.parametrize(
    "labels",
    [
        [["joy"], ["Anger", 2], None],
        ["joy", "anger, fear", None],
        np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]]),
        pd.Series([{0}, (1, 2), None]),
        pa.array([["joy"], ["anger", "fear"], None]),
    ],
    ids=["lists", "cells", "matrix", "pandas", "arrow"],
)
def test_a_notebook_takes_lists_of_labels_as_they_come(models: dict[str, Path], labels: object) -> None:
    found = ig_worker.explain(TEXTS[:3], model=models["labels"], labels=labels, threshold=0.4, **FAST)
    last = [] if isinstance(labels, np.ndarray) else None
    assert first_of_texts(found.table).column("labels").to_pylist() == [[0], [1, 2], last]
    assert "labels anger, fear" in found[1].html()
    told = found[0].html()
    for label in predicted_labels(found[0].probabilities, 0.4):
        assert NAMES[label] in told


def test_a_notebook_takes_numbers_and_refuses_what_is_none(models: dict[str, Path]) -> None:
    found = ig_worker.explain(TEXTS[:2], model=models["values"], labels=np.array([0.5, np.nan]), **FAST)
    assert found.table.column("value").to_pylist() == [0.5, None]
    assert "in the data 0.5, error " in found[0]._title()
    with pytest.raises(DataError, match="expected numbers such as"):
        ig_worker.explain(TEXTS[:2], model=models["values"], labels=["good", 1], **FAST)
    with pytest.raises(DataError, match="'sad'"):
        ig_worker.explain(TEXTS[:1], model=models["labels"], labels=[["sad"]], **FAST)
    with pytest.raises(UsageError, match="--threshold is 1"):
        ig_worker.explain(TEXTS[:1], model=models["labels"], threshold=1.0, **FAST)
