"""Other machines, emulated: which instructions and how many threads TensorFlow's kernels use.

    python -m tests.machines     # says which of these change the bits of attributions on this machine

`tests/explain/test_machines.py` runs the numerical tests on each that does (`OTHERS`); what was found is in
`ig_worker/explain/README.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MACHINES: dict[str, dict[str, str]] = {
    "as it is": {},
    "oneDNN with SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN with AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN with AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "XLA with SSE4.2": {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
    "XLA with AVX2": {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
    "1 thread": {"TF_NUM_INTRAOP_THREADS": "1"},
    "2 threads": {"TF_NUM_INTRAOP_THREADS": "2"},
    "4 threads": {"TF_NUM_INTRAOP_THREADS": "4"},
    "neither oneDNN nor AVX2 in XLA, 1 thread": {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
        "TF_NUM_INTRAOP_THREADS": "1",
    },
}
# Those whose bits differ, on a processor with AVX-512. The other switches change none of this one short text; where
# products are larger, the number of threads may.
OTHERS = (
    "oneDNN with SSE4.1",
    "oneDNN with AVX2",
    "without oneDNN",
    "XLA with SSE4.2",
    "neither oneDNN nor AVX2 in XLA, 1 thread",
)
# Width 32, and 768, from which on what is between the matrix products is compiled by XLA.
WIDTHS = {32: {}, 768: {"dim": 768, "n_heads": 12, "n_layers": 2, "hidden_dim": 3072, "initializer_range": 0.04}}


def environment(machine: str) -> dict[str, str]:
    """This process's environment, on that machine."""
    return {**os.environ, **MACHINES[machine]}


def digests() -> str:
    """Hashes of our attributions and of alibi's, of one text by networks of both widths."""
    import numpy as np

    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.problems import Problem
    from ig_worker.explain.reference import AlibiEngine
    from ig_worker.explain.rules import fixed_rule
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from ig_worker.models.inputs import ModelInput
    from tests.tiny import save_tiny_model

    ids = np.r_[2, np.arange(5, 35), 3].astype(np.int32)
    problem = Problem(ModelInput.single(ids), np.where(ids > 4, 0, ids).astype(np.int32))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for width, sizes in WIDTHS.items():
            directory = save_tiny_model(Path(folder) / str(width), "distilbert", **sizes)
            classifier = load_classifier(find_model(str(directory)))
            ours = FusedEngine(classifier.split("embeddings"), fixed_rule("gausslegendre", 6))
            theirs = AlibiEngine(classifier, "embeddings", "gausslegendre", 6)
            for engine in (ours, theirs):
                found.append(hashlib.sha256(engine.explain([problem])[0].attributions.tobytes()).hexdigest()[:8])
    return " ".join(found)


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m tests.machines", description=(__doc__ or "").partition("\n")[0]
    ).parse_args()
    print(f"{'':42}ours, 32  alibi     ours, 768 alibi")
    for machine in MACHINES:
        done = subprocess.run(
            [sys.executable, "-c", "from tests.machines import digests; print(digests())"],
            cwd=ROOT, env=environment(machine), capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(f"{machine:42}{done.stdout.split(chr(10))[-2].replace(' ', '  ')}", flush=True)


if __name__ == "__main__":
    main()
