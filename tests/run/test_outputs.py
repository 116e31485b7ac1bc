"""Whole runs of models that give several labels, or a number."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ig_worker import schema
from ig_worker.errors import RunMismatchError
from ig_worker.explain.predicted import predicted_labels
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.explain import check_input
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.steps.verify_rows import rows_faults
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import explain_here
from tests.tiny import save_tiny_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    texts = ["the film was great", "a dull plot", "not very good , but joy"]
    pq.write_table(pa.table({"text": texts, "label": [1, 0, 1]}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def config(data: Path, model: Path, **more) -> ExplainConfig:
    return ExplainConfig(
        dataset=str(data), model=str(model), max_length=16, method="gausslegendre", n_steps=20, actors="1",
        gpus_per_actor=0.0, **more,
    )  # fmt: skip


def test_a_model_of_several_labels_runs_and_verifies(tmp_path: Path, data: Path) -> None:
    model = save_tiny_model(tmp_path / "m", "bert", num_labels=28, problem_type="multi_label_classification")
    rows = pq.read_table(data).column("text").to_pylist()
    pq.write_table(pa.table({"text": rows, "label": [["label_1", "3"], [], None]}), data)
    result = explain_here(tmp_path / "run", config(data, model, target="3"))
    assert (result.explained, result.quarantined) == (3, 0)
    store = RunStore(str(tmp_path / "run"))
    rows = store.results.read(0)
    assert rows.column("target").to_pylist() == [3, 3, 3]
    assert all(len(row) == 28 for row in rows.column("probabilities").to_pylist())
    assert abs(sum(rows.column("probabilities").to_pylist()[0]) - 1) > 0.5
    assert rows.schema.remove_metadata().equals(schema.attributions(outputs=schema.LABELS))
    assert rows.column("label").null_count == 3
    assert rows.column("labels").to_pylist() == [[1, 3], [], None]
    assert store.chunks.read(0)[0].column("labels").to_pylist() == [[1, 3], [], None]
    predicted = predicted_labels(rows.column("probabilities").to_pylist()[0])
    assert (result.totals.labelled, result.totals.correct) == (2, 0)
    assert predicted
    assert verify_run(store).faults == []
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["data"]["outputs"] == "labels"
    assert manifest["identity"]["threshold"] == 0.5
    with pytest.raises(RunMismatchError, match=r"threshold: 0\.5 there, 0\.3 now"):
        explain_here(tmp_path / "run", config(data, model, target="3", threshold=0.3))


@pytest.mark.parametrize(("outputs", "said"), [(schema.LABELS, [[1], [], None]), (schema.VALUES, [1.0, 2.0, None])])
def test_other_labels_than_those_of_the_data_are_found(outputs: str, said: list) -> None:
    name = schema.TRUTHS[outputs].name
    rows = pa.table(
        {
            "id": list("abc"),
            "label": pa.nulls(3, pa.int32()),
            "rank": pa.array([0, 0, 0], pa.int32()),
            name: pa.array(said, schema.TRUTHS[outputs].type),
        }
    )
    none = schema.QUARANTINE.empty_table()
    assert rows_faults(rows, rows, none, ()) == []
    turned = rows.take([1, 0, 2]).set_column(0, "id", rows.column("id"))
    assert rows_faults(rows, turned, none, ()) == ["has other labels than its input chunk"]


def test_a_regression_keeps_the_numbers_of_the_data(tmp_path: Path, data: Path) -> None:
    model = save_tiny_model(tmp_path / "m", "distilbert", num_labels=1)
    texts = pq.read_table(data).column("text").to_pylist()
    pq.write_table(pa.table({"text": texts, "label": [-1.0, None, 2.5]}), data)
    result = explain_here(tmp_path / "run", config(data, model, outputs="regression"))
    store = RunStore(str(tmp_path / "run"))
    rows = store.results.read(0)
    assert rows.schema.remove_metadata().equals(schema.attributions(outputs=schema.VALUES))
    assert rows.column("value").to_pylist() == [-1.0, None, 2.5]
    assert rows.column("label").null_count == 3
    assert verify_run(store).faults == []
    assert not any(line.startswith("accuracy") for line in result.lines())
    assert "threshold" not in json.loads((tmp_path / "run" / "run.json").read_text())["identity"]
    told = check_input(config(data, model, outputs="regression")).lines()
    assert any(line.startswith("labels") and "2 numbers from -1 to 2.5" in line for line in told)


def test_several_numbers_leave_the_label_of_the_data_aside(tmp_path: Path, data: Path) -> None:
    model = save_tiny_model(tmp_path / "m", "distilbert", num_labels=3, problem_type="regression")
    found = check_input(config(data, model, target="1"))
    assert any("gives 3 numbers for a text; what the data says of it is left aside" in line for line in found.lines())


def test_many_classes_without_a_problem_type_say_what_was_assumed(tmp_path: Path, data: Path) -> None:
    model = save_tiny_model(tmp_path / "m", "distilbert", num_labels=6)
    (line,) = [one for one in check_input(config(data, model)).lines() if "no problem_type" in one]
    assert line.startswith("assumed")
    assert "6 classes are taken to exclude each other; --outputs multi-label gives each" in line
    for outputs in ("single-label", "multi-label"):
        assert not any("no problem_type" in one for one in check_input(config(data, model, outputs=outputs)).lines())
    said = save_tiny_model(tmp_path / "s", "distilbert", num_labels=6, problem_type="single_label_classification")
    few = save_tiny_model(tmp_path / "f", "distilbert", num_labels=5)
    for other in (said, few):
        assert not any("no problem_type" in one for one in check_input(config(data, other)).lines())


def test_a_single_logit_says_what_was_assumed_and_how_to_change_it(tmp_path: Path, data: Path, capsys) -> None:
    model = save_tiny_model(tmp_path / "m", "distilbert", num_labels=1)
    found = check_input(config(data, model))
    (line,) = [one for one in found.lines() if "one logit" in one]
    assert "--outputs regression explains the number itself" in line
    assert "rows below 0.5 are explained for class 0 (--target 1: none)" in line
    assert not any("for class 0" in one for one in check_input(config(data, model, target="1")).lines())
    told = check_input(config(data, model, outputs="single-label"))
    assert not any("one logit" in one for one in told.lines())
    (value,) = [one for one in check_input(config(data, model, outputs="regression")).lines() if "by its value" in one]
    assert "LABEL_0" in value


def test_the_outputs_are_part_of_what_a_run_is(tmp_path: Path, data: Path) -> None:
    model = save_tiny_model(tmp_path / "m", "distilbert", num_labels=1)
    explain_here(tmp_path / "run", config(data, model, label_column=""))
    with pytest.raises(RunMismatchError, match="outputs: None there, values now"):
        explain_here(tmp_path / "run", config(data, model, label_column="", outputs="regression"))
