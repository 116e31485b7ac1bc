"""All findings of a stored run: what is written, read again, told and held against the run."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.insight.findings.check import checked, told
from ig_worker.insight.findings.find import ANNOTATION_FILE, TABLE, current_findings, find
from ig_worker.insight.findings.finding import (
    CONTRADICTION,
    DRIFT,
    LABEL_ERROR,
    SCHEMA,
    SLICE,
    Finding,
    from_table,
    ranked,
    to_table,
)
from ig_worker.insight.findings.gather import gather
from ig_worker.run.store.run_store import RunStore
from jobs.findings import main
from tests.insight.conftest import make_quarantine, make_row, make_table
from tests.insight.planted_runs import Planted, labels_of, plain_texts

Build = Callable[..., RunStore]
NAMES = {"class_names": ["negative", "positive"]}


def a_table(**columns: Any) -> pa.Table:
    """800 texts, of which every tenth is labelled wrongly, and twenty stand there twice."""
    texts = plain_texts(780, words=(40, 80))
    label = labels_of(texts, noise=0.1)
    label[::10] = 1 - label[::10]
    texts += [list(words) for words in texts[:20]]
    both = np.append(label, labels_of(texts[780:], noise=0.1)).astype(np.int32)
    return Planted(texts, both, noise=0.3).table(**columns)


@pytest.fixture
def store(build: Build) -> RunStore:
    rows = a_table().to_pylist()
    return build(rows[:300], rows[300:], quarantined=make_quarantine(2), data=NAMES)


@pytest.fixture
def empty(build: Build) -> RunStore:
    return build([make_row(id=f"r{i}") for i in range(5)], data=NAMES)


def test_what_is_found_is_written_and_read_again(store: RunStore, tmp_path: Path) -> None:
    assert current_findings(store) is None
    found = find(store)
    assert {LABEL_ERROR, CONTRADICTION} <= {one.kind for one in found}
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    costs = [one.cost for one in found]
    assert costs == sorted(costs, reverse=True)
    assert current_findings(store) == found
    table = store.aggregates.read(TABLE)
    assert table.num_rows == len(found)
    assert table.column("texts").to_pylist() == [len(one.ids) for one in found]
    assert (tmp_path / "run/aggregates/findings.parquet").exists()


def test_annotators_get_a_file_of_the_suspect_labels(store: RunStore, tmp_path: Path) -> None:
    found = find(store)
    with open(tmp_path / "run" / ANNOTATION_FILE, newline="") as file:
        suspects = {row["id"] for row in csv.DictReader(file)}
    assert suspects == {id for one in found if one.kind == LABEL_ERROR for id in one.ids}
    assert len(suspects & {f"t{row:06d}" for row in range(0, 780, 10)}) > 0.7 * 78


def test_findings_of_a_run_that_has_grown_are_not_current(store: RunStore) -> None:
    find(store)
    store.results.commit(2, make_table([make_row(id="z")]), make_quarantine(0), "f00d")
    assert current_findings(store) is None


def test_findings_of_another_explanation_are_not_current(store: RunStore) -> None:
    find(store)
    store.manifest.write({"fingerprint": "beef", "data": NAMES})
    assert current_findings(store) is None


def test_a_table_gives_back_what_it_was_made_of() -> None:
    one = Finding(SLICE, "a", "b", "c", 2.5, -0.25, "m", ("x", "y"), -0.5, -0.125, 0.01, ("mark",), ["1 + 1 = 2"])
    bare = Finding(DRIFT, "", "", "", 7.0, 0.0, "", [])
    findings = ranked([one, bare])
    assert [found.number for found in findings] == [1, 2]
    table = to_table(findings)
    assert table.schema.equals(SCHEMA)
    again = from_table(table)
    assert again == findings
    assert to_table(again).equals(table)
    assert from_table(to_table([])) == []


def test_a_finding_is_shown_with_its_arithmetic_and_its_texts(store: RunStore) -> None:
    found = next(one for one in find(store) if one.subject == "equal texts, other labels")
    lines = list(checked(store, found, 3))
    shown = " ".join(" ".join(lines).split())
    assert lines[0] == f"{found.number:>3}  contradiction  {found.title}  (cost {found.cost:.0f})"
    for line in [found.sentence, *found.arithmetic]:
        assert " ".join(line.split()) in shown
    assert f"texts (3 of {len(found.ids)})" in lines
    assert found.ids == ["t000000", "t000780", "t000010", "t000790"]  # each tenth is labelled wrongly, its copy rightly
    rows = {row["id"]: row for row in a_table().to_pylist()}
    for id in found.ids[:3]:
        assert any(line.startswith(f"     {id}: ") for line in lines)
        assert " ".join(rows[id]["tokens"][1:9]) in shown
    assert found.ids[3] not in " ".join(lines[lines.index(f"texts (3 of {len(found.ids)})") :])


def test_a_text_that_is_no_longer_there_is_said_to_be_missing(store: RunStore) -> None:
    lines = list(checked(store, Finding(DRIFT, "a", "b", "c", 1, 0, "m", ["t000000", "gone"]), 5))
    assert lines[-1] == "     gone: not in this run"


def test_a_run_as_an_object_has_its_findings(store: RunStore, tmp_path: Path) -> None:
    place = str(tmp_path / "run")
    found = ig_worker.open(place).findings  # found now
    assert found == current_findings(store)
    assert ig_worker.open(place).findings == found  # read
    assert repr(found) == "\n".join(told(found))
    assert found._repr_html_().count("<li>") == len(found)


def test_the_job_tells_what_costs_most_first(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "run")
    assert main([place]) == 0
    found = current_findings(store) or []
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if re.match(r" {0,2}\d+  \w", line)]
    assert [int(head.split()[0]) for head in heads] == [one.number for one in found]
    assert lines[-1].startswith("table: ")
    assert lines[-1].endswith("aggregates/findings.parquet")
    assert main([place, "--check", "1", "--texts", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == list(checked(store, found[0], 3))
    assert main([place, "--kind", CONTRADICTION]) == 0
    own = [one for one in found if one.kind == CONTRADICTION]
    assert capsys.readouterr().out.splitlines()[:-1] == list(told(own))


@pytest.mark.parametrize("number", ["99", "0", "-1"])
def test_a_finding_that_there_is_not_is_an_error_in_one_line(
    number: str, store: RunStore, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(find(store))
    assert main([store.place, "--check", number]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert f"there is no finding {number}" in err
    assert f"1 to {count}" in err


def test_since_an_earlier_run_the_job_tells_what_has_changed(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = RunStore(str(shutil.copytree(tmp_path / "run", tmp_path / "earlier")))
    rows = a_table().to_pylist()
    for row in rows[:200]:
        row["label"] = row["prediction"]
        row["prediction"] = row["target"] = 1 - row["prediction"]
        row["probabilities"] = row["probabilities"][::-1]
    store.results.commit(0, make_table(rows[:300]), make_quarantine(0), "f00d")
    assert main([store.place, "--since", earlier.place]) == 0
    found = current_findings(store) or []
    drifts = [one for one in found if one.kind == DRIFT]
    assert drifts
    out = capsys.readouterr().out
    assert all(one.title in out for one in drifts)
    assert main([store.place, "--since", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err.strip().splitlines()[-1]


def test_of_a_run_without_anything_nothing_is_told(empty: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([empty.place]) == 0
    assert capsys.readouterr().out.startswith("nothing holds up")
    assert current_findings(empty) == []
    assert main([empty.place, "--check", "1"]) == 1
    assert "there is no finding 1" in capsys.readouterr().err
    assert ig_worker.open(empty.place).findings == []


def test_a_kept_column_may_be_called_as_one_of_the_corpus(build: Build) -> None:
    """As the demo's is."""
    table, kept = a_table(), ["short", "long"] * 400
    store = build(data=NAMES)
    table = table.append_column("length", pa.array(kept)).append_column("total", pa.array([1.5] * 800))
    for index, part in enumerate((table.slice(0, 300), table.slice(300))):
        store.results.commit(index, part, make_quarantine(0), "f00d")
    assert schema.kept_in(table.schema) == ["length", "total"]
    corpus = gather(store)
    assert list(corpus.kept) == ["length", "total"]
    assert corpus.texts.column("kept.length").to_pylist() == kept
    assert corpus.numbers("length").tolist() == [len(tokens) - 2 for tokens in table.column("tokens").to_pylist()]
    found = find(store)
    assert current_findings(store) == found
    assert all("".join(checked(store, one, 2)) for one in found)
