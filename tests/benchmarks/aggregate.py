"""Time and memory of aggregating a made-up run: ``python -m tests.benchmarks.aggregate --rows 25000 --tokens 200``.

With ``--findings`` those of finding out what to look at first, see `findings.find`.

Tokens are drawn by Zipf's law from 30,000 word pieces, a fifth of which continue a word; attributions are normal.
Prints one line of JSON. With ``--actors N`` the same by Ray; peak_mib is then the driver's alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.insight.findings.find import find
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.store.run_store import RunStore

VOCABULARY, CONTINUES = 30_000, 0.2
NOTHING = pa.Table.from_batches([], schema=schema.QUARANTINE)


def chunk(random: np.random.Generator, first: int, rows: int, tokens: int) -> pa.Table:
    """`rows` rows of `schema.ATTRIBUTIONS`, the first of them number `first`, of `tokens` tokens on average."""
    lengths = random.integers(tokens // 2, tokens * 3 // 2, rows)
    offsets = pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32))
    count = int(lengths.sum())
    names = [f"w{i}" for i in range(VOCABULARY)] + [f"##c{i}" for i in range(VOCABULARY // 10)] + ["[CLS]", "[SEP]"]
    ids = np.minimum(random.zipf(1.15, count), VOCABULARY) - 1
    inner = random.random(count) < CONTINUES
    ids[inner] = VOCABULARY + ids[inner] % (VOCABULARY // 10)
    starts, ends = np.cumsum(lengths) - lengths, np.cumsum(lengths) - 1
    inner[starts], inner[starts + 1] = False, False
    ids[starts], ids[ends] = len(names) - 2, len(names) - 1
    words = np.cumsum(~inner) - np.repeat(np.cumsum(~inner)[starts], lengths) - 1
    words[starts], words[ends] = -1, -1
    sure = random.uniform(0.5, 1, rows)
    prediction = random.integers(0, 2, rows)
    probabilities = np.where(prediction[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])
    columns = {
        "id": pa.array([f"row-{first + i}" for i in range(rows)]),
        "label": np.where(random.random(rows) < 0.85, prediction, 1 - prediction),
        "prediction": prediction,
        "target": prediction,
        "contrast": pa.nulls(rows, pa.int32()),
        "rank": np.zeros(rows, np.int32),
        "probabilities": pa.array(list(probabilities.astype(np.float32))),
        "target_probability": sure,
        "baseline_probability": np.full(rows, 0.5),
        "tokens": pa.ListArray.from_arrays(offsets, pa.array(names).take(pa.array(ids))),
        "input_ids": pa.ListArray.from_arrays(offsets, pa.array(ids.astype(np.int32))),
        "word_ids": pa.ListArray.from_arrays(offsets, pa.array(words.astype(np.int32))),
        "attributions": pa.ListArray.from_arrays(offsets, pa.array(random.normal(0, 0.02, count).astype(np.float32))),
        "delta": random.normal(0, 0.001, rows),
        "error_estimate": random.lognormal(-7, 1, rows),
        "evaluations": random.integers(8, 64, rows),
        "status": pa.array(["converged"] * rows),
        "truncated": random.random(rows) < 0.2,
        "windows": np.ones(rows, np.int32),
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema.ATTRIBUTIONS]
    return pa.Table.from_arrays(arrays, schema=schema.ATTRIBUTIONS)


def make_run(place: Path, rows: int, tokens: int, chunk_rows: int) -> RunStore:
    store, random = RunStore(str(place)), np.random.default_rng(7)
    store.manifest.write({"fingerprint": "made-up"})
    for index, first in enumerate(range(0, rows, chunk_rows)):
        store.results.commit(index, chunk(random, first, min(chunk_rows, rows - first), tokens), NOTHING, "made-up")
    return store


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--rows", type=int, default=25_000)
    made.add_argument("--tokens", type=int, default=200)
    made.add_argument("--chunk-rows", type=int, default=256)
    made.add_argument("--actors", help="by so many Ray actors")
    made.add_argument("--run", type=Path, help="where the made-up run is, or is made (default: a temporary folder)")
    made.add_argument("--findings", action="store_true", help="findings, and not the tables")
    arguments = made.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.run or Path(folder)
        if not (place / "run.json").exists():
            make_run(place, arguments.rows, arguments.tokens, arguments.chunk_rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, processor = time.monotonic(), time.process_time()
        config = ApplyConfig(actors=arguments.actors or "none")
        done: dict[str, Any]
        if arguments.findings:
            told = find(RunStore(str(place)), config=config)
            done = {"findings": [one.subject for one in told]}
        else:
            tables = aggregate(RunStore(str(place)), config=config)
            done = {"rows": {name: table.num_rows for name, table in tables.items()}}
        found = {
            "seconds": round(time.monotonic() - started, 1),
            "processor_seconds": round(time.process_time() - processor, 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "peak_before_mib": before // 1024,
            **done,
        }
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
