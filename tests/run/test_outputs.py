"""Whole runs of models that give several labels, or a number."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.explain import check_input
from ig_worker.run.steps.verify import verify_run
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
    result = explain_here(tmp_path / "run", config(data, model, target="3"))
    assert (result.explained, result.quarantined) == (3, 0)
    store = RunStore(str(tmp_path / "run"))
    rows = store.results.read(0)
    assert rows.column("target").to_pylist() == [3, 3, 3]
    assert all(len(row) == 28 for row in rows.column("probabilities").to_pylist())
    assert abs(sum(rows.column("probabilities").to_pylist()[0]) - 1) > 0.5
    assert rows.column("label").null_count == 3  # what the data says is of one class
    assert verify_run(store).faults == []
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["data"]["outputs"] == "labels"
    assert any("gives several labels at once for a text" in line for line in manifest["assumed"])


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
    from ig_worker.errors import RunMismatchError

    model = save_tiny_model(tmp_path / "m", "distilbert", num_labels=1)
    explain_here(tmp_path / "run", config(data, model, label_column=""))
    with pytest.raises(RunMismatchError, match="outputs: auto there, regression now"):
        explain_here(tmp_path / "run", config(data, model, label_column="", outputs="regression"))
