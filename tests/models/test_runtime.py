"""A process says nothing on stderr but what this project writes there, and multiplies as fast as the processor can."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Both engines on a random network that is wide enough for XLA.
SCRIPT = """
import numpy as np
from ig_worker.explain.adaptive import AdaptiveEngine
from ig_worker.explain.problems import Problem
from ig_worker.models.inputs import ModelInput
from ig_worker.explain.fused import FusedEngine
from ig_worker.explain.rules import fixed_rule
from ig_worker.models import network
from ig_worker.models.layers import NetworkShape
from ig_worker.models.runtime import configure, tf

configure(1)
H, W = 768, 1024
shape = NetworkShape("distilbert", H, 2, 12, 50, 64, "gelu", 1e-12, 2, ("bad", "good"), intermediate=W)
rng = np.random.default_rng(0)


def weights(*names, **sizes):
    return {
        f"{name}/{part}": tf.Variable(rng.normal(0, 0.05, size).astype("f4"))
        for name in names
        for part, size in sizes.items()
    }


w = weights("embeddings", word=(50, H), position=(64, H)) | weights("embeddings/norm", gamma=H, beta=H)
for k in range(2):
    w |= weights(*(f"{k}/{name}" for name in ("query", "key", "value", "mix")), kernel=(H, H), bias=H)
    w |= weights(f"{k}/widen", kernel=(H, W), bias=W) | weights(f"{k}/narrow", kernel=(W, H), bias=H)
    w |= weights(f"{k}/attention_norm", f"{k}/output_norm", gamma=H, beta=H)
w |= weights("head/hidden", kernel=(H, H), bias=H) | weights("head/logits", kernel=(H, 2), bias=2)
problems = [
    Problem(ModelInput.single(rng.integers(0, 50, n).astype("i4")), np.zeros(n, "i4")) for n in (7, 30)
]
for dtype in (tf.float32, tf.bfloat16):
    cut = network.split(w, shape, 0, dtype)
    assert FusedEngine(cut, fixed_rule("gausslegendre", 2)).explain(problems)[0].finite()
    assert AdaptiveEngine(cut, 0.05, 7).explain(problems)[0].finite()
print("done")
"""


def test_nothing_native_reaches_stderr() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "GLOG"))}
    environment = clean | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="the processor is no x86-64")
@pytest.mark.parametrize(("wish", "used"), [(None, True), ("0", False)])
def test_products_are_those_of_onednn_unless_the_user_does_not_want_them(wish: str | None, used: bool) -> None:
    ask = """
import ig_worker.models.runtime
from tensorflow.python.util import _pywrap_util_port as port
print(port.IsMklEnabled())
"""
    name = "TF_ENABLE_ONEDNN_OPTS"
    environment = {key: value for key, value in os.environ.items() if key != name} | {"PYTHONPATH": str(ROOT)}
    environment |= {} if wish is None else {name: wish}
    ended = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, env=environment, timeout=120, check=True
    )
    assert ended.stdout.split() == [str(used)]
