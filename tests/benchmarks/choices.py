"""Variants of this project's engine to race against itself: without one saving each, and with other CPU settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.compare import Contestant
from tests.benchmarks.savings import SAVINGS


def savings(common: Mapping[str, Any], threads: int) -> list[Contestant]:
    """The engine as it is, and with each exact saving taken away alone."""
    return [
        Contestant("as it is", "Ours", common),
        Contestant("without: texts padded to their own length", "Ours", {**common, "length_multiple": 256}),
        *(Contestant(f"without: {what}", "Ours", {**common, "without": [key]}) for key, what in SAVINGS.items()),
        Contestant("without all of these", "Ours", {**common, "length_multiple": 256, "without": list(SAVINGS)}),
    ]


def cpu_choices(common: Mapping[str, Any], threads: int) -> list[Contestant]:
    """The engine's own settings against others, one changed at a time."""
    one_dnn = "TF_ENABLE_ONEDNN_OPTS"
    rows = [
        Contestant("as it is", "Ours", common, note=f"oneDNN, no XLA, {threads} threads, batch_tokens 2048"),
        Contestant("without oneDNN", "Ours", common, {one_dnn: "0"}),
        Contestant("with XLA", "Ours", {**common, "jit": True}),
        Contestant("one thread", "Ours", common, threads=1),
    ]
    if threads > 1:
        name = f"{threads} actors of one thread at once"
        rows.append(Contestant(name, "Ours", common, threads=1, actors=threads))
    for tokens in (512, 1024, 4096, 8192):
        rows.append(Contestant(f"batch_tokens {tokens}", "Ours", {**common, "batch_tokens": tokens}))
    for multiple in (16, 64):
        rows.append(Contestant(f"length_multiple {multiple}", "Ours", {**common, "length_multiple": multiple}))
    return rows
