"""Shards a data set into the chunks of a run.

jobs.explain does it, too; by itself it needs neither a model nor a GPU.

Examples:
    python -m jobs.prepare --dataset reviews.csv --run runs/first
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.data.sources import open_documents
from ig_worker.run import logs
from ig_worker.run.config import DataConfig
from ig_worker.run.progress import meter
from ig_worker.run.steps.prepare import prepare
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.prepare", __doc__)
    _settings.add_settings(made, DataConfig)
    _cli.add_run(made)
    return _cli.run(_prepare, made, argv)


def _prepare(arguments: argparse.Namespace) -> int:
    config = _settings.read_settings(arguments, DataConfig)
    config.check()
    store, documents = RunStore(arguments.run), open_documents(config.spec())
    logs.tell_assumed(documents.notes)
    with (
        meter("preparing, rows", None) as shown,
        Lease(Storage(store.uri)).held(lambda text: shown.update(0, text)) as lease,
    ):

        def progress(rows: int, total: int) -> None:
            lease.check()
            shown.update(rows, total=total)

        prepared = prepare(store, config, progress, documents)
    print(f"{prepared.name}: {prepared.rows} rows in {prepared.chunks} chunks in {store.storage.describe('chunks')}")
    print(f"labels: {documents.labels.line()}")
    if documents.kept:
        print(f"kept: {documents.kept_line}")
    if prepared.faults:
        print(f"{prepared.faults} rows cannot be explained and will be quarantined")
    return 0


if __name__ == "__main__":
    sys.exit(main())
