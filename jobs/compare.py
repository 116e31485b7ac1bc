"""Compares a run with an earlier one: predictions, words, accuracy.

Examples:
    python -m jobs.compare runs/monday runs/tuesday
    python -m jobs.compare runs/monday runs/tuesday --max-drift 0.2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.errors import EXIT_OK, EXIT_THRESHOLD
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.thresholds import ChangeThresholds, without_meaning
from ig_worker.run.progress import meter
from ig_worker.run.store.run_store import RunStore
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.compare", __doc__)
    made.add_argument("before", metavar="RUN_A", help="directory or URI of the earlier run")
    made.add_argument("now", metavar="RUN_B", help="directory or URI of the later run; the tables are written there")
    _settings.add_settings(made, ChangeThresholds)
    return _cli.run(_compare, made, argv)


def _compare(arguments: argparse.Namespace) -> int:
    limits, now = _settings.read_settings(arguments, ChangeThresholds), RunStore(arguments.now)
    with meter("comparing, rows", None) as shown:
        found = write_comparison(now, RunStore(arguments.before), lambda done, total: shown.update(done, total=total))
    print("\n".join(found.lines()))
    print(f"tables       {now.storage.describe('aggregates')}")
    for line in without_meaning(limits, found.outputs):
        print(f"note         {line}")
    reasons = found.crossed(limits)
    for reason in reasons:
        print(f"threshold    {reason}")
    return EXIT_THRESHOLD if reasons else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
