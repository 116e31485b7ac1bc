"""A training that was stopped goes on where it was, to the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import RunMismatchError, StorageError, UsageError
from ig_worker.models.checkpoint import Scratch
from ig_worker.models.finetune import finetune
from ig_worker.models.recipes import RECIPES, Recipe, revise
from jobs import finetune as job
from tests.models.reviews import save_encoder, write_reviews

SMALL = revise(
    RECIPES["distilbert"], from_scratch=True, blocks=1, hidden=32, heads=2, intermediate=64, vocabulary=200,
    max_length=24, batch_rows=16, learning_rate=5e-3, steps=30,
)  # fmt: skip


class KilledError(Exception):
    pass


def kill_at(number: int, stage: str = "training, steps") -> Any:
    def on_step(now: str, done: int, total: int, note: str) -> None:
        if now == stage and done >= number:
            raise KilledError

    return on_step


def weights(model: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    files = {path.name: load_file(path) for path in model.glob("*.safetensors")}
    return {f"{file}/{name}": value for file, values in files.items() for name, value in values.items()}


def assert_equal_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=0, atol=0, err_msg=name)


def head_recipe(folder: Path) -> Recipe:
    base, _ = save_encoder(folder / "encoder")
    return revise(
        RECIPES["bert-head"], base=str(base), max_length=12, batch_rows=16, epochs=2,
        learning_rate=5e-3,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["end to end", "head"])
def test_a_killed_training_resumes_to_the_same_weights(kind: str, tmp_path: Path) -> None:
    recipe = SMALL if kind == "end to end" else head_recipe(tmp_path)
    spec = write_reviews(tmp_path / "reviews.jsonl")
    whole = finetune(recipe, spec, str(tmp_path / "whole"))
    for step in (9, 17):  # within the first and the second epoch of 12 steps
        with pytest.raises(KilledError):
            finetune(recipe, spec, str(tmp_path / "resumed"), checkpoint_s=0, on_step=kill_at(step))
    seen: list[int] = []
    resumed = finetune(recipe, spec, str(tmp_path / "resumed"), on_step=lambda stage, done, *_: seen.append(done))
    assert seen[0] == 18
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    assert_equal_weights(tmp_path / "whole", tmp_path / "resumed")
    assert not (tmp_path / ".resumed.training").exists()


def test_a_training_killed_while_it_judges_only_judges_again(tmp_path: Path) -> None:
    spec, out = write_reviews(tmp_path / "reviews.jsonl"), str(tmp_path / "model")
    with pytest.raises(KilledError):
        finetune(SMALL, spec, out, on_step=kill_at(1, "testing, texts"))
    stages: set[str] = set()
    metrics = finetune(SMALL, spec, out, on_step=lambda stage, *_: stages.add(stage))
    assert stages == {"testing, texts"}
    assert len(metrics.train_losses) == 10


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    spec, out = write_reviews(tmp_path / "reviews.jsonl"), str(tmp_path / "model")
    with pytest.raises(KilledError):
        finetune(SMALL, spec, out, checkpoint_s=0, on_step=kill_at(2))
    with pytest.raises(RunMismatchError) as caught:
        finetune(replace(SMALL, learning_rate=1e-3, batch_rows=8), spec, out)
    assert "(batch_rows 16 there, 8 now, learning_rate 0.005 there, 0.001 now)" in str(caught.value)


def test_settings_may_change_while_nothing_is_lost_by_it(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "model")
    scratch.begin({"batch_rows": 16})
    scratch.begin({"batch_rows": 8})
    scratch.features.touch()
    scratch.note_feature_rows(5)
    with pytest.raises(RunMismatchError, match="batch_rows 8 there, 16 now"):
        scratch.begin({"batch_rows": 16})
    scratch.begin({"batch_rows": 8})
    assert scratch.feature_rows == 5


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "model")
    scratch.begin({})
    (scratch.folder / "checkpoint.npz").write_bytes(b"not a checkpoint")
    with pytest.raises(StorageError, match=r"checkpoint\.npz cannot be used .*; remove .* to begin anew"):
        scratch.restore([])


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ig_worker.models.features import _make_file

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(StorageError, match=r"features.npy cannot be written \(No space left on device\); expected"):
        _make_file(tmp_path / "features.npy", (2, 3, 4))


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    from ig_worker.models.training import _check_loss

    _check_loss([0.7, 0.6], SMALL)
    with pytest.raises(UsageError, match=r"the loss is nan after step 2 with --learning-rate 0.005; expected a number"):
        _check_loss([0.7, float("nan")], SMALL)


@pytest.mark.heavy
def test_a_job_killed_by_the_system_resumes_to_the_same_weights(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.jsonl")
    flags = "--recipe distilbert --from-scratch --blocks 1 --hidden 32 --heads 2 --intermediate 64 --vocabulary 200"
    flags += " --max-length 24 --batch-rows 16 --steps 240 --learning-rate 5e-3"
    common = [*flags.split(), "--dataset", str(tmp_path / "reviews.jsonl")]
    killed = [*common, "--out", str(tmp_path / "killed")]
    checkpoint = tmp_path / ".killed.training" / "checkpoint.npz"
    process = subprocess.Popen([sys.executable, "-m", "jobs.finetune", *killed], stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 120
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "killed").exists()
    assert job.main(killed) == 0
    assert job.main([*common, "--out", str(tmp_path / "whole")]) == 0
    assert_equal_weights(tmp_path / "whole", tmp_path / "killed")
