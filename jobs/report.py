"""Writes the HTML report of a run.

Examples:
    python -m jobs.report runs/first
    python -m jobs.report s3://bucket/runs/first --palette PuOr
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.insight.heat.colour import PALETTES
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import current
from ig_worker.insight.tables.summary import summarise
from ig_worker.run.store.run_store import RunStore
from jobs import _cli


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.report", __doc__)
    made.add_argument("run", metavar="RUN", help="directory or URI of the run")
    made.flag("examples", "texts shown in full", type=int, default=12)
    made.flag("palette", "colours", choices=PALETTES, default=PALETTES[0])
    return _cli.run(_report, made, argv)


def _report(arguments: argparse.Namespace) -> int:
    store = RunStore(arguments.run)
    place = write_report(store, arguments.examples, arguments.palette)
    print("\n".join(summarise(current(store), store.results.quarantined().num_rows).lines()))
    if rate := store.summary.read().get("reviews_per_second"):
        print(f"throughput   {rate:.2f} reviews/s, actors' start-up included")
    print(f"report       {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
