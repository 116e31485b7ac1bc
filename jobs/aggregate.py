"""Makes the tables of a run: tokens, words, classes and others.

The others: n-grams, positions, calibration, convergence, histograms, truncation.

Examples:
    python -m jobs.aggregate runs/first
    python -m jobs.aggregate runs/first --actors 4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.insight.tables.summary import summarise
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.progress import meter
from ig_worker.run.store.run_store import RunStore
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.aggregate", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    _settings.add_settings(made, ApplyConfig)
    return _cli.run(_aggregate, made, argv)


def _aggregate(arguments: argparse.Namespace) -> int:
    config, store = _settings.read_settings(arguments, ApplyConfig), RunStore(arguments.run)
    with meter("aggregating, chunks", None) as shown:
        tables = aggregate(store, lambda done, total: shown.update(done, total=total), config)
    print("\n".join(summarise(tables, store.results.quarantined().num_rows).lines()))
    print(f"tables: {store.storage.describe('aggregates')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
