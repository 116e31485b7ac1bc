"""Every kind of network against what transformers' PyTorch classes make of the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ig_worker.models.encoders import ENCODERS, counting_of
from ig_worker.models.inputs import ModelInput
from tests.models.kinds import GOLDEN, KINDS, save_kind, shape_of, texts

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / ".bench" / "packages"  # where `make bench` and `make test-all` put torch
LIMIT = 1e-5  # of the largest number that is compared


def weights_of(directory: Path, kind: str):
    from ig_worker.models.classifier import as_variables
    from ig_worker.models.network_weights import classifier_values
    from ig_worker.models.weights import with_shared

    shape = shape_of(kind)
    return with_shared(as_variables(classifier_values(kind, save_kind(directory, kind), shape)), shape)


def off(ours, theirs) -> float:
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_gives_what_pytorchs_gives(tmp_path: Path, kind: str) -> None:
    """Logits, every hidden state, and the gradient at the embeddings; by whole blocks and by the pruned last one."""
    from ig_worker.models import network
    from ig_worker.models.runtime import tf

    shape, w = shape_of(kind), weights_of(tmp_path, kind)
    ids, mask, types = texts(shape)
    text = ModelInput.single(ids, mask, counting_of(shape))._replace(types=types)
    with np.load(GOLDEN / f"{kind}.npz") as golden:
        real = mask == 1  # padding is another matter: nothing reads it
        around = network.surroundings(w, shape, mask)
        h = network.embed(w, shape, text)
        for k in range(shape.blocks + 1):
            theirs = golden[f"hidden_{k}"]
            last = k == shape.blocks and kind.startswith("modernbert")  # transformers gives it as the head reads it
            assert last or off(h.numpy()[real], theirs[real]) <= LIMIT, f"after {k} blocks"
            h = network.block(w, shape, k, h, around) if k < shape.blocks else h
        assert off(network.logits(w, shape, network.head_input(w, shape, h, mask)), golden["logits"]) <= LIMIT
        for depth in range(shape.blocks + 1):
            halves = network.split(w, shape, depth)
            z = halves.encode(halves.project(halves.below(text)), mask)
            assert off(network.logits(w, shape, z), golden["logits"]) <= LIMIT, f"cut behind {depth} blocks"
        halves, start = network.split(w, shape, 0), network.embed(w, shape, text)
        with tf.GradientTape() as tape:
            tape.watch(start)
            first = network.logits(w, shape, halves.encode(halves.project(start), mask))[:, 0]
        ours = tape.gradient(first, start).numpy()
        assert off(ours[real], golden["gradient"][real]) <= LIMIT
        assert np.abs(golden["gradient"][real]).max() > 0.01, "the network is too flat to show a mistake"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if ENCODERS[KINDS[kind]["model_type"]].tensorflow])
def test_transformers_tensorflow_network_is_found_to_agree(tmp_path: Path, kind: str) -> None:
    """As at the start of a run: each of its weights has the name that is known here."""
    from types import SimpleNamespace

    from ig_worker.models.agreement import require_agreement
    from ig_worker.models.pretrained import reference_network

    shape, w = shape_of(kind), weights_of(tmp_path, kind)
    files = SimpleNamespace(name=kind, directory=str(tmp_path), shape=shape)
    require_agreement(reference_network(files, w), w, shape)


def test_each_encoder_has_a_kind() -> None:
    assert {config["model_type"] for config in KINDS.values()} == set(ENCODERS)


@pytest.mark.heavy
def test_the_files_are_what_pytorch_gives_today(tmp_path: Path) -> None:
    if not (PACKAGES / "torch").is_dir():
        pytest.skip("torch is not there: `make test-all` installs it into .bench/packages")
    command = [sys.executable, "-m", "tests.models.pytorch_networks", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(PACKAGES)}, check=True)
    for kind in KINDS:
        with np.load(tmp_path / f"{kind}.npz") as now, np.load(GOLDEN / f"{kind}.npz") as kept:
            assert set(now) == set(kept)
            for name in kept:
                assert off(now[name], kept[name]) <= LIMIT, (kind, name)
