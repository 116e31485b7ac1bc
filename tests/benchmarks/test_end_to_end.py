"""Whole benchmarks on a few made-up reviews: nothing is timed, but they break where the library has changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import accuracy, ours, speed
from tests.tiny import WORDS

pytestmark = pytest.mark.heavy


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory like that of the real reviews, with forty short ones."""
    monkeypatch.setattr("ig_worker.models.runtime.configure", lambda _: None)  # this process has its threads
    words = [word for word in WORDS if word.isalpha()]
    random = np.random.default_rng(3)
    lists = np.empty(40, dtype=object)
    lists[:] = [[1, *(random.integers(4, 4 + len(words), n)).tolist()] for n in random.integers(3, 30, 40)]
    labels = np.arange(40) % 2
    np.savez(tmp_path / "imdb.npz", x_train=lists, y_train=labels, x_test=lists, y_test=labels)
    (tmp_path / "imdb_word_index.json").write_text(json.dumps({word: i + 1 for i, word in enumerate(words)}))
    return tmp_path


def test_the_study_of_accuracy_has_a_row_of_every_family(tiny_models, reviews: Path) -> None:
    model, out = tiny_models["distilbert"], reviews / "out"
    options = f"--reviews {reviews} --model {model} --rows 4 --offset 0 --pilot 3 --pilot-offset 10 --out {out}"
    assert accuracy.main(f"{options} --tolerance 0.02 --threads 1".split()) == 0
    (study,) = json.loads((out / "accuracy.json").read_text())["models"].values()
    records = {record["family"]: record for record in study["methods"]}
    assert records.keys() == accuracy.accuracy_report.FAMILIES.keys()
    assert records["hindsight"]["evaluations"]["mean"] <= records["always"]["evaluations"]["mean"]
    assert records["always"]["error"]["p99"] <= accuracy.TOLERANCE
    assert [row["pilot"]["rows"] for row in study["calibration"]] == [3, 3]


def test_a_race_ends_with_adaptive_and_tells_its_pilot(tiny_models, reviews: Path) -> None:
    model, out = tiny_models["bert"], reviews / "out"
    options = f"--no-base --reviews {reviews} --model {model} --model-count 2 --model-chunk 4 --rounds 1 --threads 1"
    extra = f"--pilot 0 --hindsight 4 --internal-batch 5 --packages {reviews / 'none'} --out {out}"
    assert speed.main(f"{options} {extra}".split()) == 0
    (records,) = json.loads((out / "speed.json").read_text())["tables"].values()
    assert records[-1]["name"] == ours.ADAPTIVE
    assert {record["accuracy"]["p99"] < 0.05 for record in records} == {True}
    assert sum(record["note"].startswith("best fixed") for record in records) == 1
