"""Exports hold exactly the rows of their run, in formats that other tools read."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.insight.export import hf
from ig_worker.insight.export.run_rows import HIDDEN, RunRows
from ig_worker.insight.export.write import FORMATS, write_export
from tests.insight.export_runs import (
    Write,
    a_row,
    as_table,
    expected,
    float32,
    names_of,
    place_of,
    read_csv,
    read_hf,
    read_jsonl,
    read_lit,
    rows_of,
    two_targets,
)


@pytest.mark.parametrize("outputs", schema.OUTPUTS)
def test_jsonl_and_hf_hold_every_column_of_the_run_exactly(write: Write, outputs: str) -> None:
    rows = rows_of(outputs)
    store = write(rows[:10], rows[10:], class_names=names_of(outputs))
    write_export(store, "jsonl")
    write_export(store, "hf")
    told = expected(store)
    assert as_table(read_jsonl(store), told).equals(told)
    assert read_hf(store).cast(told.schema).equals(told)
    assert read_jsonl(store)[0]["class_names"] == names_of(outputs)


@pytest.mark.parametrize("outputs", schema.OUTPUTS)
def test_lit_has_a_spec_that_fits_the_examples(write: Write, outputs: str) -> None:
    rows, names = rows_of(outputs), names_of(outputs)
    store = write(rows[:10], rows[10:], class_names=names)
    write_export(store, "lit")
    examples, spec = read_lit(store)
    for example, row in zip(examples, expected(store).to_pylist(), strict=True):
        data = example["data"]
        assert data.keys() == spec.keys()
        assert example["id"] == f"{row['id']}#0"
        assert (data["id"], data["text"], data["tokens"]) == (row["id"], row["text"], row["tokens"])
        assert data["token_salience"]["tokens"] == row["tokens"]
        assert float32(data["token_salience"]["salience"]) == row["attributions"]
        assert data["target"] == names[row["target"]]
        for name, entry in spec.items():
            assert entry.get("required", True) is False or data[name] is not None
            if data[name] is not None and "min_val" in entry:
                assert entry["min_val"] <= float32(data[name]) <= entry["max_val"]
    kinds = {name: entry["__name__"] for name, entry in spec.items()}
    told = {
        schema.CLASSES: {"label": "CategoryLabel", "probabilities": "MulticlassPreds"},
        schema.LABELS: {"labels": "SparseMultilabel", "probabilities": "SparseMultilabelPreds"},
        schema.VALUES: {"value": "Scalar", "prediction": "RegressionScore"},
    }[outputs]
    assert (
        kinds.items() >= {"text": "TextSegment", "tokens": "Tokens", "token_salience": "TokenSalience", **told}.items()
    )


@pytest.mark.parametrize("outputs", schema.OUTPUTS)
def test_the_datasets_library_reads_what_we_write(write: Write, outputs: str) -> None:
    datasets = pytest.importorskip(
        "datasets", reason="the datasets library is not installed: it wants a newer huggingface-hub than transformers"
    )
    rows = rows_of(outputs)
    store = write(rows[:10], rows[10:], class_names=names_of(outputs))
    write_export(store, "hf")
    found = datasets.load_from_disk(str(place_of(store, "hf")))
    assert found.data.table.cast(expected(store).schema).equals(expected(store))
    features = found.features
    assert features["attributions"].feature == features["delta"] == datasets.Value("float32")
    assert features["tokens"].feature == features["text"] == datasets.Value("string")
    named = {name for name, kind in features.items() if getattr(kind, "names", None) == names_of(outputs)}
    told = {"prediction", "target", "contrast"} if outputs != schema.VALUES else set()
    assert named == told | ({"label"} if outputs == schema.CLASSES else set())
    if outputs == schema.LABELS:
        assert features["labels"].feature.names == names_of(outputs)


def test_an_export_is_a_data_set_for_our_own_jobs(write: Write) -> None:
    store = write(
        [a_row(id="a", text="one", label=1), a_row(id="b", text="two", label=None)], class_names=["no", "yes"]
    )
    write_export(store, "hf")
    found = open_documents(DataSpec(str(place_of(store, "hf"))))
    assert found.class_names == ("no", "yes")
    assert found.first(2) == [("one", None, 1), ("two", None, None)]


def test_features_are_those_of_the_columns(write: Write) -> None:
    store = write([a_row(pair="b", segments=[-1, 0, -1])], class_names=["no", "no"])
    write_export(store, "hf")
    found = json.loads((place_of(store, "hf") / "dataset_info.json").read_text())["features"]
    stored = read_hf(store).schema
    assert list(found) == stored.names
    assert {name for name in stored.names if stored.field(name).type == pa.int64()} == {
        name for name, feature in found.items() if feature["_type"] == "ClassLabel"
    }
    assert json.loads(stored.metadata[b"huggingface"])["info"]["features"] == found
    assert found["label"] == found["contrast"] == {"names": ["no", "no (1)"], "_type": "ClassLabel"}
    assert found["probabilities"] == {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"}
    assert found["truncated"] == {"dtype": "bool", "_type": "Value"}
    assert found["rank"] == {"dtype": "int32", "_type": "Value"}


def test_a_text_has_a_row_for_each_target_and_each_has_the_text(write: Write) -> None:
    store = write([*two_targets("a", text="one"), *two_targets("b", text="two")], class_names=["no", "yes"])
    for format in FORMATS:
        assert write_export(store, format).written.rows == 4
    assert read_hf(store).column("text").to_pylist() == ["one", "one", "two", "two"]
    assert [(row["id"], row["target_name"], row["contrast_name"]) for row in read_jsonl(store)] == [
        ("a", "yes", None),
        ("a", "no", "yes"),
        ("b", "yes", None),
        ("b", "no", "yes"),
    ]
    assert [cell["contrast_name"] for cell in read_csv(store)] == ["", "yes"] * 2
    assert [example["id"] for example in read_lit(store)[0]] == ["a#0", "a#1", "b#0", "b#1"]


def test_pairs_have_both_texts(write: Write) -> None:
    row = a_row(id="a", text="one", pair="=two", segments=[-1, 0, -1])
    store = write([row])
    for format in FORMATS:
        write_export(store, format)
    assert read_hf(store).column_names[:3] == ["id", "text", "pair"]
    assert read_jsonl(store)[0]["pair"] == "=two"
    assert read_jsonl(store)[0]["segments"] == [-1, 0, -1]
    assert read_csv(store)[0]["pair"] == "'=two"
    examples, spec = read_lit(store)
    assert (examples[0]["data"]["pair"], spec["pair"]["__name__"]) == ("=two", "TextSegment")


def test_hidden_attributions_are_in_hf_and_jsonl_only(write: Write) -> None:
    kept = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]
    store = write([a_row(hidden_attributions=kept)], hidden=2)
    for format in FORMATS:
        write_export(store, format)
    assert read_jsonl(store)[0][HIDDEN] == kept
    assert read_hf(store).column(HIDDEN).to_pylist()[0] == [float32(pair) for pair in kept]
    assert hf.features(RunRows(store).shape)[HIDDEN]["feature"]["length"] == 2
    assert HIDDEN not in read_csv(store)[0]
    assert HIDDEN not in read_lit(store)[0][0]["data"]
