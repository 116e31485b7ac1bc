"""Compares a run with an earlier one: predictions, words, accuracy.

Examples:
    python -m jobs.compare runs/monday runs/tuesday
    python -m jobs.compare runs/monday runs/tuesday --max-drift 0.2
    python -m jobs.compare runs/monday runs/tuesday --report --texts 100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ig_worker.errors import EXIT_OK, EXIT_THRESHOLD, UsageError
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.report.side_by_side import write_side_by_side
from ig_worker.insight.thresholds import ChangeThresholds, without_meaning
from ig_worker.run.progress import meter
from ig_worker.run.store.run_store import RunStore
from jobs import _cli, _settings


def main(argv: Sequence[str] | None = None) -> int:
    made = _cli.parser("jobs.compare", __doc__)
    made.add_argument("before", metavar="RUN_A", help="directory or URI of the earlier run")
    made.add_argument("now", metavar="RUN_B", help="directory or URI of the later run; the tables are written there")
    made.flag("report", "write a page with texts of both side by side", action="store_true", default=False)
    made.flag("texts", "the most that the page shows", type=int, default=40)
    _settings.add_settings(made, ChangeThresholds)
    return _cli.run(_compare, made, argv)


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.texts < 0:
        raise UsageError(f"--texts is {arguments.texts}", expected="0 or more")
    limits = _settings.read_settings(arguments, ChangeThresholds)
    now, before = RunStore(arguments.now), RunStore(arguments.before)
    with meter("comparing, rows", None) as shown:
        found = write_comparison(now, before, lambda done, total: shown.update(done, total=total))
    print("\n".join(found.lines()))
    print(f"tables       {now.storage.describe('aggregates')}")
    if arguments.report:
        print(f"report       {write_side_by_side(now, before, found, arguments.texts)}")
    for line in without_meaning(limits, found.outputs):
        print(f"note         {line}")
    reasons = found.crossed(limits)
    for reason in reasons:
        print(f"threshold    {reason}")
    return EXIT_THRESHOLD if reasons else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
