"""Peak memory of an actor against the number of nodes and the size of a chunk: it should depend on neither.

Real runs through Ray with a tiny network and short texts, so that thousands of reviews take minutes.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.compare import Setting

N_STEPS = (5, 50, 500)
CHUNK_ROWS = (64, 512, 4096)
_WORDS = 8  # words of the made-up texts at most


class Actor:
    """Starts one run of the whole job with one actor; lives in a `process.Child`, away from the benchmark's own."""

    def __init__(self, threads: int, directory: str) -> None:
        self._directory = Path(directory)
        self._threads = threads

    def prepare(self, rows: int) -> None:
        """Write a tiny network and a file of short texts."""
        from tests.tiny import WORDS, save_tiny_model

        save_tiny_model(self._directory / "model", "distilbert")
        words = random.Random(7)
        lines = [{"text": " ".join(words.choices(WORDS[:20], k=words.randint(3, _WORDS)))} for _ in range(rows)]
        (self._directory / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(self, name: str, n_steps: int, chunk_rows: int, limit: int) -> int:
        """Explain `limit` texts; the peak memory of the actor, in bytes."""
        from ig_worker.run.config import ExplainConfig
        from ig_worker.run.steps.explain import explain_run

        config = ExplainConfig(
            dataset=str(self._directory / "texts.jsonl"),
            model=str(self._directory / "model"),
            method="gausslegendre",
            n_steps=n_steps,
            chunk_rows=chunk_rows,
            limit=limit,
            actors="1",
            max_length=64,  # of the tiny network
            batch_tokens=2048,  # measuring it would take memory of its own, on the first run only
            cpus_per_actor=self._threads,
        )
        return explain_run(str(self._directory / name), config).totals.peak_memory


def measure(setting: Setting) -> dict[str, Any]:
    """Run every case, print a table, and give the records."""
    cases = [("nodes", n, 64, 256) for n in N_STEPS] + [("chunk", 5, rows, max(CHUNK_ROWS)) for rows in CHUNK_ROWS]
    tables: dict[str, list[dict[str, Any]]] = {"nodes": [], "chunk": []}
    with TemporaryDirectory() as place:
        with setting.child("memory:Actor", directory=place) as actor:
            actor.ask("prepare", rows=max(CHUNK_ROWS))
        for number, (what, n_steps, chunk_rows, limit) in enumerate(cases):
            with setting.child("memory:Actor", directory=place) as actor:
                peak = actor.ask("run", name=f"run-{number}", n_steps=n_steps, chunk_rows=chunk_rows, limit=limit)
            setting.say(f"{n_steps} nodes, {chunk_rows} reviews a chunk: {peak / 2**20:.0f} MiB")
            tables[what].append({"n_steps": n_steps, "chunk_rows": chunk_rows, "reviews": limit, "peak_memory": peak})
    for what, records in tables.items():
        peaks = [record["peak_memory"] for record in records]
        rows = [[*(f"{record[key]}" for key in ("n_steps", "chunk_rows", "reviews")), f"{peak / 2**20:.0f}"]
                for record, peak in zip(records, peaks, strict=True)]  # fmt: skip
        spread = max(peaks) / min(peaks) - 1
        headings = ("nodes", "reviews a chunk", "reviews", "peak memory of the actor, MiB")
        report.show_plain(f"more {what}: largest {spread:.1%} above smallest", headings, rows)
    return tables
