"""Several targets of a text, contrasts, and texts of several windows, from the chunk's file to the checks of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.notebook.open_run import Run
from ig_worker.models.files import find_model
from ig_worker.run.chunk import row_engine
from ig_worker.run.chunk.audit import audit_chunk
from ig_worker.run.chunk.recompute import differences, true_errors
from ig_worker.run.chunk.records import Binding
from ig_worker.run.chunk.row_engine import portions
from ig_worker.run.chunk.worker import ChunkWorker
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.steps.verify_rows import rows_faults, value_faults
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import explain_here
from tests.tiny import save_tiny_model

BINDING = Binding("print", 0)
TEXTS = ["good film", "a dull plot", "the acting was great and the end was not", "slowly joy", "so bad it is good"]
LONG = "the acting was great and the end was not a joy but the film is good"
CLASSES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    place = tmp_path_factory.mktemp("four") / "model"
    names = ("sad", "glad", "non-toxic", "mad")
    return str(save_tiny_model(place, "distilbert", id2label=dict(enumerate(names))))


def config_of(model: str, **settings: Any) -> ExplainConfig:
    return ExplainConfig(
        dataset="x", model=model, max_length=12, **{"method": "gausslegendre", "n_steps": 8, **settings}
    )


def chunk_of(texts: list[str]) -> pa.Table:
    rows = {
        "id": [f"r{i}" for i in range(len(texts))],
        "text": texts,
        "label": [i % CLASSES for i in range(len(texts))],
    }
    return pa.table(rows, schema=schema.INPUT)


def explained(model: str, place: Path, texts: list[str] = TEXTS, **settings: Any) -> tuple[RunStore, ChunkWorker]:
    store, worker = RunStore(str(place)), ChunkWorker(config_of(model, **settings), find_model(model))
    store.chunks.write(0, chunk_of(texts), {})
    record = worker.explain_chunk(store, 0, BINDING)
    assert (record.rows, record.explained, record.quarantined) == (len(texts), len(texts), 0)
    return store, worker


@pytest.fixture(scope="module")
def singles(model: str, tmp_path_factory) -> list[dict[str, dict[str, Any]]]:
    """The rows of each class by itself, by their ids."""
    found = []
    for number in range(CLASSES):
        store, _ = explained(model, tmp_path_factory.mktemp(f"one{number}"), target=str(number))
        found.append({row["id"]: row for row in store.results.read(0).to_pylist()})
    return found


def test_all_classes_are_a_row_each_by_their_likelihood_and_equal_single_ones(model, singles, tmp_path: Path) -> None:
    store, _ = explained(model, tmp_path, target="all")
    rows = store.results.read(0).to_pylist()
    assert len(rows) == CLASSES * len(TEXTS)
    assert store.results.read_commit(0).rows == len(TEXTS), "a commit counts texts"
    for start in range(0, len(rows), CLASSES):
        part = rows[start : start + CLASSES]
        assert len({row["id"] for row in part}) == 1
        assert [row["rank"] for row in part] == list(range(CLASSES))
        assert [row["target_probability"] for row in part] == sorted(part[0]["probabilities"], reverse=True)
        for row in part:
            one = singles[row["target"]][row["id"]]
            np.testing.assert_allclose(row["attributions"], one["attributions"], atol=1e-6)
            assert row["delta"] == pytest.approx(one["delta"], abs=1e-6)
            assert row["evaluations"] < 0.7 * one["evaluations"], "forward passes are shared"
        total = np.sum([row["attributions"] for row in part], axis=0)
        np.testing.assert_allclose(total, 0, atol=1e-6, err_msg="probabilities always add up to 1")


def test_the_likeliest_are_the_first_of_all(model: str, tmp_path: Path) -> None:
    every, _ = explained(model, tmp_path / "all", target="all")
    two, _ = explained(model, tmp_path / "two", target="top:2")
    wanted = [row for row in every.results.read(0).to_pylist() if row["rank"] < 2]
    found = two.results.read(0).to_pylist()
    assert [(row["id"], row["rank"], row["target"]) for row in found] == [
        (row["id"], row["rank"], row["target"]) for row in wanted
    ]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a["attributions"], b["attributions"], atol=1e-6)


@pytest.mark.parametrize("setting", ["non-toxic-mad", "predicted-second", "predicted-label", "label-0"])
def test_a_contrast_is_the_difference_of_two_classes(setting: str, model: str, singles, tmp_path: Path) -> None:
    store, _ = explained(model, tmp_path, target=setting)
    for row in store.results.read(0).to_pylist():
        order = np.argsort(-np.array(row["probabilities"]), kind="stable")
        sides = {"non-toxic": 2, "mad": 3, "predicted": order[0], "second": order[1], "label": row["label"], "0": 0}
        first, _, minus = setting.rpartition("-")
        assert (row["target"], row["contrast"]) == (sides[first], sides[minus])
        a, b = (singles[number][row["id"]] for number in (row["target"], row["contrast"]))
        wanted = np.array(a["attributions"]) - np.array(b["attributions"])
        np.testing.assert_allclose(row["attributions"], wanted, atol=1e-6)
        assert row["target_probability"] == pytest.approx(a["target_probability"] - b["target_probability"], abs=1e-6)


@pytest.mark.parametrize("settings", [{"target": "all"}, {"target": "mad-sad"}, {"target": "predicted-second"}])
@pytest.mark.parametrize("method", ["gausslegendre", "adaptive"])
def test_each_target_is_audited_with_alibi_and_recomputed(
    settings: dict[str, str], method: str, model: str, tmp_path: Path
) -> None:
    store, worker = explained(model, tmp_path, TEXTS[:3], method=method, n_steps=50, **settings)
    records = audit_chunk(worker, store, 0, 1.0)
    written = store.results.read(0).to_pylist()
    assert [(r["id"], r["target"], r["contrast"]) for r in records] == [
        (r["id"], r["target"], r["contrast"]) for r in written
    ]
    assert max(record["relative_l1"] for record in records) < 1e-4
    assert differences(worker, store, 0, BINDING) == [0.0] * len(written)
    if method == "adaptive":
        errors = true_errors(worker, store, 0, ["r0"])
        assert len(errors) == 2 * len(written) // 3
        assert all(error <= 2 * worker.config.tolerance for error, _ in errors)


@pytest.mark.parametrize(
    ("costs", "most", "wanted"),
    [
        ([], 5, []),
        ([1, 1, 1], 5, [3]),
        ([2, 3, 1, 4, 1], 5, [2, 2, 1]),
        ([9, 1, 9, 9], 5, [1, 1, 1, 1]),
        ([5, 5], 5, [1, 1]),
    ],
)
def test_rows_go_through_the_engine_in_portions(costs: list[int], most: int, wanted: list[int]) -> None:
    parts = portions(costs, most)
    assert [part.stop - part.start for part in parts] == wanted
    assert [cost for part in parts for cost in costs[part]] == costs


def test_a_chunk_of_many_targets_is_the_same_in_portions(model: str, tmp_path: Path, monkeypatch) -> None:
    whole, _ = explained(model, tmp_path / "whole", target="all")
    monkeypatch.setattr(row_engine, "PROBLEMS_AT_ONCE", 2 * CLASSES)
    parts, _ = explained(model, tmp_path / "parts", target="all")
    for a, b in zip(whole.results.read(0).to_pylist(), parts.results.read(0).to_pylist(), strict=True):
        assert (a["id"], a["target"], a["rank"]) == (b["id"], b["target"], b["rank"])
        np.testing.assert_allclose(a["attributions"], b["attributions"], atol=1e-6)


def test_rows_of_a_text_that_do_not_belong_together_are_found(model: str, tmp_path: Path) -> None:
    store, _ = explained(model, tmp_path, target="top:2")
    table, inputs = store.results.read(0), chunk_of(TEXTS)
    none = pa.Table.from_batches([], schema=schema.QUARANTINE)
    assert rows_faults(inputs, table, none, ()) == []
    assert value_faults(table) == []
    swapped = table.take([1, 0, *range(2, table.num_rows)])
    assert "do not follow each other by the ranks" in rows_faults(inputs, swapped, none, ())[0]
    missing = table.take([1, *range(2, table.num_rows)])
    assert "do not follow each other" in rows_faults(inputs, missing, none, ())[0]
    rows = table.to_pylist()
    rows[1] = {**rows[0], "rank": 1}
    twice = pa.Table.from_pylist(rows, schema=table.schema)
    assert value_faults(twice) == ["has 1 rows with a target that their text has twice, such as 'r0'"]
    rows[1] = {**table.to_pylist()[1], "target": 3 - rows[0]["target"] if rows[0]["target"] in (0, 3) else 0}
    wrong = pa.Table.from_pylist(rows, schema=table.schema)
    assert any("a value at the text that is not their target's" in fault for fault in value_faults(wrong))


def test_long_texts_are_the_mean_of_their_windows(model: str, tmp_path: Path) -> None:
    texts = [LONG, "good film", LONG + " and so on " * 9]
    store, worker = explained(model, tmp_path, texts, overflow="windows", stride=3, target="mad", n_steps=100)
    for row, parts in zip(store.results.read(0).to_pylist(), worker.reader.committed(store, 0), strict=True):
        assert row["windows"] == len(parts.paths)
        assert not row["truncated"]
        assert len(row["tokens"]) == len(row["attributions"])
        assert row["delta"] == pytest.approx(
            sum(row["attributions"]) - (row["target_probability"] - row["baseline_probability"]), abs=1e-6
        )
        assert abs(row["delta"]) < 1e-3, "complete for the whole text"
        outputs = worker.engines.forward.outputs([path.text for path in parts.paths])
        np.testing.assert_allclose(row["probabilities"], np.mean(outputs, axis=0), atol=1e-6)
        assert row["target_probability"] == pytest.approx(row["probabilities"][3], abs=1e-6)
    assert store.results.read(0, ["windows"]).column("windows").to_pylist()[0] == 2
    whole = worker.classifier.tokenizer(LONG).tokens()
    assert store.results.read(0, ["tokens"]).column("tokens")[0].as_py() == whole


@pytest.mark.parametrize("target", ["predicted", "all", "predicted-second"])
@pytest.mark.parametrize("method", ["gausslegendre", "adaptive"])
def test_what_is_predicted_of_a_long_text_is_by_all_of_its_windows(
    target: str, method: str, model: str, tmp_path: Path
) -> None:
    texts = [LONG, "good film", LONG + " and so on " * 5, "so bad"]
    store, worker = explained(
        model, tmp_path, texts, overflow="windows", stride=3, target=target, method=method, n_steps=50
    )
    rows = store.results.read(0).to_pylist()
    for row in rows:
        order = np.argsort(-np.array(row["probabilities"]), kind="stable")
        assert row["target"] == order[row["rank"]]
        assert row["prediction"] == order[0]
        assert row["contrast"] == (order[1] if target == "predicted-second" else None)
    records = audit_chunk(worker, store, 0, 1.0)
    assert len(records) == len(rows)
    assert max(record["relative_l1"] for record in records) < 1e-4
    assert differences(worker, store, 0, BINDING) == [0.0] * len(rows)
    assert value_faults(store.results.read(0)) == []


def test_a_text_that_fits_has_the_same_numbers_with_and_without_windows(model: str, tmp_path: Path) -> None:
    every = [explained(model, tmp_path / name, overflow=name)[0] for name in ("truncate", "windows")]
    assert every[0].results.read(0).equals(every[1].results.read(0))


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory) -> str:
    words = "good film a dull plot the acting was great and the end was not joy slowly bad it is".split()
    random = np.random.default_rng(5)
    texts = [" ".join(random.choice(words, int(random.integers(2, 30)))) for _ in range(40)]
    place = tmp_path_factory.mktemp("rows") / "rows.csv"
    place.write_text("text,label\n" + "".join(f"{text},{i % CLASSES}\n" for i, text in enumerate(texts)))
    return str(place)


@pytest.mark.parametrize("settings", [{"target": "top:3"}, {"overflow": "windows"}, {"target": "sad-mad"}])
def test_a_run_with_a_pilot_is_whole_and_gives_the_same_rows_when_it_goes_on(
    settings: dict[str, str], model: str, rows_file: str, tmp_path: Path
) -> None:
    config = replace(
        config_of(model, method="adaptive", n_steps=50, **settings),
        dataset=rows_file, chunk_rows=15, pilot="12", batch_tokens=512,
    )  # fmt: skip
    each = 3 if "top:3" in settings.values() else 1
    result = explain_here(tmp_path / "run", config)
    assert (result.explained, result.quarantined) == (40, 0)
    store = RunStore(str(tmp_path / "run"))
    assert verify_run(store).faults == []
    kept = bool(store.manifest.existing()["identity"]["pilot_digest"])
    assert kept == (each == 1), "a pilot explains one target of each of its rows"
    before = [table.to_pylist() for table in store.results.each()]
    assert [len({row["id"] for row in rows}) for rows in before] == [15, 15, 10]
    assert [len(rows) for rows in before] == [15 * each, 15 * each, 10 * each]
    (tmp_path / "run" / "attributions" / "chunk-00001.parquet").unlink()
    assert explain_here(tmp_path / "run", config).explained == 40
    assert [table.to_pylist() for table in store.results.each()] == before


def test_an_opened_run_shows_the_targets_of_a_text_together(model: str, rows_file: str, tmp_path: Path) -> None:
    config = replace(config_of(model, target="top:2"), dataset=rows_file, chunk_rows=9)
    explain_here(tmp_path / "run", config)
    run = Run(str(tmp_path / "run"))
    assert len(run) == 40
    assert run.to_arrow().num_rows == 80
    texts = list(run)
    assert [text.id for text in texts] == [run[i].id for i in range(40)]
    assert run[texts[17].id].row == texts[17].row == run[17].row
    assert [one.rank for one in run[-1].targets] == [0, 1]
    assert run[-1].targets[1].id == run[-1].id
    assert run[-1].html().count("line-height") == 2
    assert repr(run[0]).startswith(f"<predicted {run[0].labels[run[0].prediction]}")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> str:
    """A model of six labels that do not exclude each other."""
    place = tmp_path_factory.mktemp("labels") / "model"
    return str(save_tiny_model(place, "bert", num_labels=6, problem_type="multi_label_classification"))


def chunk_of_labels(labels: list[list[int] | None]) -> pa.Table:
    rows = {"id": [f"r{i}" for i in range(len(labels))], "text": TEXTS[: len(labels)], "labels": labels}
    return pa.table({**rows, "label": [None] * len(labels)}, schema=schema.inputs(outputs=schema.LABELS))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.999])
@pytest.mark.parametrize("settings", [{}, {"overflow": "windows", "max_length": 5, "stride": 1}])
def test_each_predicted_label_is_a_target_and_the_likeliest_where_there_is_none(
    settings: dict[str, Any], threshold: float, labelled: str, tmp_path: Path
) -> None:
    store = RunStore(str(tmp_path))
    config = replace(config_of(labelled), threshold=threshold, **settings)
    worker = ChunkWorker(config, find_model(labelled))
    store.chunks.write(0, chunk_of_labels([[0], [], None, [1, 2], [5]]), {})
    record = worker.explain_chunk(store, 0, BINDING)
    assert (record.explained, record.labelled) == (5, 4)
    rows = store.results.read(0).to_pylist()
    for id in dict.fromkeys(row["id"] for row in rows):
        part = [row for row in rows if row["id"] == id]
        probabilities = np.array(part[0]["probabilities"], np.float32)
        order = np.argsort(-probabilities, kind="stable")
        predicted = [int(number) for number in order if probabilities[number] >= np.float32(threshold)]
        assert [row["target"] for row in part] == (predicted or [int(order[0])])
        assert [row["rank"] for row in part] == list(range(len(part)))
    assert value_faults(store.results.read(0), schema.LABELS) == []
    assert max(record["relative_l1"] for record in audit_chunk(worker, store, 0, 1.0)) < 1e-4
    assert differences(worker, store, 0, BINDING) == [0.0] * len(rows)


def test_each_label_of_the_data_is_a_target(labelled: str, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    worker = ChunkWorker(replace(config_of(labelled), target="label"), find_model(labelled))
    store.chunks.write(0, chunk_of_labels([[0], [], None, [1, 2, 4], [5]]), {})
    worker.explain_chunk(store, 0, BINDING)
    rows = store.results.read(0).to_pylist()
    assert [(row["id"], row["rank"], row["target"]) for row in rows] == [
        ("r0", 0, 0), ("r3", 0, 1), ("r3", 1, 2), ("r3", 2, 4), ("r4", 0, 5),
    ]  # fmt: skip
    assert store.results.quarantined().column("reason").to_pylist() == ["bad_label", "bad_label"]


def test_a_notebook_shows_a_line_for_each_target_and_gives_alibi_each(model: str) -> None:
    found = ig_worker.explain(
        ["good film", "", "a dull plot"], model=model, targets="all", method="gausslegendre", n_steps=6, max_length=12,
        layer="block:1", keep_hidden=True, gpus_per_actor=0.0,
    )  # fmt: skip
    assert len(found) == 2
    assert found.table.num_rows == 2 * CLASSES
    assert list(found.failures) == [1]
    for text in found:
        assert len(text.targets) == CLASSES
        assert text.html().count("line-height") == CLASSES
        assert "4 targets" in repr(text)
    for rank in range(CLASSES):
        alibi = found.to_alibi(rank)
        wanted = [text.targets[rank] for text in found]
        assert alibi.data["target"].tolist() == [one.target for one in wanted]
        for array, one in zip(alibi.attributions[0], wanted, strict=True):
            np.testing.assert_allclose(array.sum(axis=-1)[: len(one.attributions)], one.attributions, atol=1e-6)
    with pytest.raises(UsageError, match="target is 'label' with targets 'all'"):
        ig_worker.explain(["good"], model=model, target="label", targets="all")
