"""Fabricated runs, written through RunStore as a real run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.run.store.run_store import RunStore

Row = dict[str, Any]


def make_row(text: str = "[CLS] good [SEP]", attributions: list[float] | None = None, **changes: Any) -> Row:
    """A row of schema.ATTRIBUTIONS; the tokens in `text` are separated by spaces, those in brackets are special."""
    pieces = text.split()
    word_ids: list[int] = []
    for piece in pieces:
        last = max(word_ids, default=-1)
        word_ids.append(-1 if piece.startswith("[") else last if piece.startswith("##") else last + 1)
    row = {
        "id": "a",
        "label": 1,
        "prediction": 1,
        "target": 1,
        "contrast": None,
        "rank": 0,
        "probabilities": [0.25, 0.75],
        "target_probability": 0.75,
        "baseline_probability": 0.5,
        "tokens": pieces,
        "input_ids": list(range(len(pieces))),
        "word_ids": word_ids,
        "attributions": attributions if attributions is not None else [0.1] * len(pieces),
        "delta": 0.001,
        "error_estimate": None,
        "evaluations": 8.0,
        "status": "fixed",
        "truncated": False,
        "windows": 1,
    }
    return {**row, **changes}


def make_rows(count: int, seed: int = 0, classes: int = 2) -> list[Row]:
    """Random rows with every case that the tables distinguish: no label, each status, repeats, other targets."""
    random = np.random.default_rng(seed)
    vocabulary = ["good", "bad", "##ly", "film", "the", "ünï", "[UNK]"]
    rows = []
    for i in range(count):
        words = random.choice(vocabulary, int(random.integers(0, 9)))
        tokens = " ".join(["[CLS]", *words, "[SEP]"])
        probabilities = random.dirichlet(np.ones(classes)).astype(np.float32)
        status = str(random.choice(["fixed", "converged", "evaluation_limit"]))
        rows.append(
            make_row(
                tokens,
                random.normal(0, 0.1, len(words) + 2).astype(np.float32).tolist(),
                id=f"row-{i}",
                label=None if random.random() < 0.2 else int(random.integers(classes)),
                prediction=int(np.argmax(probabilities)),
                target=int(random.integers(classes)),
                probabilities=probabilities.tolist(),
                delta=float(np.float32(random.normal(0, 0.01))),
                error_estimate=None if status == "fixed" else float(np.float32(random.random())),
                evaluations=float(random.integers(4, 64)),
                status=status,
                truncated=bool(random.random() < 0.3),
            )
        )
    return rows


def make_table(rows: list[Row]) -> pa.Table:
    columns = {name for row in rows for name in row}
    return pa.Table.from_pylist(rows, schema=schema.attributions(outputs=schema.outputs_in(columns)))


def make_labelled_rows(count: int, labels: int = 3, seed: int = 0) -> list[Row]:
    """Random rows of a model of several labels: some of which nothing is known, some to which no label applies."""
    random = np.random.default_rng(seed)
    rows = make_rows(count, seed)
    for row in rows:
        probabilities = random.random(labels).astype(np.float32)
        true = random.random(labels) < 0.4
        target = int(random.integers(labels))
        row |= {
            "label": None,
            "labels": None if random.random() < 0.2 else np.flatnonzero(true).tolist(),
            "prediction": int(probabilities.argmax()),
            "target": target,
            "probabilities": probabilities.tolist(),
            "target_probability": float(probabilities[target]),
        }
    return rows


def make_valued_rows(count: int, seed: int = 0) -> list[Row]:
    """Random rows of a regression, a few without a number in the data."""
    random = np.random.default_rng(seed)
    rows = make_rows(count, seed)
    for row in rows:
        said, value = (float(np.float32(random.normal(2, 1))) for _ in range(2))
        row |= {"label": None, "value": None if random.random() < 0.2 else value, "prediction": 0, "target": 0}
        row |= {"probabilities": [said], "target_probability": said}
    return rows


def make_quarantine(count: int, **changes: Any) -> pa.Table:
    row = {"id": "q", "chunk": 0, "label": None, "reason": "empty_text", "detail": "no words", "traceback": None}
    return pa.Table.from_pylist([{**row, "position": i, **changes} for i in range(count)], schema=schema.QUARANTINE)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., RunStore]:
    """build(rows of chunk 0, rows of chunk 1, ..., quarantined=..., **run.json) makes a run."""

    def build_run(*chunks: list[Row], quarantined: pa.Table | None = None, **manifest: Any) -> RunStore:
        store = RunStore(str(tmp_path / "run"))
        store.manifest.write({"fingerprint": "f00d", **manifest})
        for index, rows in enumerate(chunks):
            texts = [{"id": row["id"], "text": " ".join(row["tokens"]), "label": row["label"]} for row in rows]
            store.chunks.write(index, pa.Table.from_pylist(texts, schema=schema.INPUT), {})
            bad = quarantined if quarantined is not None and index == 0 else make_quarantine(0)
            store.results.commit(index, make_table(rows), bad, "f00d")
        return store

    return build_run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., RunStore]:
    """Makes runs with texts; see `export_runs.writer`."""
    from tests.insight.export_runs import writer

    return writer(tmp_path)


@pytest.fixture(scope="session")
def row() -> Callable[..., Row]:
    return make_row


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[Row]]:
    return make_rows


@pytest.fixture(scope="session")
def table() -> Callable[[list[Row]], pa.Table]:
    return make_table


@pytest.fixture(scope="session")
def quarantine() -> Callable[..., pa.Table]:
    return make_quarantine


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Chromium for all tests; a test that needs it is skipped where there is none."""
    from tests import browser

    if reason := browser.missing():
        pytest.skip(reason)
    with browser.browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started
