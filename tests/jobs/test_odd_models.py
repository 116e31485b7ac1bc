"""Models of every sensible kind are explained from end to end; those that cannot be are refused before anything starts.

The chunks are worked on in this process, by the worker that an actor holds, so that Ray is not needed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.store.run_store import RunStore
from jobs import aggregate, explain, report, verify
from tests.run.in_process import Here
from tests.tiny import save_tiny_model

FIXED = ["--method", "gausslegendre", "--n-steps", "3"]
TEXTS = [
    "good film",
    "a dull plot, bad acting",
    "電影",
    "[CLS] [SEP] [PAD]",
    "\0",
    "👍 סרט",
    "never boring " * 40,
    "...",
]


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "explain_run", partial(explain_run, executor=InProcess(Here)))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    rows = [{"id": f"r{i}", "text": text, "label": i % 2} for i, text in enumerate(TEXTS)]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def with_model(model: Path, *flags: str) -> list[str]:
        usual = ["--dataset", str(tmp_path / "reviews.jsonl"), "--model", str(model), "--run", str(tmp_path / "run")]
        return [*usual, "--batch-tokens", "1024", "--max-length", "24", *flags]

    return with_model


def results(run: Path) -> list[dict]:
    return [row for table in RunStore(str(run)).results.each() for row in table.to_pylist()]


def finite(row: dict) -> bool:
    return bool(np.isfinite([*row["attributions"], *row["probabilities"], row["delta"]]).all())


@pytest.mark.parametrize(("logits", "classes", "architecture"), [(1, 2, "distilbert"), (3, 3, "bert")])
def test_networks_of_one_logit_and_of_three_classes(tmp_path, command, logits, classes, architecture) -> None:
    model = save_tiny_model(tmp_path / "model", architecture, num_labels=logits)
    assert explain.main(command(model)) == 0
    rows = results(tmp_path / "run")
    assert len(rows) == len(TEXTS)
    for row in rows:
        assert finite(row)
        assert len(row["probabilities"]) == classes
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert row["target"] == row["prediction"] == int(np.argmax(row["probabilities"]))
    for job in (verify, aggregate, report):
        assert job.main([str(tmp_path / "run")]) == 0


def test_a_row_without_a_label_is_quarantined_where_labels_are_targets(
    tmp_path: Path, command, tiny_models: dict[str, Path]
) -> None:
    flags = ["--target", "label", "--label-map", "0=,1=1", *FIXED]
    assert explain.main(command(tiny_models["distilbert"], *flags)) == 3
    assert RunStore(str(tmp_path / "run")).results.quarantined().column("reason").to_pylist() == ["bad_label"] * 4
    assert [row["target"] for row in results(tmp_path / "run")] == [1] * 4


@pytest.mark.parametrize(
    ("model", "flags", "unreadable"),
    [
        ("bert", ["--baseline", "zeros", "--layer", "block:1", *FIXED], 0),
        ("bert", ["--baseline", "mask", "--engine", "alibi", *FIXED], 0),
        ("distilbert", ["--text-style", "plain", "--baseline", "unk"], 2),  # nothing is left of "..." and of NUL
        ("distilbert-head", ["--text-style", "plain", *FIXED], 2),
    ],
)
def test_odd_texts_have_finite_numbers_in_every_style(tmp_path, command, tiny_models, model, flags, unreadable) -> None:
    assert explain.main(command(tiny_models[model], *flags)) == (3 if unreadable else 0)
    rows = results(tmp_path / "run")
    assert len(rows) == len(TEXTS) - unreadable
    assert all(finite(row) for row in rows)
    assert (
        RunStore(str(tmp_path / "run")).results.quarantined().column("reason").to_pylist() == ["no_tokens"] * unreadable
    )


def test_a_tokenizer_of_another_network_starts_nothing(tmp_path: Path, command, tiny_models, capsys) -> None:
    model = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "model"))
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"]["vocab"]["film"] = 30_000
    (model / "tokenizer.json").write_text(json.dumps(content))
    assert explain.main(command(model)) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: the tokenizer in {model} numbers its tokens up to 30000, the network has 47 embeddings; "
        "expected a tokenizer and a network that belong together"
    ]
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_numbers_are_one_line_and_no_result(tmp_path, command, tiny_models, capsys) -> None:
    import h5py

    model = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "model"))
    with h5py.File(model / "tf_model.h5", "r+") as weights:
        found: list[h5py.Dataset] = []
        weights.visititems(lambda name, item: found.append(item) if name.endswith("word_embeddings/weight:0") else None)
        found[0][3, 5] = np.nan
    assert explain.main(command(model)) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: the model's weights embeddings/word are not finite; expected numbers in every weight"
    )
    assert not (tmp_path / "run" / "attributions").exists()
