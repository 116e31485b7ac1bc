"""A regression planted into the demo's model: from the command line, as cron would see it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NIGHT = """
[night]
runs = "{folder}/runs"
line = "demo"

[thresholds]
min_accuracy = 0.8

[explain]
dataset = "demo"
model = "{folder}/{model}"
chunk_rows = 50
"""


def flip_head(model: Path, flipped: Path, label: int) -> None:
    """Copy a model of `jobs.finetune` with the weights of one class in its last layer negated."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(model, flipped)
    weights = load_file(model / "model.safetensors")
    for name in ("classifier/kernel:0", "classifier/bias:0"):
        weights[name][..., label] *= -1
    save_file(weights, flipped / "model.safetensors", metadata={"format": "tf"})


def job(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.heavy
def test_a_flipped_head_is_caught_the_next_night(tmp_path: Path) -> None:
    model = tmp_path / "good"
    done = job("jobs.finetune", "--recipe", "tiny", "--dataset", "demo", "--out", str(model))
    assert done.returncode == 0, done.stderr
    flip_head(model, tmp_path / "flipped", label=1)
    for name in ("good", "flipped"):
        (tmp_path / f"{name}.toml").write_text(NIGHT.format(folder=tmp_path, model=name))
    first = job("jobs.nightly", str(tmp_path / "good.toml"))
    assert first.returncode == 0, first.stderr
    assert "\nfaithful " in first.stdout
    (before,) = (tmp_path / "runs").iterdir()
    before.rename(before.with_name("demo-2020-01-01"))  # as if it were another day's
    second = job("jobs.nightly", str(tmp_path / "flipped.toml"))
    assert second.returncode == 6, second.stderr
    summary = json.loads((tmp_path / "runs" / before.name / "summary.json").read_text())
    assert summary["exit_code"] == 6
    assert "expected at least 80.0% (min_accuracy)" in summary["reason"]
    assert "class 1: " in summary["reason"]
    assert summary["reason"] in second.stdout.replace("\n  ", "; ")
