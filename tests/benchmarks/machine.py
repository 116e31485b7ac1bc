"""What this machine is, how fast it multiplies float32 matrices, and how much arithmetic an evaluation is."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# [rows, inner] x [inner, columns]: the products of a distilbert-base block on 2,048 tokens, and a square one.
_PRODUCTS = ((2048, 768, 768), (2048, 768, 3072), (2048, 3072, 768), (1536, 1536, 1536))
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_PACKAGES = ("tensorflow", "transformers", "alibi", "numpy", "torch", "captum")


def describe(packages: Path | None = None) -> dict[str, Any]:
    """CPU model, cores, memory, versions and date, for the record."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: _version(name, packages) for name in _PACKAGES},
    }


def tensorflows_own_choice() -> dict[str, str]:
    """The variable that says whether TensorFlow uses oneDNN, as TensorFlow decides here where it is not set."""
    ask = "from tensorflow.python.util import _pywrap_util_port as port; print(int(port.IsMklEnabled()))"
    clean = {name: value for name, value in os.environ.items() if name != _ONEDNN}
    answer = subprocess.run([sys.executable, "-c", ask], env=clean, capture_output=True, text=True, check=True)
    return {_ONEDNN: answer.stdout.split()[-1]}


def _cpu_model() -> str:
    """The CPU's name with its instruction sets of interest."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    kinds = [kind for kind in ("avx2", "avx512f", "amx_bf16") if kind in fields.get("flags", "").split()]
    return " ".join([fields.get("model name", platform.processor()), f"({', '.join(kinds)})" if kinds else ""]).strip()


def _version(name: str, packages: Path | None) -> str | None:
    paths = [str(packages)] if packages and name in ("torch", "captum") else None
    found = importlib.metadata.distributions(name=name, **({"path": paths} if paths else {}))
    return next((distribution.version for distribution in found), None)


class MatrixRate:
    """The machine's float32 matrix-product rate, measured by TensorFlow; to be made in a `process.Child`."""

    def __init__(self, threads: int) -> None:
        from ig_worker.models.runtime import configure, tf

        configure(threads)
        self._product = tf.function(tf.matmul, reduce_retracing=True)
        self._pairs = [(tf.random.normal([m, k]), tf.random.normal([k, n])) for m, k, n in _PRODUCTS]

    def measure(self, seconds: float = 1.0) -> float:
        """FLOP/s, the best of all shapes and repetitions within about `seconds`."""
        best = 0.0
        for (m, k, n), pair in zip(_PRODUCTS, self._pairs, strict=True):
            self._product(*pair)[0, 0].numpy()  # traces and warms up
            end = time.perf_counter() + seconds / len(_PRODUCTS)
            while (begun := time.perf_counter()) < end:
                self._product(*pair)[0, 0].numpy()
                best = max(best, 2 * m * k * n / (time.perf_counter() - begun))
        return best
