"""Reviews a second of an actor whose network costs next to nothing: ``python -m tests.benchmarks.host``.

What is measured is the host: reading, tokenizing, making rows, arithmetic around the device, tables and commits. The
network is a DistilBERT of one block, 32 wide, with random weights. Texts are made up, with the lengths of IMDB reviews,
or are reviews themselves (``--dataset imdb.npz --vocabulary vocab.txt``). Prints a line of JSON for each case.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.process import peak_memory
from tests.benchmarks.workload import IMDB_LENGTHS, LONGEST, Maker

SIZES = {"n_layers": 1, "dim": 32, "n_heads": 2, "hidden_dim": 64}
_PROFILED = 25  # functions that `--profile` shows


def save_texts(path: Path, rows: int, words: int) -> None:
    """Write texts of made-up words with IMDB's distribution of lengths, of which a third goes on beyond the longest."""
    chance = random.Random(7)
    lengths = [chance.choice(IMDB_LENGTHS) for _ in range(rows)]
    longer = [length if length < LONGEST else chance.randint(LONGEST, 3 * LONGEST) for length in lengths]
    lines = [
        {"text": " ".join(f"w{chance.randrange(words)}" for _ in range(length - 2)), "label": chance.randint(0, 1)}
        for length in longer
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Stopwatch:
    """Seconds spent in functions, which `watch` replaces by ones that are timed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Count the time in a method of a class, of whichever thread, for a part."""
        plain: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return plain(*arguments, **named)
            finally:
                self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begun

        setattr(owner, name, timed)


def watched() -> Stopwatch:
    """A stopwatch on the parts of an actor's work."""
    from ig_worker.models.tokenize import TextEncoder
    from ig_worker.run.chunk import worker
    from ig_worker.run.chunk.row_reader import RowReader
    from ig_worker.run.store.chunks import InputChunks
    from ig_worker.run.store.results import Results

    watch = Stopwatch()
    watch.watch(InputChunks, "read", "reading")
    watch.watch(TextEncoder, "encode", "tokenizing")
    watch.watch(RowReader, "tokenize", "tokenizing and rows")
    watch.watch(worker, "explain_rows", "engine")
    watch.watch(worker, "attributions_table", "table")
    watch.watch(Results, "commit", "commit")
    return watch


def explain(place: Path, actors: int, **settings: Any) -> dict[str, Any]:
    """One run; what it took. With 0 actors this process does the work, after a run that traces its programs."""
    from ig_worker.run.config import ExplainConfig
    from ig_worker.run.dispatch.executor import IN_PROCESS, ON_RAY
    from ig_worker.run.steps.explain import explain_run

    config = ExplainConfig(actors=str(max(1, actors)), max_length=LONGEST, **settings)
    records: list[tuple[float, Any]] = []
    note_chunks(records)
    begun, processor = time.perf_counter(), time.process_time()
    explain_run(str(place), config, executor=ON_RAY if actors else IN_PROCESS)
    return {"run": round(time.perf_counter() - begun, 2), "cpu": round(time.process_time() - processor, 2)} | steady(
        records, max(1, actors)
    )


def note_chunks(records: list[tuple[float, Any]]) -> None:
    """Enter when each chunk is done, as the driver sees it."""
    from ig_worker.run.steps.result import StartTotals

    plain = getattr(StartTotals.add, "plain", StartTotals.add)

    def add(self: Any, record: Any) -> None:
        records.append((time.perf_counter(), record))
        plain(self, record)

    add.plain = plain  # type: ignore[attr-defined]
    StartTotals.add = add  # type: ignore[method-assign]


def steady(records: list[tuple[float, Any]], actors: int) -> dict[str, Any]:
    """Reviews a second from the first quarter of the chunks on: programs have been traced by then."""
    first = max(actors, len(records) // 4)
    (begun, _), done = records[first - 1], records[first:]
    rows = sum(record.explained for _, record in done)
    seconds = done[-1][0] - begun
    return {
        "reviews": rows,
        "reviews_per_s": round(rows / seconds, 1),
        "engine_ms_a_review": round(1e3 * sum(record.engine_seconds for _, record in done) / rows, 3),
        "evaluations": round(sum(record.evaluations for _, record in done) / rows, 2),
    }


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--rows", type=int, default=4096)
    made.add_argument("--chunk-rows", type=int, default=256)
    made.add_argument("--dataset", help="texts in place of those that are made up")
    made.add_argument("--vocabulary", help="a vocab.txt, for texts that are not made up")
    made.add_argument("--actors", type=int, nargs="*", default=[0], help="0 is this process, without Ray")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--batch-tokens", type=int, default=16384)
    made.add_argument("--lanes", type=int, default=0, help="groups of texts at a time; 0: as in a run")
    made.add_argument("--tolerance", type=float, default=0.005)
    made.add_argument("--profile", action="store_true", help="also by function, in this process")
    given = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        Maker(given.threads).base_model(str(place / "model"), given.vocabulary, **SIZES)
        if not given.dataset:
            save_texts(place / "texts.jsonl", given.rows, 2000)
        watch = watched()
        for number, actors in enumerate(given.actors):
            watch.seconds.clear()
            profile = cProfile.Profile() if given.profile and not actors else None
            if profile:
                profile.enable()
            found = explain(
                place / f"run-{number}", actors,
                dataset=given.dataset or str(place / "texts.jsonl"), limit=given.rows, model=str(place / "model"),
                chunk_rows=given.chunk_rows, batch_tokens=given.batch_tokens, tolerance=given.tolerance,
                cpus_per_actor=given.threads // max(1, actors), lanes=given.lanes,
            )  # fmt: skip
            if profile:
                profile.disable()
            parts = {part: round(1e3 * s / given.rows, 3) for part, s in watch.seconds.items()} if not actors else {}
            print(json.dumps({"actors": actors, **found, "ms_a_review": parts, "peak_mib": peak_memory() >> 20}))
            if profile:
                pstats.Stats(profile).sort_stats("tottime").print_stats(_PROFILED)


if __name__ == "__main__":
    main()
