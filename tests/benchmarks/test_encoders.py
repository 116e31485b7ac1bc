"""The race of the encoders: which networks it makes, and its table; nothing here is timed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ig_worker.explain.problems import Problem
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.inputs import ModelInput, behind_padding
from ig_worker.models.shape import read_shape
from tests.benchmarks import encoders
from tests.benchmarks.encoder_networks import BLOCKS, HIDDEN, LONGEST, RACED, config_of, title_of
from tests.benchmarks.workload import load_documents, save_documents
from tests.models.kinds import KINDS


class Words(SimpleNamespace):
    pad_token_id = 0

    def __len__(self) -> int:
        return 300


@pytest.mark.parametrize("kind", RACED)
def test_each_network_is_one_that_is_explained_and_reads_the_longest_text(kind: str) -> None:
    shape = read_shape(config_of(kind, Words()))
    assert (shape.blocks, shape.hidden, shape.vocabulary) == (BLOCKS, HIDDEN, 300)
    assert shape.longest >= LONGEST


def test_every_encoder_is_raced() -> None:
    raced = {KINDS[kind]["model_type"] for kind in RACED}
    assert ENCODERS.keys() - raced == {"camembert"}, "which is RoBERTa in all but its name"
    assert len({title_of(kind) for kind in RACED}) == len(RACED)


def test_documents_keep_the_positions_of_their_texts(tmp_path: Path) -> None:
    ids = np.array([2, 5, 6, 3], np.int32)
    text = ModelInput.single(ids, counting=lambda ids: behind_padding(ids, 1))
    save_documents(tmp_path / "one.npz", [Problem(text, np.ones_like(ids))])
    (found,) = load_documents(tmp_path / "one.npz")
    assert found.text.positions.tolist() == [2, 3, 4, 5]


def test_a_record_is_a_line_of_the_table() -> None:
    def side(evaluations: float, rate: float, error: float) -> dict[str, Any]:
        return {"evaluations": evaluations, "reviews_per_s": rate, "error": {"median": error, "p99": 3 * error}}

    record = {
        "kind": "deberta-v3", "test_accuracy": 0.871, "lengths": [100, 200], "faster_by": 7.04, "captum_at": "",
        "pilot": {"rows": 154}, "ours": side(9.5, 81.25, 1e-4), "captum": side(50.5, 11.5, 2e-4),
    }  # fmt: skip
    machine = {"cpu": "a CPU", "date": "2026-01-01", "versions": {"torch": "2.0", "numpy": None}}
    result = {
        "machine": machine, "threads": 1, "rounds": 3, "blocks": 4, "hidden": 128, "tolerance": 0.005,
        "records": [record],
    }  # fmt: skip
    lines = encoders.markdown(result).splitlines()
    assert lines[0] == "a CPU, 1 threads, 3 rounds, 2026-01-01; torch 2.0."
    assert "2 reviews, 150 tokens on average, tolerance 0.005, a pilot of 154 others" in lines[2]
    assert (
        lines[-1] == "| DeBERTa v3 | 0.871 | 9.5 | 81.2 | 1.0e-04 | 3.0e-04 | 50.5 | 11.5 | 2.0e-04 | 6.0e-04 | 7.0 |"
    )
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_a_network_that_has_learnt_nothing_is_not_raced() -> None:
    with pytest.raises(SystemExit, match=r"BERT tells 0\.50 of the test's reviews; its paths would be"):
        encoders.refuse_untrained({"distilbert": 0.86, "bert": 0.5})
    encoders.refuse_untrained({"distilbert": 0.86, "bert": 0.8})
