"""The report of many reviews: how large it is, how long it takes to write, and how fast it is in Chromium.

`--reviews DIR` takes IMDB's test reviews, tokenized with bert-base-uncased's vocabulary and cut at 256 tokens, with
made-up attributions: what a report costs does not depend on them. `--run RUN` repeats the rows of a run. With neither,
texts are made up, with the lengths and about the vocabulary of IMDB's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import current
from ig_worker.run.store.run_store import RunStore
from tests import browser
from tests.benchmarks.machine import describe
from tests.benchmarks.process import peak_memory
from tests.benchmarks.workload import IMDB_LENGTHS, LONGEST, REVIEWS_FILE, VOCABULARY_FILE

_CHUNK = 500  # rows
_LOADS, _REPEATS = 5, 7  # of the page, of each filter
_WORDS = 60_000  # of the made-up vocabulary
_FILTERS = {
    "wrong only": {"outcome": "wrong"},
    "a frequent word": {"word": "the"},
    "a rare word": {"q": '"atrocious"'},
    "words that begin with s": {"q": "s"},
    "three words": {"q": "great bad film"},
    "confidence, |delta| and length": {"confidence_from": "0.6", "delta_to": "0.01", "length_from": "100"},
    "everything at once": {"q": "mov", "outcome": "right", "confidence_from": "0.5", "sort": "longest"},
    "all, another order": {"sort": "delta"},
}
_Review = tuple[str, int, list[str], list[int]]  # id, label, tokens, word ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--reviews", help="directory with imdb.npz and the vocabulary")
    parser.add_argument("--run", help="a run whose rows are repeated")
    parser.add_argument("--out", help="folder to keep the run in")
    parser.add_argument("--write", metavar="RUN", help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    if arguments.write:
        print(json.dumps(_write(arguments.write)))
        return
    with TemporaryDirectory() as place:
        run = str(Path(arguments.out or place) / "run")
        tables = _repeated(arguments.run) if arguments.run else _tables(arguments.reviews)
        tokens = _build(RunStore(run), tables, arguments.rows)
        machine = describe()
        print(
            f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}, load {Path('/proc/loadavg').read_text()}",
            end="",
        )
        print(f"{arguments.rows:,} reviews, {tokens / arguments.rows:.0f} tokens on average")
        written = subprocess.run([sys.executable, "-m", "tests.benchmarks.page", "--write", run], check=True, stdout=-1)
        for name, value in json.loads(written.stdout).items():
            print(f"{name:<40}{value}")
        if reason := browser.missing():
            print(f"browser left out: {reason}")
            return
        for name, value in _browse(Path(run) / "report" / "index.html", Path(place) / "profile").items():
            print(f"{name:<40}{value}")


def _write(run: str) -> dict[str, str]:
    """Write the report of a run that is aggregated; figures by name."""
    store = RunStore(run)
    begun = time.perf_counter()
    current(store)
    before = peak_memory()
    middle, used = time.perf_counter(), time.process_time()
    index = Path(write_report(store))
    ended, used = time.perf_counter(), time.process_time() - used
    sizes = {path: path.stat().st_size for path in index.parent.rglob("*") if path.is_file()}
    segments = sum(size for path, size in sizes.items() if path.name.startswith("index-"))
    details = [size for path, size in sizes.items() if path.name.startswith("reviews-")]
    return {
        "tables read, s": f"{middle - begun:.1f}",
        "report written, s": f"{ended - middle:.1f}, of the processor {used:.1f}",
        "peak memory before and after, MiB": f"{before / 2**20:.0f}, {peak_memory() / 2**20:.0f}",
        "report on disk, MB": f"{sum(sizes.values()) / 1e6:.1f} in {len(sizes)} files",
        "  of which index.html, kB": f"{index.stat().st_size / 1e3:.0f}",
        "  loaded with the page, MB": f"{segments / 1e6:.1f}",
        "  loaded on demand, MB": f"{sum(details) / 1e6:.1f}, {max(details) / 1e3:.0f} kB a file at most",
    }


def _browse(index: Path, profile: Path) -> dict[str, str]:
    """Times in Chromium, by name."""
    found: dict[str, str] = {}
    with browser.browser(profile) as driver:
        paints, ready = [], []
        for _ in range(_LOADS):
            begun = time.perf_counter()
            browser.open_report(driver, index)
            ready.append(time.perf_counter() - begun)
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            paints.append(driver.execute_script(f"return {paint}"))
        found["first contentful paint, ms"] = _spread(paints)
        found["all reviews loaded, s"] = _spread(ready, 2)
        for name, state in _FILTERS.items():
            times = [driver.execute_script(_APPLY, state) for _ in range(_REPEATS)]
            count = driver.execute_script("return document.getElementById('status').textContent")
            found[f"{name}, ms"] = f"{_spread(times)}   ({count})"
        found["a review opened, ms"] = _spread([driver.execute_async_script(_OPEN, place) for place in range(1, 8)])
        used = "performance.memory.usedJSHeapSize / 1e6"
        found["JavaScript's memory, MB"] = f"{driver.execute_script(f'return {used}'):.0f}"
    return found


# Filters, fills the list and lets the browser lay it out, in one step.
_APPLY = """
const { state } = igReport;
state.write({});
state.write(arguments[0]);
const begun = performance.now();
state.form.dispatchEvent(new Event("submit", { cancelable: true }));
document.body.offsetHeight;
return performance.now() - begun;
"""
_OPEN = """
const done = arguments[arguments.length - 1];
const button = document.querySelectorAll("#results button.row")[arguments[0]];
const begun = performance.now();
igReport.list.open(Number(button.dataset.row), true).then(() => {
  document.body.offsetHeight;
  done(performance.now() - begun);
});
"""


def _spread(values: list[float], digits: int = 0) -> str:
    return f"median {statistics.median(values):.{digits}f}, largest {max(values):.{digits}f}"


# Runs.


def _build(store: RunStore, tables: Iterator[pa.Table], rows: int) -> int:
    """Write a run of `rows` rows, each with an id of its own, and aggregate it; the number of its tokens."""
    store.manifest.write({"fingerprint": "made-for-measuring", "data": {"class_names": ["negative", "positive"]}})
    done = tokens = 0
    for index, table in enumerate(tables):
        table = table.slice(0, rows - done)
        ids = pa.array([f"review-{done + i:06d}" for i in range(table.num_rows)])
        table = table.set_column(0, schema.ATTRIBUTIONS.field("id"), ids)
        empty = pa.Table.from_batches([], schema=schema.QUARANTINE)
        store.results.commit(index, table, empty, "made-for-measuring")
        done += table.num_rows
        tokens += len(table.column("tokens").combine_chunks().flatten())
        if done >= rows:
            break
    current(store)
    return tokens


def _repeated(run: str) -> Iterator[pa.Table]:
    tables = list(RunStore(run).results.each(schema.ATTRIBUTIONS.names))
    return chain.from_iterable(repeat([table for table in tables if table.num_rows]))


def _tables(reviews: str | None) -> Iterator[pa.Table]:
    """Endless rows with made-up numbers."""
    random = np.random.default_rng(7)
    source = _real(reviews) if reviews else _made_up(random)
    while some := list(islice(source, _CHUNK)):
        yield pa.Table.from_pylist([_row(review, random) for review in some], schema=schema.ATTRIBUTIONS)


def _row(review: _Review, random: np.random.Generator) -> dict[str, Any]:
    id, label, tokens, word_ids = review
    sure = 1 - 0.5 * random.random() ** 3
    prediction = label if random.random() < 0.5 + sure / 2 else 1 - label
    count = len(tokens)
    return {
        "id": id, "label": label, "prediction": prediction, "target": prediction,
        "probabilities": [sure, 1 - sure] if prediction == 0 else [1 - sure, sure],
        "target_probability": sure, "baseline_probability": 0.5, "tokens": tokens, "input_ids": [0] * count,
        "word_ids": word_ids, "attributions": random.laplace(0.002, 0.01, count).astype(np.float32),
        "delta": random.normal(0, 0.001), "error_estimate": 10 ** random.normal(-3, 0.4),
        "evaluations": float(random.integers(6, 30)), "status": "converged", "truncated": count >= LONGEST,
    }  # fmt: skip


def _real(reviews: str) -> Iterator[_Review]:
    from transformers import BertTokenizerFast

    from ig_worker.data.sources import DataSpec, open_documents
    from ig_worker.models.tokenize import TextEncoder

    tokenizer = BertTokenizerFast(vocab_file=str(Path(reviews) / VOCABULARY_FILE), do_lower_case=True)
    encoder = TextEncoder(tokenizer, "bert", LONGEST)
    for batch in open_documents(DataSpec(str(Path(reviews) / REVIEWS_FILE))).batches():
        texts = zip(*(batch.column(name).to_pylist() for name in ("id", "label", "text")), strict=True)
        for id, label, text in texts:
            tokens = encoder.encode([text])[0]
            yield id, label, tokens.tokens, tokens.word_ids.tolist()


def _made_up(random: np.random.Generator) -> Iterator[_Review]:
    """Texts of words whose frequencies fall like 1 / rank, every tenth of them in two pieces."""
    weights = np.cumsum(1 / np.arange(2, _WORDS + 2))
    for number in range(sys.maxsize):
        length = IMDB_LENGTHS[number * 37 % len(IMDB_LENGTHS)] - 2
        words = np.searchsorted(weights, random.random(length) * weights[-1])
        pieces = [[f"w{word}"] if word % 10 else [f"w{word}", "##ing"] for word in words.tolist()]
        tokens = ["[CLS]", *chain.from_iterable(pieces)][: LONGEST - 1]
        ids = [-1, *chain.from_iterable([i] * len(piece) for i, piece in enumerate(pieces))][: LONGEST - 1]
        yield str(number), number % 2, [*tokens, "[SEP]"], [*ids, -1]


if __name__ == "__main__":
    main()
